//! Where to listen.

use super::Validator;
use crate::config::{
    ListenFault,
    fault::FaultKind,
    parse_listen,
    raw::{Located, Location, OneOrMany},
};
use crate::net::Listen;

/// Where to listen when nothing is said: loopback, so that trying it out opens no port.
const DEFAULT_LISTEN: &str = "127.0.0.1:8080";

impl Validator<'_> {
    pub(super) fn listen(&mut self) -> Vec<Listen> {
        let default =
            Located { place: Location::Nowhere, value: OneOrMany::One(DEFAULT_LISTEN.to_owned()) };
        let raw = self.raw;
        let written = raw.listen.as_ref().unwrap_or(&default);
        let texts = OneOrMany::as_slice(&written.value);
        if texts.is_empty() {
            self.fault(&written.place, "listen", FaultKind::Listen(ListenFault::Address));
        }
        let parsed = texts.iter().map(|text| parse_listen(text));
        parsed
            .filter_map(|one| self.record_err(&written.place, "listen", one, FaultKind::Listen))
            .collect()
    }

    pub(super) fn admin(&mut self) -> Option<Listen> {
        let raw = self.raw.admin.as_ref()?;
        let Some(listen) = &raw.value.listen else {
            self.missing(&raw.place, "admin.listen");
            return None;
        };
        let parsed = match parse_listen(&listen.value) {
            Ok(Listen::Systemd) => Err(ListenFault::AdminSystemd),
            parsed => parsed,
        };
        self.record_err(&listen.place, "admin.listen", parsed, FaultKind::Listen)
    }

    /// What is missing, unless it was taken out because of another fault.
    pub(super) fn missing(&mut self, place: &Location, key: &'static str) {
        if !self.has_fault_within(place) {
            self.fault(place, key, FaultKind::Missing);
        }
    }
}
