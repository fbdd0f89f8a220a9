//! Auth tokens and SharedKeys: fetched, and made into keys.

use super::Validator;
use crate::config::{
    Secret,
    fault::FaultKind,
    raw::{Located, Location, RawAlgorithm, RawSource, RawToken},
};
use crate::signature::{Algorithm, Key};

/// Every key may be tried on every forged request.
pub(super) const MAX_TOKENS: usize = 16;

impl Validator<'_> {
    pub(super) fn keys(&mut self, tokens: &Located<Vec<Located<RawToken>>>) -> Vec<Key> {
        let place = &tokens.place;
        if tokens.value.is_empty() {
            self.fault(place, "auth_tokens", FaultKind::NoToken);
        }
        if tokens.value.len() > MAX_TOKENS {
            self.fault(place, "auth_tokens", FaultKind::TooManyTokens(MAX_TOKENS));
        }
        let numbered = tokens.value.iter().enumerate();
        numbered.filter_map(|(index, token)| self.key(token, index)).collect()
    }

    fn key(&mut self, token: &Located<RawToken>, index: usize) -> Option<Key> {
        let inline = format!("auth_tokens[{index}]");
        match &token.value {
            RawToken::Inline(secret) => {
                self.warn_of_inline(&token.place, secret);
                self.keyed(&token.place, &inline, secret, Algorithm::HmacSha1)
            }
            RawToken::Found(source) => self.key_from(&token.place, source, &inline),
        }
    }

    fn key_from(&mut self, place: &Location, source: &RawSource, inline: &str) -> Option<Key> {
        let (found, secret) = self.load_secret(place, source, inline)?;
        let algorithm = self.algorithm(place, source)?;
        self.warn_of_found(place, source, &secret);
        let name = source.name.as_ref().map_or(found, |name| name.value.clone());
        let key = self.keyed(place, &name, &secret, algorithm)?;
        match (&source.key_id, &source.account_sid) {
            (None, None) => Some(key),
            (Some(id), None) => Some(key.with_id(&id.value)),
            (Some(_), Some(sid)) => {
                self.fault(&sid.place, "account_sid", FaultKind::SharedKeyWithAccount);
                None
            }
            (None, Some(sid)) if is_account_sid(&sid.value) => Some(key.for_account(&sid.value)),
            (None, Some(sid)) => {
                self.fault(&sid.place, "account_sid", FaultKind::AccountSid);
                None
            }
        }
    }

    /// The secret, and what to call it by default.
    pub(super) fn load_secret(
        &mut self,
        place: &Location,
        source: &RawSource,
        inline: &str,
    ) -> Option<(String, Secret)> {
        let (name, fetched) = match (&source.env, &source.file, &source.credential, &source.value) {
            (Some(env), None, None, None) => {
                let fetched = Secret::from_env(&env.value);
                (
                    format!("env:{}", env.value),
                    self.record_err(place, self.tokens, fetched, |error| {
                        FaultKind::Env(env.value.clone(), error)
                    }),
                )
            }
            (None, Some(file), None, None) => {
                let path = self.file(&file.value);
                let fetched = Secret::from_file(&path);
                (
                    format!("file:{}", file.value),
                    self.record_err(place, self.tokens, fetched, |error| {
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
                    self.record_err(place, self.tokens, fetched, |error| {
                        FaultKind::Credential(credential.value.clone(), error)
                    }),
                )
            }
            (None, None, None, Some(value)) => (inline.to_owned(), Some(value.value.clone())),
            _ => {
                self.fault(place, self.tokens, FaultKind::Source);
                return None;
            }
        };
        fetched.map(|secret| (name, secret))
    }

    fn algorithm(&mut self, place: &Location, source: &RawSource) -> Option<Algorithm> {
        match (&source.key_id, &source.algorithm) {
            (None, None) => Some(Algorithm::HmacSha1),
            (Some(_), Some(algorithm)) => Some(algorithm.value.into()),
            _ => {
                if !self.has_fault_within(place) {
                    self.fault(place, self.tokens, FaultKind::HalfSharedKey);
                }
                None
            }
        }
    }

    pub(super) fn keyed(
        &mut self,
        place: &Location,
        name: &str,
        secret: &Secret,
        algorithm: Algorithm,
    ) -> Option<Key> {
        let bytes = secret.bytes();
        if bytes.trim_ascii() != bytes || bytes.iter().any(|byte| matches!(byte, b'\r' | b'\n')) {
            self.fault(place, self.tokens, FaultKind::SpacedToken);
            return None;
        }
        let key = Key::new(name, bytes, algorithm);
        self.record_err(place, self.tokens, key, |_| FaultKind::EmptyToken)
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
