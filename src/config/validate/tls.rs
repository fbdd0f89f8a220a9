//! Validates `[tls]` and `[upstream_tls]`, and loads their files.

use std::time::SystemTime;

use rustls::RootCertStore;

use super::Validator;
use crate::config::{
    fault::FaultKind,
    raw::{Located, Location},
    tls::{self, Chain, Identity, Tls, Validity},
};
use crate::routes::{ClientTls, Upstream};

impl<'a> Validator<'a> {
    pub(super) fn validate_tls(&mut self) -> Option<Tls> {
        let raw = self.raw.tls.as_ref()?;
        for (written, name) in [(&raw.value.cert, "tls.cert"), (&raw.value.key, "tls.key")] {
            if written.is_none() {
                self.record_missing(&raw.location, name);
            }
        }
        let client_ca = raw.value.client_ca.as_ref();
        let roots = client_ca.map(|file| self.load_roots(file, "tls.client_ca"));
        let names = ["tls.cert", "tls.key"];
        let identity =
            self.load_identity(raw.value.cert.as_ref(), raw.value.key.as_ref(), names)?;
        let roots = match roots {
            Some(roots) => Some(roots?), // faulty roots must not turn client authentication off
            None => None,
        };
        let config = tls::server(identity, roots);
        self.record_err(&raw.location, "tls", config, FaultKind::Tls)
    }

    /// Builds the client TLS if it is configured or an upstream needs it.
    pub(super) fn validate_client_tls(&mut self) -> Option<(ClientTls, Option<Validity>)> {
        let written = self.raw.upstream_tls.as_ref();
        let location =
            written.map(|located| &located.location).or_else(|| self.find_https_upstream())?;
        let raw = written.map(|located| &located.value);
        let (cert, key) = raw.map_or((None, None), |raw| (raw.cert.as_ref(), raw.key.as_ref()));
        if cert.is_some() != key.is_some() {
            if !self.has_fault_inside(location) {
                self.record_fault(location, "upstream_tls", FaultKind::HalfCertificate);
            }
            return None;
        }
        let roots = match raw.and_then(|raw| raw.ca.as_ref()) {
            Some(file) => self.load_roots(file, "upstream_tls.ca"),
            None => self.record_err(location, "upstream", tls::load_system_roots(), FaultKind::Tls),
        };
        let identity = self.load_identity(cert, key, ["upstream_tls.cert", "upstream_tls.key"]);
        if cert.is_some() && identity.is_none() {
            return None;
        }
        let validity = identity.as_ref().map(|identity| identity.validity);
        let config = tls::client(roots?, identity);
        let config = self.record_err(location, "upstream_tls", config, FaultKind::Tls)?;
        Some((ClientTls::new(config), validity))
    }

    fn find_https_upstream(&self) -> Option<&'a Location> {
        let raw = self.raw;
        let all = raw.route.iter().filter_map(|route| route.value.upstream.as_ref());
        let all = raw.upstream.iter().chain(all);
        let is_https =
            |url: &&Located<String>| Upstream::parse(&url.value).is_ok_and(|url| url.is_https());
        all.into_iter().find(is_https).map(|url| &url.location)
    }

    fn load_roots(&mut self, file: &Located<String>, key: &'static str) -> Option<RootCertStore> {
        let path = self.resolve_file(&file.value);
        self.record_err(&file.location, key, tls::read_roots(&path), FaultKind::Tls)
    }

    fn load_identity(
        &mut self,
        cert: Option<&Located<String>>,
        key: Option<&Located<String>>,
        [cert_name, key_name]: [&'static str; 2],
    ) -> Option<Identity> {
        let cert = cert?;
        let path = self.resolve_file(&cert.value);
        let chain =
            self.record_err(&cert.location, cert_name, Chain::read(&path), FaultKind::Tls)?;
        self.warn_of_expiry(&cert.location, chain.validity);
        let key = key?;
        let path = self.resolve_file(&key.value);
        self.record_err(&key.location, key_name, chain.with_key(&path), FaultKind::Tls)
    }

    /// Warns about an expired, expiring or future certificate. It is used all the same: refusing to
    /// start would cause an outage where some clients may still connect.
    fn warn_of_expiry(&mut self, location: &Location, validity: Validity) {
        if let Some(warning) = validity.warning(SystemTime::now()) {
            self.warn(location, warning);
        }
    }
}
