//! Parses the signature header and the headers that select a key.

use base64::{Engine, engine::general_purpose::STANDARD};
use subtle::ConstantTimeEq;

use super::{algorithm::Algorithm, form::unhex};

/// A decoded `X-Twilio-Signature`: one MAC, from canonical base64.
///
/// Twilio's libraries compare the base64 text, so unpadded, url-safe and non-canonical base64 is
/// refused here too. `PartialEq` is missing on purpose: MACs are compared in constant time only.
#[derive(Clone, Copy)]
pub struct Signature {
    mac: [u8; 32],
    algorithm: Algorithm,
}

/// The header is not canonical base64 of 20 or 32 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not canonical base64 of 20 or 32 bytes")]
pub struct MalformedSignature;

impl Signature {
    /// Parses a header value: 28 characters (HMAC-SHA1) or 44 (HMAC-SHA256), without white space.
    ///
    /// # Errors
    /// [`MalformedSignature`] for anything else.
    pub fn parse(value: &[u8]) -> Result<Self, MalformedSignature> {
        let algorithm = match value.len() {
            28 => Algorithm::HmacSha1,
            44 => Algorithm::HmacSha256,
            _ => return Err(MalformedSignature),
        };
        // The decoder asks for whole quanta: 44 characters may need 33 bytes before their padding is seen.
        let mut decoded = [0; 33];
        let length = STANDARD.decode_slice(value, &mut decoded).map_err(|_| MalformedSignature)?;
        if length != algorithm.mac_len() {
            return Err(MalformedSignature);
        }
        let mac = decoded.first_chunk().copied().ok_or(MalformedSignature)?;
        Ok(Self { mac, algorithm })
    }

    /// Parses lower-case hex of an HMAC-SHA1.
    ///
    /// # Errors
    /// [`MalformedSignature`] for anything else.
    pub(super) fn parse_hex(value: &[u8]) -> Result<Self, MalformedSignature> {
        let mut mac = [0; 20];
        let is_lower = !value.iter().any(u8::is_ascii_uppercase);
        let (digits, []) = value.as_chunks::<2>() else { return Err(MalformedSignature) };
        if digits.len() != mac.len() || !is_lower {
            return Err(MalformedSignature);
        }
        for (byte, [high, low]) in mac.iter_mut().zip(digits) {
            *byte = unhex(*high, *low).ok_or(MalformedSignature)?;
        }
        Self::from_sha1(&mac).ok_or(MalformedSignature)
    }

    /// Takes the 20 bytes of an HMAC-SHA1.
    pub(super) fn from_sha1(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; 20] = bytes.try_into().ok()?;
        let mut mac = [0; 32];
        mac.first_chunk_mut().map(|start: &mut [u8; 20]| *start = *bytes)?;
        Some(Self { mac, algorithm: Algorithm::HmacSha1 })
    }

    /// The algorithm, derived from the length.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The MAC as received, padded with zeros. Not a secret.
    #[must_use]
    pub const fn mac(&self) -> [u8; 32] {
        self.mac
    }

    /// Compares in constant time. Returns at once if the lengths differ, which are not secret.
    pub(super) fn matches(&self, mac: &[u8]) -> bool {
        self.mac.get(..self.algorithm.mac_len()).is_some_and(|own| own.ct_eq(mac).into())
    }
}

/// The key that a request claims to be signed with. It never selects an algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selector<'a> {
    /// No SharedKey header: one of the auth tokens, with HMAC-SHA1.
    AuthToken,
    /// A SharedKey by its id.
    SharedKey(&'a [u8]),
    /// The headers contradict each other or name no key: selects none.
    Unreadable,
}

impl<'a> Selector<'a> {
    /// Parses `X-Twilio-Webhooks-Signature-Settings: key=ID,algorithm=…` (public beta 2026,
    /// twilio-python 9.13.0) and `X-Twilio-Signature-Key-Sid: ID` (the earlier private beta).
    pub fn parse(
        settings: impl Iterator<Item = &'a [u8]>,
        key_sids: impl Iterator<Item = &'a [u8]>,
    ) -> Self {
        let named = settings.map(key_in_settings).chain(key_sids.map(|id| Some(id.trim_ascii())));
        let mut selector = Self::AuthToken;
        for id in named {
            selector = match (selector, id) {
                (_, None | Some(b"")) => return Self::Unreadable,
                (Self::AuthToken, Some(id)) => Self::SharedKey(id),
                (Self::SharedKey(known), Some(id)) if known == id => selector,
                _ => return Self::Unreadable,
            };
        }
        selector
    }
}

/// The only `key=` of a settings header; `None` for none or several.
fn key_in_settings(value: &[u8]) -> Option<&[u8]> {
    let mut keys = value
        .split(|&byte| byte == b',')
        .filter_map(|setting| setting.trim_ascii().strip_prefix(b"key="));
    keys.next().filter(|_| keys.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_canonical_base64_of_a_mac_is_accepted() {
        assert!(Signature::parse(b"RSOYDt4T1cUTdK1PDd93/VVr8B8=").is_ok());
        let shared = Signature::parse(b"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=").unwrap();
        assert_eq!(shared.algorithm(), Algorithm::HmacSha256);
        for text in [
            "",
            "RSOYDt4T1cUTdK1PDd93/VVr8B8",   // no padding
            "RSOYDt4T1cUTdK1PDd93_VVr8B8=",  // url-safe
            "RSOYDt4T1cUTdK1PDd93/VVr8B9=",  // not canonical: low bits set
            "RSOYDt4T1cUTdK1PDd93/VVr8B8==", // too long
            "RSOYDt4T1cUTdK1PDd93/VVr8BAA",  // 21 bytes
            "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", // 33 bytes
            " RSOYDt4T1cUTdK1PDd93/VVr8B8",
        ] {
            assert!(Signature::parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn contradictory_selectors_are_unreadable() {
        fn read<'a>(settings: &[&'a str], sids: &[&'a str]) -> Selector<'a> {
            Selector::parse(
                settings.iter().map(|text| text.as_bytes()),
                sids.iter().map(|text| text.as_bytes()),
            )
        }
        assert_eq!(read(&[], &[]), Selector::AuthToken);
        assert_eq!(read(&["key=k,algorithm=HMAC_SHA1"], &[]), Selector::SharedKey(b"k"));
        assert_eq!(read(&["algorithm=X, key=k"], &["k"]), Selector::SharedKey(b"k"));
        assert_eq!(read(&[], &["k"]), Selector::SharedKey(b"k"));
        for (settings, sids) in [
            (vec!["algorithm=HMAC_SHA1"], vec![]),
            (vec!["key="], vec![]),
            (vec!["key=a,key=a"], vec![]),
            (vec!["key=a", "key=b"], vec![]),
            (vec!["key=a"], vec!["b"]),
            (vec![], vec![""]),
        ] {
            assert_eq!(read(&settings, &sids), Selector::Unreadable, "{settings:?} {sids:?}");
        }
    }
}
