//! Keys, their accounts, and the selection of the keys for a request.

use std::{collections::HashMap, fmt, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::Sha256;
use smallvec::SmallVec;

use super::{
    algorithm::Algorithm,
    form::Parameters,
    header::{Selector, Signature},
    message::Message,
};

/// A keyed MAC. The key schedule is computed once, when the configuration is read; each use clones
/// the state.
pub struct Key {
    name: Arc<str>,
    account: Option<Box<str>>,
    /// Whether it is one of [`Accounts`].
    is_of_accounts: bool,
    id: Option<Box<str>>,
    state: State,
}

enum State {
    Sha1(Hmac<Sha1>),
    Sha256(Hmac<Sha256>),
}

/// The secret is empty: anybody could compute its MACs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the secret is empty")]
pub struct EmptySecret;

impl Key {
    /// Creates a key. `name` appears in logs and counters; the secret itself is not stored.
    ///
    /// # Errors
    /// [`EmptySecret`].
    pub fn new(name: &str, secret: &[u8], algorithm: Algorithm) -> Result<Self, EmptySecret> {
        if secret.is_empty() {
            return Err(EmptySecret);
        }
        let state = match algorithm {
            Algorithm::HmacSha1 => State::Sha1(keyed(secret)?),
            Algorithm::HmacSha256 => State::Sha256(keyed(secret)?),
        };
        Ok(Self { name: name.into(), account: None, is_of_accounts: false, id: None, state })
    }

    /// Restricts the key to requests that name this account.
    #[must_use]
    pub fn for_account(self, sid: &str) -> Self {
        Self { account: Some(sid.into()), ..self }
    }

    /// Makes it a SharedKey, used only for requests that name this id.
    #[must_use]
    pub fn with_id(self, id: &str) -> Self {
        Self { id: Some(id.into()), ..self }
    }

    /// The name in logs and counters.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The only account that it is valid for, if it is restricted to one.
    #[must_use]
    pub fn account(&self) -> Option<&str> {
        self.account.as_deref()
    }

    /// Whether it was looked up by its account.
    pub(super) const fn is_of_accounts(&self) -> bool {
        self.is_of_accounts
    }

    /// The SharedKey id, if it is one.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Signs `url` followed by `tail`. Returns the header value.
    #[must_use]
    pub fn sign(&self, url: &[u8], tail: &[u8]) -> String {
        match &self.state {
            State::Sha1(keyed) => STANDARD.encode(mac(keyed, [url, tail])),
            State::Sha256(keyed) => STANDARD.encode(mac(keyed, [url, tail])),
        }
    }

    /// Signs `text`. Returns lower-case hex, as Segment writes it.
    #[must_use]
    pub fn sign_hex(&self, text: &[u8]) -> String {
        let hex = |mac: &[u8]| mac.iter().map(|byte| format!("{byte:02x}")).collect();
        match &self.state {
            State::Sha1(keyed) => hex(&mac(keyed, [text])),
            State::Sha256(keyed) => hex(&mac(keyed, [text])),
        }
    }

    /// Whether `signature` is this key's MAC over the concatenated parts. Constant time.
    pub(super) fn signed(&self, signature: &Signature, parts: [&[u8]; 3]) -> bool {
        match (&self.state, signature.algorithm()) {
            (State::Sha1(keyed), Algorithm::HmacSha1) => signature.matches(&mac(keyed, parts)),
            (State::Sha256(keyed), Algorithm::HmacSha256) => signature.matches(&mac(keyed, parts)),
            _ => false,
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("name", &self.name)
            .field("account", &self.account)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

fn keyed<M: KeyInit>(secret: &[u8]) -> Result<M, EmptySecret> {
    M::new_from_slice(secret).map_err(|_| EmptySecret) // HMAC takes keys of any length (RFC 2104)
}

fn mac<M: Mac + Clone, const N: usize>(keyed: &M, parts: [&[u8]; N]) -> hmac::digest::Output<M> {
    let mut mac = keyed.clone();
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes()
}

/// Keys by AccountSid: a request costs one look-up, however many accounts there are.
#[derive(Debug, Default)]
pub struct Accounts {
    by_sid: HashMap<Box<[u8]>, Vec<Key>>,
}

impl Accounts {
    /// Adds a key of an account.
    pub fn insert(&mut self, sid: &str, key: Key) {
        let key = Key { is_of_accounts: true, ..key.for_account(sid) };
        self.by_sid.entry(sid.as_bytes().into()).or_default().push(key);
    }

    /// The number of accounts.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_sid.len()
    }

    /// Whether there is no account.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_sid.is_empty()
    }

    fn keys(&self, sid: &[u8]) -> &[Key] {
        self.by_sid.get(sid).map_or(&[], Vec::as_slice)
    }
}

/// All keys of one route.
#[derive(Debug, Default)]
pub struct Keyring {
    keys: Vec<Key>,
    accounts: Option<Arc<Accounts>>,
}

impl Keyring {
    /// Creates a keyring from the route's own keys, which are all tried, and those of subaccounts,
    /// which are looked up.
    #[must_use]
    pub const fn new(keys: Vec<Key>, accounts: Option<Arc<Accounts>>) -> Self {
        Self { keys, accounts }
    }

    /// Whether there is no key at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.accounts.as_ref().is_none_or(|accounts| accounts.is_empty())
    }

    /// The route's own keys.
    #[must_use]
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// The number of subaccounts.
    #[must_use]
    pub fn accounts(&self) -> usize {
        self.accounts.as_ref().map_or(0, |accounts| accounts.len())
    }

    /// Whether the selector may match a key. Needs the head only, so requests without one are refused
    /// before their body is read.
    #[must_use]
    pub fn knows(&self, selector: Selector<'_>) -> bool {
        match selector {
            Selector::AuthToken => {
                self.accounts() > 0 || self.selected_by(selector).next().is_some()
            }
            Selector::SharedKey(_) => self.selected_by(selector).next().is_some(),
            Selector::Unreadable => false,
        }
    }

    /// The keys that may have signed this message: those selected, and those of the account that it
    /// names.
    pub(super) fn candidate_keys<'a>(
        &'a self,
        selector: Selector<'a>,
        message: &Message<'_>,
        form: &Parameters,
    ) -> SmallVec<[&'a Key; 4]> {
        let mut keys: SmallVec<[&Key; 4]> = self.selected_by(selector).collect();
        if let (Selector::AuthToken, Some(accounts)) = (selector, &self.accounts)
            && let Some(sid) = message.account(form)
        {
            keys.extend(accounts.keys(&sid));
        }
        keys
    }

    fn selected_by<'a>(&'a self, selector: Selector<'a>) -> impl Iterator<Item = &'a Key> {
        self.keys.iter().filter(move |key| match (selector, key.id()) {
            (Selector::AuthToken, None) => true,
            (Selector::SharedKey(wanted), Some(id)) => wanted == id.as_bytes(),
            _ => false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_never_contains_the_secret() {
        let key = Key::new("env:T", b"0123456789abcdef", Algorithm::HmacSha1).unwrap();
        let shown = format!("{key:?}");
        assert!(shown.contains("env:T") && !shown.contains("0123456789abcdef"), "{shown}");
        assert_eq!(Key::new("env:T", b"", Algorithm::HmacSha1).unwrap_err(), EmptySecret);
    }

    #[test]
    fn example_of_twilios_library_has_the_same_signature() {
        // twilio-python tests/unit/test_request_validator.py
        let key = Key::new("t", b"12345", Algorithm::HmacSha1).unwrap();
        let tail =
            b"CallSidCA1234567890ABCDECaller+14158675309Digits1234From+14158675309To+18005551212";
        let signature = key.sign(b"https://mycompany.com/myapp.php?foo=1&bar=2", tail);
        assert_eq!(signature, "RSOYDt4T1cUTdK1PDd93/VVr8B8=");
    }
}
