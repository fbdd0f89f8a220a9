//! Validates the addresses to listen on.

use super::Validator;
use crate::config::{
    fault::FaultKind,
    listen::{ListenFault, parse_listen},
    raw::{Located, Location, OneOrMany},
};
use crate::net::Listen;

/// Default address: loopback, so that trying it out exposes no port.
const DEFAULT_LISTEN: &str = "127.0.0.1:8080";

impl Validator<'_> {
    pub(super) fn validate_listen(&mut self) -> Vec<Listen> {
        let default = Located {
            location: Location::Nowhere,
            value: OneOrMany::One(DEFAULT_LISTEN.to_owned()),
        };
        let raw = self.raw;
        let written = raw.listen.as_ref().unwrap_or(&default);
        let texts = OneOrMany::as_slice(&written.value);
        if texts.is_empty() {
            self.record_fault(&written.location, "listen", FaultKind::Listen(ListenFault::Address));
        }
        let parsed = texts.iter().map(|text| parse_listen(text));
        parsed
            .filter_map(|one| self.record_err(&written.location, "listen", one, FaultKind::Listen))
            .collect()
    }

    pub(super) fn validate_admin(&mut self) -> Option<Listen> {
        let raw = self.raw.admin.as_ref()?;
        let Some(listen) = &raw.value.listen else {
            self.record_missing(&raw.location, "admin.listen");
            return None;
        };
        let parsed = match parse_listen(&listen.value) {
            Ok(Listen::Systemd) => Err(ListenFault::AdminSystemd),
            parsed => parsed,
        };
        self.record_err(&listen.location, "admin.listen", parsed, FaultKind::Listen)
    }

    /// Records a missing key, unless reading removed it because of another fault.
    pub(super) fn record_missing(&mut self, location: &Location, key: &'static str) {
        if !self.has_fault_inside(location) {
            self.record_fault(location, key, FaultKind::Missing);
        }
    }
}
