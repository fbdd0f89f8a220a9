//! `[tls]` and `[upstream_tls]`: files into what shakes hands.

use std::time::{Duration, SystemTime};

use rustls::RootCertStore;

use super::Validator;
use crate::config::{
    Tls, Validity, WarningKind,
    fault::FaultKind,
    raw::{Located, Location},
    tls::{self, Chain, Identity},
};
use crate::routes::{ClientTls, Upstream};

/// A certificate that is good for less than this is warned of.
const EXPIRY_WARNING: Duration = Duration::from_secs(14 * 24 * 60 * 60);

impl<'a> Validator<'a> {
    pub(super) fn tls(&mut self) -> Option<Tls> {
        let raw = self.raw.tls.as_ref()?;
        for (written, name) in [(&raw.value.cert, "tls.cert"), (&raw.value.key, "tls.key")] {
            if written.is_none() {
                self.missing(&raw.place, name);
            }
        }
        let client_ca = raw.value.client_ca.as_ref();
        let roots = client_ca.map(|file| self.roots(file, "tls.client_ca"));
        let names = ["tls.cert", "tls.key"];
        let identity = self.identity(raw.value.cert.as_ref(), raw.value.key.as_ref(), names)?;
        let roots = match roots {
            Some(roots) => Some(roots?), // never without them because they were faulty
            None => None,
        };
        let made = tls::listener(identity, roots);
        self.record_err(&raw.place, "tls", made, FaultKind::Tls)
    }

    /// Made once, and only if it is written or an upstream needs it.
    pub(super) fn client_tls(&mut self) -> Option<(ClientTls, Option<Validity>)> {
        let written = self.raw.upstream_tls.as_ref();
        let place = written.map(|at| &at.place).or_else(|| self.first_https())?;
        let raw = written.map(|at| &at.value);
        let (cert, key) = raw.map_or((None, None), |raw| (raw.cert.as_ref(), raw.key.as_ref()));
        if cert.is_some() != key.is_some() {
            if !self.has_fault_within(place) {
                self.fault(place, "upstream_tls", FaultKind::HalfCertificate);
            }
            return None;
        }
        let roots = match raw.and_then(|raw| raw.ca.as_ref()) {
            Some(file) => self.roots(file, "upstream_tls.ca"),
            None => self.record_err(place, "upstream", tls::system_roots(), FaultKind::Tls),
        };
        let shown = self.identity(cert, key, ["upstream_tls.cert", "upstream_tls.key"]);
        if cert.is_some() && shown.is_none() {
            return None;
        }
        let validity = shown.as_ref().map(|shown| shown.validity);
        let made = tls::upstream(roots?, shown);
        let made = self.record_err(place, "upstream_tls", made, FaultKind::Tls)?;
        Some((ClientTls::new(made), validity))
    }

    fn first_https(&self) -> Option<&'a Location> {
        let raw = self.raw;
        let all = raw.route.iter().filter_map(|route| route.value.upstream.as_ref());
        let all = raw.upstream.iter().chain(all);
        let is_https =
            |url: &&Located<String>| Upstream::parse(&url.value).is_ok_and(|url| url.is_https());
        all.into_iter().find(is_https).map(|url| &url.place)
    }

    fn roots(&mut self, file: &Located<String>, key: &'static str) -> Option<RootCertStore> {
        let path = self.file(&file.value);
        self.record_err(&file.place, key, tls::roots_of(&path), FaultKind::Tls)
    }

    fn identity(
        &mut self,
        cert: Option<&Located<String>>,
        key: Option<&Located<String>>,
        [cert_name, key_name]: [&'static str; 2],
    ) -> Option<Identity> {
        let cert = cert?;
        let path = self.file(&cert.value);
        let chain = self.record_err(&cert.place, cert_name, Chain::read(&path), FaultKind::Tls)?;
        self.warn_of_expiry(&cert.place, chain.validity);
        let key = key?;
        let path = self.file(&key.value);
        self.record_err(&key.place, key_name, chain.with_key(&path), FaultKind::Tls)
    }

    /// A certificate that is not good is used all the same: that the gate does not start would not
    /// make it better.
    fn warn_of_expiry(&mut self, place: &Location, validity: Validity) {
        let now = SystemTime::now();
        if validity.from > now {
            self.warn(place, WarningKind::NotYetValid(validity.from));
        }
        match validity.until.duration_since(now) {
            Err(_) => self.warn(place, WarningKind::Expired(validity.until)),
            Ok(left) if left < EXPIRY_WARNING => {
                self.warn(place, WarningKind::ExpiresSoon(validity.until));
            }
            Ok(_) => {}
        }
    }
}
