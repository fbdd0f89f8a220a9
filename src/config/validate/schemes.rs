//! Validates routes whose sender signs the body and no URL: `access = "sendgrid"` and `"segment"`.

use super::{Validator, keys::MAX_TOKENS};
use crate::config::{
    fault::FaultKind,
    raw::{Located, Location, RawAccess, RawRoute, RawSource, RawToken},
    secret::Secret,
    warning::WarningKind,
};
use crate::routes::{Access, Pattern, Route};
use crate::signature::{Algorithm, BodyScheme, Key, PublicKey, VerificationKey};

/// Maximum number of verification keys of a route: a forged request costs one ECDSA verification
/// for each, as much as some 50 HMACs.
const MAX_VERIFICATION_KEYS: usize = 8;

/// A list of keys in the file.
type Keys = Located<Vec<Located<RawToken>>>;

impl Validator<'_> {
    /// Records keys of a route that its `access` never uses.
    pub(super) fn reject_unused_keys(&mut self, raw: &RawRoute) {
        let location = |keys: &Option<Keys>| keys.as_ref().map(|keys| keys.location.clone());
        let max_age = raw.max_age.as_ref().map(|age| age.location.clone());
        for (location, key, access, kind) in [
            (
                location(&raw.verification_keys),
                "route.verification_keys",
                RawAccess::SendGrid,
                "sendgrid",
            ),
            (max_age, "route.max_age", RawAccess::SendGrid, "sendgrid"),
            (location(&raw.shared_secrets), "route.shared_secrets", RawAccess::Segment, "segment"),
        ] {
            if let Some(location) = location.filter(|_| raw.access != access) {
                self.record_fault(&location, key, FaultKind::UnusedKey(kind));
            }
        }
    }

    pub(super) fn load_sendgrid(&mut self, route: &Located<RawRoute>) -> Option<BodyScheme> {
        let raw = &route.value;
        let keys = self.list(
            "route.verification_keys",
            route,
            &raw.verification_keys,
            MAX_VERIFICATION_KEYS,
        )?;
        let outer = std::mem::replace(&mut self.token_key, "route.verification_keys");
        let numbered = keys.value.iter().enumerate();
        let keys = numbered.filter_map(|(index, key)| self.load_verification_key(key, index));
        let keys: Vec<_> = keys.collect();
        self.token_key = outer;
        let max_age = raw.max_age.as_ref().map(|age| {
            self.validate_duration(Some(age), "route.max_age", std::time::Duration::ZERO)
        });
        if max_age.is_none() {
            self.warn(&route.location, WarningKind::NoMaxAge);
        }
        Some(BodyScheme::sendgrid(keys, max_age))
    }

    pub(super) fn load_segment(&mut self, route: &Located<RawRoute>) -> Option<BodyScheme> {
        let secrets =
            self.list("route.shared_secrets", route, &route.value.shared_secrets, MAX_TOKENS)?;
        let outer = std::mem::replace(&mut self.token_key, "route.shared_secrets");
        let numbered = secrets.value.iter().enumerate();
        let secrets = numbered.filter_map(|(index, secret)| self.load_shared_secret(secret, index));
        let secrets: Vec<_> = secrets.collect();
        self.token_key = outer;
        Some(BodyScheme::segment(secrets))
    }

    /// Returns a required list of bounded length.
    fn list<'k>(
        &mut self,
        key: &'static str,
        route: &Located<RawRoute>,
        keys: &'k Option<Keys>,
        max: usize,
    ) -> Option<&'k Keys> {
        match keys {
            None => {
                if !self.has_fault_inside(&route.location) {
                    self.record_fault(&route.location, key, FaultKind::NoKey);
                }
                None
            }
            Some(keys) => {
                if keys.value.is_empty() {
                    self.record_fault(&keys.location, key, FaultKind::NoKey);
                }
                if keys.value.len() > max {
                    self.record_fault(&keys.location, key, FaultKind::TooManyKeys(max));
                }
                Some(keys)
            }
        }
    }

    fn load_verification_key(
        &mut self,
        key: &Located<RawToken>,
        index: usize,
    ) -> Option<VerificationKey> {
        let default = format!("verification_keys[{index}]");
        let (name, text) = self.load_named(key, default)?;
        let text = std::str::from_utf8(text.bytes()).unwrap_or_default();
        let public = PublicKey::parse(text);
        let public =
            self.record_err(&key.location, self.token_key, public, FaultKind::PublicKey)?;
        Some(VerificationKey::new(&name, public))
    }

    fn load_shared_secret(&mut self, secret: &Located<RawToken>, index: usize) -> Option<Key> {
        let (name, text) = self.load_named(secret, format!("shared_secrets[{index}]"))?;
        let is_inline = match &secret.value {
            RawToken::Inline(_) => true,
            RawToken::Source(source) => source.value.is_some(),
        };
        if is_inline {
            self.first_inline.get_or_insert_with(|| secret.location.clone());
        }
        self.make_key(&secret.location, &name, &text, Algorithm::HmacSha1)
    }

    /// Loads a text and its name.
    fn load_named(
        &mut self,
        located: &Located<RawToken>,
        default: String,
    ) -> Option<(String, Secret)> {
        match &located.value {
            RawToken::Inline(text) => Some((default, text.clone())),
            RawToken::Source(source) => {
                self.reject_selectors(&located.location, source);
                let (found, text) = self.load_secret(&located.location, source, &default)?;
                let name = source.name.as_ref().map_or(found, |name| name.value.clone());
                Some((name, text))
            }
        }
    }

    /// Only Twilio's keys are selected by what a request names.
    fn reject_selectors(&mut self, location: &Location, source: &RawSource) {
        if source.account_sid.is_some() || source.key_id.is_some() || source.algorithm.is_some() {
            self.record_fault(location, self.token_key, FaultKind::TwilioSelector);
        }
    }

    /// Records every key that two routes share although they lead to different apps: what is signed
    /// for one could be sent to the other, because no URL is signed.
    pub(super) fn reject_shared_keys(
        &mut self,
        locations: &[&Located<RawRoute>],
        routes: &[Route],
    ) {
        let pairs: Vec<_> = locations.iter().zip(routes).collect();
        for (at, (location, route)) in pairs.iter().enumerate() {
            let Access::Body(scheme) = &route.access else { continue };
            let earlier = pairs.iter().take(at).find(|(_, other)| {
                let leads_elsewhere =
                    other.upstream != route.upstream || other.methods != route.methods;
                leads_elsewhere && share_key(scheme, &other.access)
            });
            if let Some((_, other)) = earlier {
                let kind = FaultKind::SharedKey(other.path.clone());
                self.record_fault(keys_of(location), keys_name(&location.value), kind);
            }
            if matches!(route.path, Pattern::Subtree(_)) {
                let location =
                    location.value.path.as_ref().map_or(&location.location, |path| &path.location);
                self.warn(location, WarningKind::UnsignedSubtree(route.path.clone()));
            }
        }
    }
}

fn share_key(scheme: &BodyScheme, other: &Access) -> bool {
    let Access::Body(other) = other else { return false };
    let others = other.keys();
    scheme.name() == other.name()
        && scheme.keys().iter().any(|key| others.iter().any(|other| key.is_same_key(other)))
}

fn keys_of(route: &Located<RawRoute>) -> &Location {
    let raw = &route.value;
    let keys = raw.verification_keys.as_ref().or(raw.shared_secrets.as_ref());
    keys.map_or(&route.location, |keys| &keys.location)
}

const fn keys_name(raw: &RawRoute) -> &'static str {
    if raw.verification_keys.is_some() { "route.verification_keys" } else { "route.shared_secrets" }
}
