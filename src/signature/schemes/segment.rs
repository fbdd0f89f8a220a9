//! Segment's webhook destinations (<https://segment.com/docs/connections/destinations/catalog/webhooks/>):
//! lower-case hex of HMAC-SHA1 over the body, keyed with the shared secret.

use smallvec::SmallVec;

use super::{BodyKey, BodySignature, Lookup, Scheme, only};
use crate::signature::{
    header::{MalformedSignature, Signature},
    key::Key,
};

pub(super) const SIGNATURE: &str = "X-Signature";

/// The shared secrets of a route.
#[derive(Debug)]
pub(super) struct Segment {
    secrets: Vec<(BodyKey, Key)>,
}

impl Segment {
    pub(super) fn new(secrets: Vec<Key>) -> Self {
        // Two secrets are the same if they sign the same text alike.
        let identify = |key: Key| (BodyKey::new(key.name(), key.sign(b"", b"").as_bytes()), key);
        Self { secrets: secrets.into_iter().map(identify).collect() }
    }
}

impl Scheme for Segment {
    fn name(&self) -> &'static str {
        "segment"
    }

    fn fields(&self) -> &'static [&'static str] {
        &[SIGNATURE]
    }

    fn read(&self, field: &Lookup<'_>) -> Result<BodySignature, MalformedSignature> {
        let signature = Signature::parse_hex(only(field, SIGNATURE)?)?;
        let mac = signature.mac();
        let mac = mac.get(..signature.algorithm().mac_len()).unwrap_or_default();
        Ok(BodySignature { signature: mac.into(), prefix: SmallVec::new(), time: None })
    }

    fn signer(&self, signature: &BodySignature, text: &[u8]) -> Option<&BodyKey> {
        let signature = Signature::from_sha1(&signature.signature)?;
        let signed = |(_, key): &&(BodyKey, Key)| key.signed(&signature, [text, b"", b""]);
        self.secrets.iter().find(signed).map(|(key, _)| key)
    }

    fn keys(&self) -> Vec<&BodyKey> {
        self.secrets.iter().map(|(key, _)| key).collect()
    }

    fn is_costly(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::signature::{Algorithm, BodyScheme};

    #[test]
    fn lower_case_hex_of_a_known_secrets_mac_is_proven() {
        let key = |secret: &str| Key::new(secret, secret.as_bytes(), Algorithm::HmacSha1).unwrap();
        let scheme = BodyScheme::segment(vec![key("other"), key("key")]);
        // RFC 2202 has no such text; this is the example of Wikipedia's article on HMAC.
        let mac = "de7c9b85b8b78aa6bc8a7a36f70a90701c9db4d9";
        let text = b"The quick brown fox jumps over the lazy dog";
        let signer = |mac: &str, text: &'static [u8]| {
            let field = |_: &str| SmallVec::from_slice(&[mac.as_bytes()]);
            let signature = scheme.read(&field).ok()?;
            let signed = scheme.verify(&signature, text, UNIX_EPOCH).ok()?;
            Some(signed.proof().key.to_string())
        };
        assert_eq!(signer(mac, text), Some("key".to_owned()));
        assert_eq!(signer(mac, b"The quick brown fox jumps over the lazy cog"), None);
        for wrong in ["", &mac[1..], &mac.to_uppercase(), &format!("sha1={mac}"), &mac.repeat(2)] {
            assert_eq!(signer(wrong, text), None, "{wrong}");
        }
    }
}
