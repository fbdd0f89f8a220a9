//! Keys to explain a refusal with: they test any text and can admit nothing.

use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::Sha256;

use super::{
    algorithm::Algorithm,
    header::Signature,
    key::{EmptySecret, Key},
};

/// A configured secret, keyed for both MACs. No [`super::Keyring`] takes one, so what it matches
/// proves nothing to the gate.
pub struct ProbeKey {
    name: Arc<str>,
    account: Option<Box<str>>,
    id: Option<Box<str>>,
    algorithm: Algorithm,
    sha1: Hmac<Sha1>,
    sha256: Hmac<Sha256>,
    shape: Option<TokenShape>,
    repaired: Vec<Self>,
}

/// A reason why a configured text cannot be an auth token, which is 32 lower-case hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenShape {
    /// It has capitals.
    Capitals,
    /// It is `$NAME` or `${NAME}`.
    Variable,
    /// It is `NAME=value`.
    Assignment,
    /// It begins with a byte order mark.
    ByteOrderMark,
    /// Quotes or blanks stand around it.
    Wrapped,
    /// It has a blank in it.
    Blank,
    /// It is a SID: `AC`, `SK` or another pair of letters, and 32 hex digits.
    Sid,
    /// It is as long as a token, with letters beyond `f`: an API key's secret.
    ApiSecret,
    /// Any other text.
    Other,
}

impl TokenShape {
    /// Returns why this text cannot be an auth token; `None` where it can.
    #[must_use]
    pub fn of(secret: &[u8]) -> Option<Self> {
        let has_capitals = secret.iter().any(u8::is_ascii_uppercase);
        if is_hex(secret) {
            return has_capitals.then_some(Self::Capitals);
        }
        Some(match secret {
            [b'$', b'{' | b'_' | b'A'..=b'Z' | b'a'..=b'z', ..] => Self::Variable,
            _ if is_assignment(secret) => Self::Assignment,
            _ if secret.starts_with("\u{feff}".as_bytes()) => Self::ByteOrderMark,
            _ if unwrapped(secret).len() < secret.len() => Self::Wrapped,
            _ if secret.iter().any(u8::is_ascii_whitespace) => Self::Blank,
            _ if is_sid(secret) => Self::Sid,
            _ if secret.len() == 32 && secret.iter().all(u8::is_ascii_alphanumeric) => {
                Self::ApiSecret
            }
            _ => Self::Other,
        })
    }

    /// Returns whether it can only be a mistake. The others may be tokens of a test.
    #[must_use]
    pub const fn is_fault(self) -> bool {
        matches!(self, Self::Capitals | Self::Variable | Self::Assignment)
    }

    /// Returns what it is, in half a sentence.
    #[must_use]
    pub const fn says(self) -> &'static str {
        match self {
            Self::Capitals => "it has capitals",
            Self::Variable => "it is the name of a variable, not its value",
            Self::Assignment => "it begins with NAME=",
            Self::ByteOrderMark => "it begins with a byte order mark",
            Self::Wrapped => "quotes or blanks stand around it",
            Self::Blank => "it has a blank in it",
            Self::Sid => "it is a SID",
            Self::ApiSecret => "it looks like the secret of an API key",
            Self::Other => "it is not 32 digits and small letters",
        }
    }

    /// Returns how to correct it.
    #[must_use]
    pub const fn cure(self) -> &'static str {
        match self {
            Self::Capitals => {
                "write it as the Twilio console shows it: 32 digits and small letters"
            }
            Self::Variable => "write { env = \"NAME\" }: nothing expands $NAME here",
            Self::Assignment => "write the value alone, without NAME=",
            Self::ByteOrderMark => "save the file as UTF-8 without a byte order mark",
            Self::Wrapped => "remove the quotes, blanks or brackets around it",
            Self::Blank => "remove the blank",
            Self::Sid => {
                "copy the auth token from the Twilio console: a SID is a name, not a secret"
            }
            Self::ApiSecret => "copy the auth token of the account: no API key signs webhooks",
            Self::Other => "copy the auth token from the Twilio console",
        }
    }
}

impl ProbeKey {
    /// Keys both MACs with the secret of `key`, for an auth token or SharedKey of this algorithm.
    ///
    /// # Errors
    /// [`EmptySecret`].
    pub fn new(key: &Key, secret: &[u8], algorithm: Algorithm) -> Result<Self, EmptySecret> {
        let shape = if key.id().is_some() { None } else { TokenShape::of(secret) };
        let repairs = shape.map(|_| repairs(secret)).unwrap_or_default();
        let bare = |secret: &[u8]| Self::bare(key, secret, algorithm);
        let repaired = repairs.iter().map(|secret| bare(secret)).collect::<Result<_, _>>()?;
        Ok(Self { shape, repaired, ..bare(secret)? })
    }

    fn bare(key: &Key, secret: &[u8], algorithm: Algorithm) -> Result<Self, EmptySecret> {
        if secret.is_empty() {
            return Err(EmptySecret);
        }
        Ok(Self {
            name: Arc::clone(key.name()),
            account: key.account().map(Into::into),
            id: key.id().map(Into::into),
            algorithm,
            sha1: Hmac::new_from_slice(secret).map_err(|_| EmptySecret)?,
            sha256: Hmac::new_from_slice(secret).map_err(|_| EmptySecret)?,
            shape: None,
            repaired: Vec::new(),
        })
    }

    /// The same key, bound to the account under which it is looked up.
    #[must_use]
    pub fn for_account(self, sid: &str) -> Self {
        Self { account: Some(sid.into()), ..self }
    }

    /// Returns whether it is the key that this one was made from.
    #[must_use]
    pub fn is_of(&self, key: &Key) -> bool {
        Arc::ptr_eq(&self.name, key.name())
    }

    /// Returns the name in logs, never the secret.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the only account that it may speak for, if it is bound to one.
    #[must_use]
    pub fn account(&self) -> Option<&str> {
        self.account.as_deref()
    }

    /// Returns the id of a SharedKey.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Returns the algorithm that the gate uses it with.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Returns why the text cannot be an auth token; `None` where it can.
    #[must_use]
    pub const fn shape(&self) -> Option<TokenShape> {
        self.shape
    }

    /// Returns the keys that the text may have been meant to be.
    #[must_use]
    pub fn repaired(&self) -> &[Self] {
        &self.repaired
    }

    /// Returns whether this secret made `signature` over these parts in a row, under the algorithm
    /// of the signature's length. Constant time in the MAC.
    #[must_use]
    pub fn signed(&self, signature: &Signature, parts: &[&[u8]]) -> bool {
        match signature.algorithm() {
            Algorithm::HmacSha1 => signature.matches(&mac(&self.sha1, parts)),
            Algorithm::HmacSha256 => signature.matches(&mac(&self.sha256, parts)),
        }
    }
}

impl std::fmt::Debug for ProbeKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProbeKey").field("name", &self.name).finish_non_exhaustive()
    }
}

fn mac<M: Mac + Clone>(keyed: &M, parts: &[&[u8]]) -> hmac::digest::Output<M> {
    let mut mac = keyed.clone();
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes()
}

fn is_hex(text: &[u8]) -> bool {
    text.len() == 32 && text.iter().all(u8::is_ascii_hexdigit)
}

/// Two capitals and 32 hex digits.
fn is_sid(text: &[u8]) -> bool {
    text.split_at_checked(2)
        .is_some_and(|(kind, digits)| kind.iter().all(u8::is_ascii_uppercase) && is_hex(digits))
}

/// A line as in a `.env` file or a shell script.
fn is_assignment(text: &[u8]) -> bool {
    let text = text.strip_prefix(b"export ").unwrap_or(text);
    let name = text.iter().position(|&byte| byte == b'=').and_then(|at| text.split_at_checked(at));
    let is_name = |name: &[u8]| {
        name.first().is_some_and(|first| !first.is_ascii_digit())
            && name.iter().all(|&byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    name.is_some_and(|(name, value)| is_name(name) && value.iter().any(|&byte| byte != b'='))
}

/// Removes quotes, blanks and brackets around a text.
fn unwrapped(secret: &[u8]) -> &[u8] {
    let around = |byte: &u8| byte.is_ascii_whitespace() || b"\"'`<>[](){};,".contains(byte);
    let start = secret.iter().position(|byte| !around(byte)).unwrap_or(secret.len());
    let end = secret.iter().rposition(|byte| !around(byte)).map_or(0, |at| at.saturating_add(1));
    secret.get(start..end).unwrap_or_default()
}

/// The texts that may have been meant: without what stands around, in small letters, without a
/// name before it.
fn repairs(secret: &[u8]) -> Vec<zeroize::Zeroizing<Vec<u8>>> {
    let bare = unwrapped(secret);
    let after_name = bare.iter().rposition(|byte| b"=: ".contains(byte));
    let value = after_name.and_then(|at| bare.get(at.saturating_add(1)..)).map(unwrapped);
    let no_blanks: Vec<u8> =
        secret.iter().copied().filter(|byte| byte.is_ascii_alphanumeric()).collect();
    let mut found: Vec<zeroize::Zeroizing<Vec<u8>>> = Vec::new();
    for text in [Some(bare), value, Some(&no_blanks)].into_iter().flatten() {
        for text in [text.to_vec(), text.to_ascii_lowercase()] {
            if !text.is_empty() && text != secret && found.iter().all(|known| **known != text) {
                found.push(text.into());
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_no_auth_token_says_why() {
        for (text, shape) in [
            ("0f1e2d3c4b5a69788796a5b4c3d2e1f0", None),
            ("0F1E2D3C4B5A69788796A5B4C3D2E1F0", Some(TokenShape::Capitals)),
            ("'0f1e2d3c4b5a69788796a5b4c3d2e1f0'", Some(TokenShape::Wrapped)),
            ("AC0f1e2d3c4b5a69788796a5b4c3d2e1f0", Some(TokenShape::Sid)),
            ("Zf1e2d3c4b5a69788796a5b4c3d2e1f0", Some(TokenShape::ApiSecret)),
            ("SK0f1e2d3c4b5a69788796a5b4c3d2e1f0", Some(TokenShape::Sid)),
            ("$TWILIO_AUTH_TOKEN", Some(TokenShape::Variable)),
            ("${TWILIO_AUTH_TOKEN}", Some(TokenShape::Variable)),
            ("TOKEN=0f1e2d3c4b5a69788796a5b4c3d2e1f0", Some(TokenShape::Assignment)),
            ("export TOKEN='0f1e2d3c4b5a69788796a5b4c3d2e1f0'", Some(TokenShape::Assignment)),
            ("\u{feff}0f1e2d3c4b5a69788796a5b4c3d2e1f0", Some(TokenShape::ByteOrderMark)),
            ("0f1e2d3c4b5a6978 8796a5b4c3d2e1f0", Some(TokenShape::Blank)),
            ("c2VjcmV0cw==", Some(TokenShape::Other)),
            ("secret=", Some(TokenShape::Other)),
            ("secret", Some(TokenShape::Other)),
        ] {
            assert_eq!(TokenShape::of(text.as_bytes()), shape, "{text}");
        }
    }

    #[test]
    fn a_repaired_key_signs_as_the_token_itself() {
        let token = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";
        let good = Key::new("good", token.as_bytes(), Algorithm::HmacSha1).unwrap();
        let signature = Signature::parse(good.sign(b"https://h/", b"").as_bytes()).unwrap();
        for text in [format!("\"{token}\""), token.to_uppercase(), format!("TOKEN={token}")] {
            let key = Key::new("k", text.as_bytes(), Algorithm::HmacSha1).unwrap();
            let probe = ProbeKey::new(&key, text.as_bytes(), Algorithm::HmacSha1).unwrap();
            assert!(probe.is_of(&key) && !probe.signed(&signature, &[b"https://h/"]));
            assert!(
                probe.repaired().iter().any(|key| key.signed(&signature, &[b"https://", b"h/"]))
            );
        }
    }
}
