//! Where to listen, and the files that TLS is made from.

use std::{fs::File, path::PathBuf};

use super::Refiner;
use crate::config::{
    Identity, Listen, ListenFault, Tls, UpstreamTls,
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

    pub(super) fn tls(&mut self) -> Option<Tls> {
        let raw = self.raw.tls.as_ref()?;
        let client_ca = self.pem(raw.value.client_ca.as_ref(), "tls.client_ca");
        let cert = self.pem(raw.value.cert.as_ref(), "tls.cert");
        let key = self.pem(raw.value.key.as_ref(), "tls.key");
        for (written, name) in [(&raw.value.cert, "tls.cert"), (&raw.value.key, "tls.key")] {
            if written.is_none() {
                self.missing(&raw.place, name);
            }
        }
        Some(Tls { identity: Identity { cert: cert?, key: key? }, client_ca })
    }

    pub(super) fn upstream_tls(&mut self) -> UpstreamTls {
        let Some(raw) = &self.raw.upstream_tls else { return UpstreamTls::default() };
        let ca = self.pem(raw.value.ca.as_ref(), "upstream_tls.ca");
        let cert = self.pem(raw.value.cert.as_ref(), "upstream_tls.cert");
        let key = self.pem(raw.value.key.as_ref(), "upstream_tls.key");
        if raw.value.cert.is_some() != raw.value.key.is_some() && !self.has_fault_within(&raw.place)
        {
            self.fault(&raw.place, "upstream_tls", FaultKind::HalfCertificate);
        }
        let identity = cert.zip(key).map(|(cert, key)| Identity { cert, key });
        UpstreamTls { ca, identity }
    }

    /// What is missing, unless it was taken out because of another fault.
    fn missing(&mut self, place: &Place, key: &'static str) {
        if !self.has_fault_within(place) {
            self.fault(place, key, FaultKind::Missing);
        }
    }

    /// A file that can be opened; what is in it, the server reads.
    fn pem(&mut self, written: Option<&At<String>>, key: &'static str) -> Option<PathBuf> {
        let written = written?;
        let path = self.file(&written.value);
        let opened = File::open(&path);
        self.noted(&written.place, key, opened, |error| {
            FaultKind::Certificate(path.clone(), error)
        })?;
        Some(path)
    }
}
