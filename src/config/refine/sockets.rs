//! Where to listen.

use super::Refiner;
use crate::config::{
    Listen, ListenFault,
    fault::FaultKind,
    raw::{At, OneOrMany, Place},
};

/// Where to listen when nothing is said: loopback, so that trying it out opens no port.
const DEFAULT_LISTEN: &str = "127.0.0.1:8080";

impl Refiner<'_> {
    pub(super) fn listen(&mut self) -> Vec<Listen> {
        let default =
            At { place: Place::Nowhere, value: OneOrMany::One(DEFAULT_LISTEN.to_owned()) };
        let raw = self.raw;
        let written = raw.listen.as_ref().unwrap_or(&default);
        let texts = OneOrMany::as_slice(&written.value);
        if texts.is_empty() {
            self.fault(&written.place, "listen", FaultKind::Listen(ListenFault::Address));
        }
        let parsed = texts.iter().map(|text| Listen::parse(text));
        parsed
            .filter_map(|one| self.noted(&written.place, "listen", one, FaultKind::Listen))
            .collect()
    }

    pub(super) fn admin(&mut self) -> Option<Listen> {
        let raw = self.raw.admin.as_ref()?;
        let Some(listen) = &raw.value.listen else {
            self.missing(&raw.place, "admin.listen");
            return None;
        };
        let parsed = match Listen::parse(&listen.value) {
            Ok(Listen::Systemd) => Err(ListenFault::AdminSystemd),
            parsed => parsed,
        };
        self.noted(&listen.place, "admin.listen", parsed, FaultKind::Listen)
    }

    /// What is missing, unless it was taken out because of another fault.
    pub(super) fn missing(&mut self, place: &Place, key: &'static str) {
        if !self.has_fault_within(place) {
            self.fault(place, key, FaultKind::Missing);
        }
    }
}
