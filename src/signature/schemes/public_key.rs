//! Reads P-256 public keys as people paste them: base64 of a DER SubjectPublicKeyInfo (RFC 5480),
//! with or without a PEM frame and blanks.

use base64::{
    Engine,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use ring::{agreement, rand::SystemRandom};
use zeroize::Zeroizing;

/// A point on the curve P-256, uncompressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicKey {
    point: [u8; POINT],
}

/// The reason for which a text is no usable public key. None of them quotes the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublicKeyFault {
    /// Nothing but blanks.
    #[error("the key is empty")]
    Empty,
    /// Not base64.
    #[error("the key is not base64")]
    NotBase64,
    /// A private key.
    #[error("this is a private key: whoever has it can sign")]
    Private,
    /// A certificate.
    #[error("this is a certificate, not a public key")]
    Certificate,
    /// A public key for another algorithm or on another curve.
    #[error("this is a public key for {0}; SendGrid signs with P-256")]
    Other(&'static str),
    /// A point on P-256 in its short form.
    #[error("the key holds a compressed point")]
    Compressed,
    /// Not a point on P-256.
    #[error("the key is damaged: it is no point on the curve P-256")]
    NotOnCurve,
    /// Anything else.
    #[error("the key is no public key of 91 bytes: it is cut off, or something else")]
    NoKey,
}

/// The bytes of an uncompressed point: 4, X and Y.
const POINT: usize = 65;

/// The DER header of every P-256 key with an uncompressed point: id-ecPublicKey and prime256v1
/// (RFC 5480 §2.1.1).
const UNCOMPRESSED: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// The object identifier of the curve, with its header.
const P256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];

/// The object identifiers of other keys, with their headers.
const OTHERS: [(&[u8], &str); 8] = [
    (&[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22], "the curve P-384"),
    (&[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23], "the curve P-521"),
    (&[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x0a], "the curve secp256k1"),
    (&[0x06, 0x03, 0x2b, 0x65, 0x70], "Ed25519"),
    (&[0x06, 0x03, 0x2b, 0x65, 0x71], "Ed448"),
    (&[0x06, 0x03, 0x2b, 0x65, 0x6e], "X25519"),
    (&[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01], "RSA"),
    (&[0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01], "another curve"),
];

/// A key is no signature: a missing `=` at its end changes nothing.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

impl PublicKey {
    /// Reads a key; a PEM frame, white space and `\n` written as two characters are ignored.
    ///
    /// # Errors
    /// [`PublicKeyFault`].
    pub fn parse(text: &str) -> Result<Self, PublicKeyFault> {
        let text = Zeroizing::new(text.replace("\\r", "\n").replace("\\n", "\n"));
        if text.contains("PRIVATE KEY") {
            return Err(PublicKeyFault::Private);
        }
        if text.contains("BEGIN CERTIFICATE") {
            return Err(PublicKeyFault::Certificate);
        }
        let digits = Zeroizing::new(unframed(&text));
        if digits.is_empty() {
            return Err(PublicKeyFault::Empty);
        }
        let der = LENIENT.decode(&*digits).map_err(|_| PublicKeyFault::NotBase64)?;
        Self::from_der(&Zeroizing::new(der))
    }

    fn from_der(der: &[u8]) -> Result<Self, PublicKeyFault> {
        let point = der.strip_prefix(UNCOMPRESSED).and_then(|point| point.try_into().ok());
        let Some(point) = point else { return Err(fault_of(der)) };
        if is_on_curve(&point) { Ok(Self { point }) } else { Err(PublicKeyFault::NotOnCurve) }
    }

    /// Takes an uncompressed point.
    ///
    /// # Errors
    /// [`PublicKeyFault::NotOnCurve`].
    pub fn from_point(point: &[u8]) -> Result<Self, PublicKeyFault> {
        Self::from_der(&[UNCOMPRESSED, point].concat())
    }

    /// The uncompressed point.
    #[must_use]
    pub const fn point(&self) -> &[u8; POINT] {
        &self.point
    }

    /// The key in base64, on one line, as SendGrid shows it.
    #[must_use]
    pub fn to_base64(&self) -> String {
        LENIENT.encode([UNCOMPRESSED, &self.point[..]].concat())
    }
}

/// The text without its PEM frame and without white space.
fn unframed(text: &str) -> String {
    let mut digits = String::new();
    for (at, part) in text.split("-----").enumerate() {
        let is_frame = at % 2 == 1; // between two rows of dashes
        digits.extend(part.chars().filter(|c| !is_frame && !c.is_whitespace()));
    }
    digits
}

/// Names what a DER text is, if it is no uncompressed P-256 key.
fn fault_of(der: &[u8]) -> PublicKeyFault {
    match contents(der) {
        // PKCS#8, SEC 1 and PKCS#1 private keys begin with a version of one byte.
        Some([0x02, 0x01, ..]) => PublicKeyFault::Private,
        Some([0x02, ..]) => PublicKeyFault::Other("RSA"),
        // A certificate's first element has a version, [0], as its own first element.
        Some(first @ [0x30, ..]) if matches!(contents(first), Some([0xa0, ..])) => {
            PublicKeyFault::Certificate
        }
        Some([0x30, ..]) => fault_of_algorithm(der),
        _ => PublicKeyFault::NoKey,
    }
}

fn fault_of_algorithm(der: &[u8]) -> PublicKeyFault {
    let holds = |identifier: &[u8]| der.windows(identifier.len()).any(|part| part == identifier);
    if holds(P256) {
        let bits = der.get(UNCOMPRESSED.len().saturating_sub(1)..);
        let is_compressed = matches!(bits, Some([0x00, 2 | 3, x @ ..]) if x.len() == 32);
        return if is_compressed { PublicKeyFault::Compressed } else { PublicKeyFault::NoKey };
    }
    let other = OTHERS.iter().find(|(identifier, _)| holds(identifier));
    other.map_or(PublicKeyFault::NoKey, |(_, name)| PublicKeyFault::Other(name))
}

/// The contents of a DER SEQUENCE that may be cut off.
fn contents(der: &[u8]) -> Option<&[u8]> {
    match der {
        [0x30, length, rest @ ..] if *length < 0x80 => Some(rest),
        [0x30, 0x81, _, rest @ ..] | [0x30, 0x82, _, _, rest @ ..] => Some(rest),
        _ => None,
    }
}

/// Whether this is a point on P-256. ring checks it before it agrees on a key; a signature under a
/// point that is none would only never verify.
fn is_on_curve(point: &[u8; POINT]) -> bool {
    let random = SystemRandom::new();
    let peer = agreement::UnparsedPublicKey::new(&agreement::ECDH_P256, point);
    let own = agreement::EphemeralPrivateKey::generate(&agreement::ECDH_P256, &random);
    own.is_ok_and(|own| agreement::agree_ephemeral(own, &peer, |_| ()).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpiglSI8eNEc6wEA3F+g==";

    #[test]
    fn every_spelling_of_a_key_is_the_same_key() {
        let key = PublicKey::parse(KEY).unwrap();
        assert_eq!(key.to_base64(), KEY);
        assert_eq!(PublicKey::from_point(key.point()), Ok(key));
        let (first, last) = KEY.split_at(64);
        for text in [
            format!(" {KEY}\n"),
            format!("{first}\n{last}"),
            format!("{first}\r\n{last}\r\n"),
            KEY.trim_end_matches('=').to_owned(),
            format!("-----BEGIN PUBLIC KEY-----\n{first}\n{last}\n-----END PUBLIC KEY-----\n"),
            format!("-----BEGIN PUBLIC KEY-----\\n{first}\\n{last}\\n-----END PUBLIC KEY-----\\n"),
            format!("-----BEGIN PUBLIC KEY----- {KEY} -----END PUBLIC KEY-----"),
        ] {
            assert_eq!(PublicKey::parse(&text), Ok(key), "{text}");
        }
    }

    #[test]
    fn other_texts_are_named() {
        let der = LENIENT.decode(KEY).unwrap();
        let text = |bytes: &[u8]| LENIENT.encode(bytes);
        let mut moved = der.clone();
        moved[90] ^= 1;
        let other = |name| PublicKeyFault::Other(name);
        for (given, fault) in [
            (String::new(), PublicKeyFault::Empty),
            (" \n".into(), PublicKeyFault::Empty),
            ("-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----".into(), PublicKeyFault::Empty),
            ("not base64!".into(), PublicKeyFault::NotBase64),
            (KEY.replace('/', "_"), PublicKeyFault::NotBase64),
            ("-----BEGIN EC PRIVATE KEY-----\nAAAA".into(), PublicKeyFault::Private),
            ("-----BEGIN CERTIFICATE-----\nAAAA".into(), PublicKeyFault::Certificate),
            (text(&moved), PublicKeyFault::NotOnCurve),
            (text(&der[..90]), PublicKeyFault::NoKey),
            (text(&[&der[..], &[0]].concat()), PublicKeyFault::NoKey),
            (text(b"hello"), PublicKeyFault::NoKey),
            (
                "MDkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDIgACAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
                    .into(),
                PublicKeyFault::Compressed,
            ),
            ("MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAE".into(), other("the curve P-384")),
            ("MIGbMBAGByqGSM49AgEGBSuBBAAjA4GGAAQ".into(), other("the curve P-521")),
            ("MFYwEAYHKoZIzj0CAQYFK4EEAAoDQgAE".into(), other("the curve secp256k1")),
            (
                "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=".into(),
                other("Ed25519"),
            ),
            ("MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A".into(), other("RSA")),
            ("MIIBCgKCAQEA".into(), other("RSA")),
            ("MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg".into(), PublicKeyFault::Private),
            ("MHcCAQEEIA".into(), PublicKeyFault::Private),
            ("MIIEvgIBADANBgkqhkiG9w0BAQEFAASC".into(), PublicKeyFault::Private),
            ("MIIBtjCCAVugAwIBAgIU".into(), PublicKeyFault::Certificate),
        ] {
            assert_eq!(PublicKey::parse(&given), Err(fault), "{given}");
        }
    }
}
