//! What Twilio signs, and whether it did. Bytes in, decision out: no I/O, no HTTP types, no
//! clock, no logging.
//!
//! | file | holds |
//! | --- | --- |
//! | `header` | the signature and the key that a request names |
//! | `key` | keyed MACs, and which of them may be meant |
//! | `form` | form decoding to bytes, and the two sort orders |
//! | `message` | the proof that every body byte is bound |
//! | `origin`, `target` | the URL, and its other spellings |
//! | `candidates` | the strings that may have been signed, in order |
//!
//! The scheme: base64 of HMAC over the URL followed, for forms, by every name and value, sorted
//! (<https://www.twilio.com/docs/usage/security>). What it leaves open is told in the README.

mod candidates;
mod form;
mod header;
mod key;
mod message;
mod origin;
mod target;

use std::sync::Arc;

use smallvec::SmallVec;

pub use candidates::Candidate;
pub use form::{Order, Parameters};
pub use header::{Malformed, Selector, Signature};
pub use key::{Accounts, Algorithm, EmptySecret, Key, Keyring};
pub use message::{Message, NotCovered, Shape};
pub use origin::{Origin, OriginFault, OriginForm, Port, Scheme, split_port};
pub use target::Spelling;

/// What is known of a proven message: which key signed which string.
#[derive(Clone, Debug)]
#[must_use]
pub struct Proof {
    /// The key's name, never its secret.
    pub key: Arc<str>,
    /// How what was signed is spelled.
    pub candidate: Candidate,
}

/// Why a message is not proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unproven {
    /// No configured key could be meant.
    #[error("no configured key could be meant")]
    UnknownKey,
    /// No key signed any candidate.
    #[error("no key signed it")]
    Mismatch,
    /// A key signed it that may not speak for the account that the request names.
    #[error("signed by another account's key")]
    OtherAccount,
}

/// Decides whether one of the keys signed this message.
///
/// # Errors
/// [`Unproven`].
pub fn verify(
    message: &Message<'_>,
    origin: &Origin,
    keyring: &Keyring,
    selector: Selector<'_>,
    signature: &Signature,
) -> Result<Proof, Unproven> {
    let mut form = Parameters::default();
    form.read(message.form());
    let keys = keyring.candidates(selector, message, &form);
    if keys.is_empty() {
        return Err(Unproven::UnknownKey);
    }
    let mut signers: SmallVec<[&Key; 4]> = SmallVec::new();
    let found = candidates::search(message, &form, origin, keys.len(), &mut |parts| {
        signers.extend(keys.iter().copied().filter(|key| key.signed(signature, parts)));
        !signers.is_empty()
    });
    let candidate = found.ok_or(Unproven::Mismatch)?;
    let signer = signers
        .into_iter()
        .find(|key| key.account().is_none_or(|sid| message.speaks_for(sid, &form)))
        .ok_or(Unproven::OtherAccount)?;
    Ok(Proof { key: Arc::clone(signer.name()), candidate })
}
