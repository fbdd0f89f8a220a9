//! Loads auth tokens and SharedKeys, and makes keys of them.

use std::io;

use super::Validator;
use crate::config::{
    fault::FaultKind,
    raw::{Located, Location, RawAlgorithm, RawSource, RawToken},
    secret::Secret,
};
use crate::signature::{Algorithm, Key, ProbeKey};

/// Maximum number of tokens in a list: each forged request costs one HMAC per token.
pub(super) const MAX_TOKENS: usize = 16;

impl Validator<'_> {
    pub(super) fn load_keys(&mut self, tokens: &Located<Vec<Located<RawToken>>>) -> Vec<Key> {
        let location = &tokens.location;
        if tokens.value.is_empty() {
            self.record_fault(location, "auth_tokens", FaultKind::NoToken);
        }
        if tokens.value.len() > MAX_TOKENS {
            self.record_fault(location, "auth_tokens", FaultKind::TooManyTokens(MAX_TOKENS));
        }
        let numbered = tokens.value.iter().enumerate();
        numbered.filter_map(|(index, token)| self.load_key(token, index)).collect()
    }

    fn load_key(&mut self, token: &Located<RawToken>, index: usize) -> Option<Key> {
        let inline = format!("auth_tokens[{index}]");
        match &token.value {
            RawToken::Inline(secret) => {
                self.warn_of_inline(&token.location, secret);
                let key = self.make_key(&token.location, &inline, secret, Algorithm::HmacSha1)?;
                self.probes.extend(ProbeKey::new(&key, secret.bytes(), Algorithm::HmacSha1));
                Some(key)
            }
            RawToken::Source(source) => self.load_key_from(&token.location, source, &inline),
        }
    }

    fn load_key_from(
        &mut self,
        location: &Location,
        source: &RawSource,
        inline: &str,
    ) -> Option<Key> {
        let (found, secret) = self.load_secret(location, source, inline)?;
        let algorithm = self.validate_algorithm(location, source)?;
        self.warn_of_source(location, source, &secret);
        let name = source.name.as_ref().map_or(found, |name| name.value.clone());
        let key = self.make_key(location, &name, &secret, algorithm)?;
        let key = self.validate_selector(source, key)?;
        self.probes.extend(ProbeKey::new(&key, secret.bytes(), algorithm));
        Some(key)
    }

    /// Applies `key_id` or `account_sid`.
    fn validate_selector(&mut self, source: &RawSource, key: Key) -> Option<Key> {
        match (&source.key_id, &source.account_sid) {
            (None, None) => Some(key),
            (Some(id), None) => Some(key.with_id(&id.value)),
            (Some(_), Some(sid)) => {
                self.record_fault(&sid.location, "account_sid", FaultKind::SharedKeyWithAccount);
                None
            }
            (None, Some(sid)) if is_account_sid(&sid.value) => Some(key.for_account(&sid.value)),
            (None, Some(sid)) => {
                self.record_fault(&sid.location, "account_sid", FaultKind::AccountSid);
                None
            }
        }
    }

    /// Loads a secret from its source; returns it with its default name.
    pub(super) fn load_secret(
        &mut self,
        location: &Location,
        source: &RawSource,
        inline: &str,
    ) -> Option<(String, Secret)> {
        let (name, fetched) = match (&source.env, &source.file, &source.credential, &source.value) {
            (Some(env), None, None, None) => {
                (format!("env:{}", env.value), self.load_variable(location, &env.value))
            }
            (None, Some(file), None, None) => {
                let path = self.resolve_file(&file.value);
                let fetched = Secret::from_file(&path);
                (
                    format!("file:{}", file.value),
                    self.record_err(location, self.token_key, fetched, |error| {
                        FaultKind::File(path.clone(), error)
                    }),
                )
            }
            (None, None, Some(credential), None) => {
                let path = Secret::credential_path(&credential.value);
                self.watched.extend(path.iter().cloned());
                let fetched = path.and_then(|path| Secret::from_file(&path));
                (
                    format!("credential:{}", credential.value),
                    self.record_err(location, self.token_key, fetched, |error| {
                        FaultKind::Credential(credential.value.clone(), error)
                    }),
                )
            }
            (None, None, None, Some(value)) => (inline.to_owned(), Some(value.value.clone())),
            _ => {
                self.record_fault(location, self.token_key, FaultKind::TokenSource);
                return None;
            }
        };
        fetched.map(|secret| (name, secret))
    }

    fn load_variable(&mut self, location: &Location, name: &str) -> Option<Secret> {
        let kind = match Secret::from_env(name) {
            Ok(secret) if secret.bytes().is_empty() => FaultKind::EmptyVariable(name.to_owned()),
            Ok(secret) => return Some(secret),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                FaultKind::UnsetVariable(name.to_owned())
            }
            Err(error) => FaultKind::Env(name.to_owned(), error),
        };
        self.record_fault(location, self.token_key, kind);
        None
    }

    fn validate_algorithm(&mut self, location: &Location, source: &RawSource) -> Option<Algorithm> {
        match (&source.key_id, &source.algorithm) {
            (None, None) => Some(Algorithm::HmacSha1),
            (Some(_), Some(algorithm)) => Some(algorithm.value.into()),
            _ => {
                if !self.has_fault_inside(location) {
                    self.record_fault(location, self.token_key, FaultKind::HalfSharedKey);
                }
                None
            }
        }
    }

    pub(super) fn make_key(
        &mut self,
        location: &Location,
        name: &str,
        secret: &Secret,
        algorithm: Algorithm,
    ) -> Option<Key> {
        let bytes = secret.bytes();
        if bytes.trim_ascii() != bytes || bytes.iter().any(|byte| matches!(byte, b'\r' | b'\n')) {
            self.record_fault(location, self.token_key, FaultKind::SpacedToken);
            return None;
        }
        let key = Key::new(name, bytes, algorithm);
        self.record_err(location, self.token_key, key, |_| FaultKind::EmptyToken)
    }
}

impl From<RawAlgorithm> for Algorithm {
    fn from(raw: RawAlgorithm) -> Self {
        match raw {
            RawAlgorithm::HmacSha1 => Self::HmacSha1,
            RawAlgorithm::HmacSha256 => Self::HmacSha256,
        }
    }
}

pub(super) fn is_account_sid(text: &str) -> bool {
    text.strip_prefix("AC")
        .is_some_and(|hex| hex.len() == 32 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
}
