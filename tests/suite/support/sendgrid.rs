//! Signs as SendGrid does, and makes the malleable twin of a signature.

use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair},
};

use super::{
    message::Message,
    signer::{base64, bytes_of_base64},
};

pub(crate) const SIGNATURE: &str = "X-Twilio-Email-Event-Webhook-Signature";
pub(crate) const TIMESTAMP: &str = "X-Twilio-Email-Event-Webhook-Timestamp";

/// The DER header of an uncompressed P-256 key (RFC 5480).
const SPKI: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgA";

/// The order of the group (SEC 2, section 2.4.2).
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6,
    0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// A key pair of a test.
pub(crate) struct SigningKey {
    pair: EcdsaKeyPair,
    random: SystemRandom,
}

impl SigningKey {
    pub(crate) fn new() -> Self {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).unwrap();
        Self { pair, random }
    }

    /// The verification key as SendGrid shows it.
    pub(crate) fn public(&self) -> String {
        let header = &bytes_of_base64(SPKI)[..26];
        base64(&[header, self.pair.public_key().as_ref()].concat())
    }

    pub(crate) fn sign(&self, timestamp: &str, body: &[u8]) -> String {
        let text = [timestamp.as_bytes(), body].concat();
        base64(self.pair.sign(&self.random, &text).unwrap().as_ref())
    }

    /// A JSON event, signed at this time.
    pub(crate) fn event(&self, path: &str, timestamp: &str, body: &[u8]) -> Message {
        let message = Message::post(path, "application/json", body);
        message.field(SIGNATURE, &self.sign(timestamp, body)).field(TIMESTAMP, timestamp)
    }
}

/// The other valid signature over the same text: `(r, n - s)` for `(r, s)`.
pub(crate) fn twin(signature: &str) -> String {
    let der = bytes_of_base64(signature);
    let (r, rest) = integer(&der[2..]);
    let (s, _) = integer(rest);
    let twin = [encoded(&r), encoded(&minus(ORDER, s))].concat();
    base64(&[&[0x30, u8::try_from(twin.len()).unwrap()][..], &twin].concat())
}

/// Reads a DER INTEGER of at most 32 significant bytes.
fn integer(der: &[u8]) -> ([u8; 32], &[u8]) {
    let (value, rest) = der[2..].split_at(usize::from(der[1]));
    let value = value.strip_prefix(&[0]).unwrap_or(value);
    let mut padded = [0; 32];
    padded[32 - value.len()..].copy_from_slice(value);
    (padded, rest)
}

fn encoded(value: &[u8; 32]) -> Vec<u8> {
    let start = value.iter().position(|&byte| byte > 0).unwrap_or(31);
    let sign: &[u8] = if value[start] > 0x7f { &[0] } else { &[] };
    let length = u8::try_from(sign.len() + 32 - start).unwrap();
    [&[2, length][..], sign, &value[start..]].concat()
}

fn minus(from: [u8; 32], other: [u8; 32]) -> [u8; 32] {
    let mut borrow = 0;
    let mut result = [0; 32];
    for at in (0..32).rev() {
        let difference = i16::from(from[at]) - i16::from(other[at]) - borrow;
        borrow = i16::from(difference < 0);
        result[at] = u8::try_from(difference + 256 * borrow).unwrap();
    }
    result
}
