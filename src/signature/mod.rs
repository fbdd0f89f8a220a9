//! Verifies the signatures of webhooks. Pure: bytes in, decision out; no I/O, no HTTP types, no clock, no
//! logging.
//!
//! | file | holds |
//! | --- | --- |
//! | `algorithm` | HMAC-SHA1 and HMAC-SHA256 |
//! | `header` | the signature and the key selector of a request |
//! | `key` | keyed MACs, and their selection |
//! | `form` | form decoding to bytes; `form/order`: the two sort orders |
//! | `message` | the check that every body byte is covered |
//! | `origin`, `target` | the two parts of the URL, and their other spellings |
//! | `reorder` | the query in another order, where a route accepts that |
//! | `candidates` | the strings that may have been signed, in order |
//! | `schemes` | the schemes of other senders, which sign the body and no URL |
//! | `probe` | keys that explain a refusal and can admit nothing |
//!
//! Twilio's scheme: base64 of HMAC over the URL followed, for forms, by every name and value, sorted
//! (<https://www.twilio.com/docs/usage/security>). `docs/signatures.md` lists the points
//! that this leaves open.

mod algorithm;
mod candidates;
mod form;
mod header;
mod key;
mod message;
mod origin;
mod probe;
mod reorder;
mod schemes;
mod target;

use std::sync::Arc;

use smallvec::SmallVec;

pub use algorithm::Algorithm;
pub use candidates::Candidate;
pub use form::{Order, Parameters};
pub use header::{MalformedSignature, Selector, Signature};
pub use key::{Accounts, EmptySecret, Key, Keyring};
pub use message::{BodyKind, Message, NotCovered};
pub use origin::{Origin, OriginFault, OriginForm, Port, Scheme, split_port};
pub use probe::{ProbeKey, TokenShape};
pub use reorder::QueryOrder;
pub use schemes::{
    BodyKey, BodyScheme, BodySignature, Lookup, PublicKey, PublicKeyFault, SignedBody, Values,
    VerificationKey, signature_fields,
};
pub use target::Spelling;

/// The key that signed a message, and the string that it signed.
#[derive(Clone, Debug)]
#[must_use]
pub struct Proof {
    /// The key's name, never its secret.
    pub key: Arc<str>,
    /// Whether the key was looked up by the account that the request names.
    pub is_of_accounts: bool,
    /// The string that was signed; `None` where no URL is signed.
    pub candidate: Option<Candidate>,
    /// The scheme of the public URL that was signed, if one was.
    pub scheme: Option<Scheme>,
}

/// The reason for which a message is not proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unproven {
    /// The request selects no configured key.
    #[error("no configured key could be meant")]
    UnknownKey,
    /// No token is configured for the account that the request names.
    #[error("no token is configured for this account")]
    UnknownAccount,
    /// No key signed any candidate.
    #[error("no key signed it")]
    Mismatch,
    /// Signed by a key that is not valid for the account that the request names.
    #[error("signed by another account's key")]
    OtherAccount,
    /// Signed at a time that is too far from now.
    #[error("signed too long ago, or in the future")]
    Stale,
}

/// Decides whether one of the keys signed this message at one of these origins.
///
/// # Errors
/// [`Unproven`].
pub fn verify(
    message: &Message<'_>,
    origins: &[&Origin],
    keyring: &Keyring,
    selector: Selector<'_>,
    signature: &Signature,
) -> Result<Proof, Unproven> {
    let mut form = Parameters::default();
    form.read(message.form());
    let keys = keyring.candidate_keys(selector, message, &form);
    if keys.is_empty() {
        let named = selector == Selector::AuthToken && message.account(&form).is_some();
        return Err(if named { Unproven::UnknownAccount } else { Unproven::UnknownKey });
    }
    let mut signers: SmallVec<[&Key; 4]> = SmallVec::new();
    let found = candidates::search(message, &form, origins, keys.len(), &mut |parts| {
        signers.extend(keys.iter().copied().filter(|key| key.signed(signature, parts)));
        !signers.is_empty()
    });
    let (candidate, scheme) = found.ok_or(Unproven::Mismatch)?;
    let signer = signers
        .into_iter()
        .find(|key| key.account().is_none_or(|sid| message.speaks_for(sid, &form)))
        .ok_or(Unproven::OtherAccount)?;
    let is_of_accounts = signer.is_of_accounts();
    let (candidate, scheme) = (Some(candidate), Some(scheme));
    Ok(Proof { key: Arc::clone(signer.name()), is_of_accounts, candidate, scheme })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGIN: &str = "https://hooks.example.com";
    const ACCOUNT: &str = "AC00000000000000000000000000000001";
    const OTHER: &str = "AC00000000000000000000000000000002";

    fn key(secret: &str, algorithm: Algorithm) -> Key {
        Key::new(secret, secret.as_bytes(), algorithm).unwrap()
    }

    fn sha1(secret: &str) -> Key {
        key(secret, Algorithm::HmacSha1)
    }

    /// Verifies a form signed by `signer`. Returns the name of the key that proves it.
    fn judged(
        keyring: &Keyring,
        selector: Selector<'_>,
        signer: &Key,
        body: &str,
    ) -> Result<String, Unproven> {
        let tail = Parameters::parse(body.as_bytes()).sorted(Order::Bytes);
        let text = signer.sign(format!("{ORIGIN}/voice").as_bytes(), &tail);
        let signature = Signature::parse(text.as_bytes()).unwrap();
        let message = Message::bind(BodyKind::Form, b"/voice", body.as_bytes()).unwrap();
        let origin = Origin::parse(ORIGIN).unwrap();
        let proof = verify(&message, &[&origin], keyring, selector, &signature)?;
        assert_eq!(proof.candidate.unwrap().label(), "received");
        Ok(proof.key.to_string())
    }

    fn ok(name: &str) -> Result<String, Unproven> {
        Ok(name.to_owned())
    }

    #[test]
    fn any_token_of_the_route_is_accepted() {
        let keyring = Keyring::new(vec![sha1("one"), sha1("two")], None);
        let judged = |signer: &Key| judged(&keyring, Selector::AuthToken, signer, "a=1");
        assert_eq!(judged(&sha1("one")), ok("one"));
        assert_eq!(judged(&sha1("two")), ok("two"));
        assert_eq!(judged(&sha1("three")), Err(Unproven::Mismatch));
        assert_eq!(judged(&key("one", Algorithm::HmacSha256)), Err(Unproven::Mismatch));
        assert!(!keyring.is_empty() && keyring.keys().len() == 2 && keyring.accounts() == 0);
        assert!(keyring.knows(Selector::AuthToken));
    }

    #[test]
    fn empty_keyring_proves_nothing() {
        let empty = Keyring::default();
        let proven = judged(&empty, Selector::AuthToken, &sha1("one"), "a=1");
        assert_eq!(proven, Err(Unproven::UnknownKey));
        assert!(empty.is_empty() && !empty.knows(Selector::AuthToken));
        let no_account = Keyring::new(Vec::new(), Some(Arc::default()));
        assert!(no_account.is_empty() && !no_account.knows(Selector::AuthToken));
    }

    #[test]
    fn token_of_one_account_is_refused_for_another() {
        let keyring = Keyring::new(vec![sha1("bound").for_account(ACCOUNT)], None);
        let judged = |body: &str| judged(&keyring, Selector::AuthToken, &sha1("bound"), body);
        assert_eq!(judged(&format!("AccountSid={ACCOUNT}")), ok("bound"));
        for body in [
            "a=1",
            "AccountSid=",
            &format!("AccountSid={OTHER}"),
            &format!("AccountSid={ACCOUNT}&AccountSid={OTHER}"),
        ] {
            assert_eq!(judged(body), Err(Unproven::OtherAccount), "{body}");
        }
        assert_eq!(keyring.keys()[0].account(), Some(ACCOUNT));
        assert_eq!(sha1("x").account(), None);
    }

    #[test]
    fn subaccount_token_is_found_by_its_sid() {
        let mut accounts = Accounts::default();
        assert!(accounts.is_empty());
        accounts.insert(ACCOUNT, sha1("first"));
        accounts.insert(ACCOUNT, sha1("second"));
        accounts.insert(OTHER, sha1("other"));
        assert!(!accounts.is_empty() && accounts.len() == 2);
        let keyring = Keyring::new(Vec::new(), Some(Arc::new(accounts)));
        assert!(!keyring.is_empty() && keyring.accounts() == 2);
        assert!(keyring.knows(Selector::AuthToken));
        assert!(!keyring.knows(Selector::SharedKey(b"k")));
        let judged = |signer: &str, sid: &str| {
            let body = format!("AccountSid={sid}&a=1");
            judged(&keyring, Selector::AuthToken, &sha1(signer), &body)
        };
        assert_eq!(judged("first", ACCOUNT), ok("first"));
        assert_eq!(judged("second", ACCOUNT), ok("second"));
        assert_eq!(judged("other", OTHER), ok("other"));
        assert_eq!(judged("other", ACCOUNT), Err(Unproven::Mismatch));
        assert_eq!(judged("first", OTHER), Err(Unproven::Mismatch));
        assert_eq!(judged("first", "AC3"), Err(Unproven::UnknownAccount));
    }

    #[test]
    fn shared_key_is_used_only_if_selected() {
        let shared = || key("shared", Algorithm::HmacSha256).with_id("k1");
        let keyring = Keyring::new(vec![sha1("token"), shared()], None);
        let judged = |selector, signer: &Key| judged(&keyring, selector, signer, "a=1");
        assert_eq!(judged(Selector::SharedKey(b"k1"), &shared()), ok("shared"));
        assert_eq!(judged(Selector::AuthToken, &shared()), Err(Unproven::Mismatch));
        assert_eq!(judged(Selector::SharedKey(b"k1"), &sha1("token")), Err(Unproven::Mismatch));
        assert_eq!(judged(Selector::SharedKey(b"k2"), &shared()), Err(Unproven::UnknownKey));
        assert_eq!(judged(Selector::Unreadable, &sha1("token")), Err(Unproven::UnknownKey));
        assert!(keyring.knows(Selector::SharedKey(b"k1")));
        assert!(!keyring.knows(Selector::SharedKey(b"k2")));
        assert!(!keyring.knows(Selector::Unreadable));
        assert_eq!(keyring.keys()[1].id(), Some("k1"));
        assert_eq!(sha1("x").id(), None);
    }

    #[test]
    fn signature_matches_only_its_own_mac() {
        let made = |secret: &str| {
            Signature::parse(sha1(secret).sign(b"https://h/", b"").as_bytes()).unwrap()
        };
        let (one, other) = (made("one"), made("other"));
        assert!(one.mac() != other.mac() && one.mac()[20..] == [0; 12]);
        assert!(one.matches(&one.mac()[..20]) && !one.matches(&other.mac()[..20]));
        assert!(!one.matches(&one.mac()) && !one.matches(b""));
        let mut flipped = one.mac();
        flipped[19] ^= 1;
        assert!(!one.matches(&flipped[..20]));
    }
}
