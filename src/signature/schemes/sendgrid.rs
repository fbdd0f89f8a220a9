//! SendGrid's Event Webhook and Inbound Parse
//! (<https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/getting-started-event-webhook-security-features>):
//! an ECDSA signature on P-256 with SHA-256, in base64 of its DER form, over a timestamp and the
//! body as received. Nothing stands between them.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use smallvec::SmallVec;

use super::{BodyKey, BodySignature, Lookup, PublicKey, Scheme, only};
use crate::signature::header::MalformedSignature;

pub(super) const SIGNATURE: &str = "X-Twilio-Email-Event-Webhook-Signature";
const TIMESTAMP: &str = "X-Twilio-Email-Event-Webhook-Timestamp";

/// The longest DER form of a signature: two integers of 33 bytes with their headers, and one header
/// around them.
const MAX_DER: usize = 72;
/// The length in base64 of [`MAX_DER`] bytes.
const MAX_BASE64: usize = 96;
/// The digits of `u64::MAX`.
const MAX_DIGITS: usize = 20;

/// The verification keys of a route.
#[derive(Debug)]
pub(super) struct SendGrid {
    keys: Vec<VerificationKey>,
}

/// A verification key with its name.
#[derive(Debug)]
pub struct VerificationKey {
    key: BodyKey,
    public: PublicKey,
}

impl VerificationKey {
    /// Names a key; the name appears in logs and counters.
    #[must_use]
    pub fn new(name: &str, public: PublicKey) -> Self {
        Self { key: BodyKey::new(&Arc::from(name), public.point()), public }
    }
}

impl SendGrid {
    pub(super) const fn new(keys: Vec<VerificationKey>) -> Self {
        Self { keys }
    }
}

impl Scheme for SendGrid {
    fn name(&self) -> &'static str {
        "sendgrid"
    }

    fn fields(&self) -> &'static [&'static str] {
        &[SIGNATURE, TIMESTAMP]
    }

    fn read(&self, field: &Lookup<'_>) -> Result<BodySignature, MalformedSignature> {
        let signature = decode(only(field, SIGNATURE)?).ok_or(MalformedSignature)?;
        let timestamp = only(field, TIMESTAMP)?;
        let time = seconds(timestamp).ok_or(MalformedSignature)?;
        Ok(BodySignature { signature, prefix: timestamp.into(), time: Some(time) })
    }

    /// A signature with a high `s` is valid: SendGrid makes them.
    fn signer(&self, signature: &BodySignature, text: &[u8]) -> Option<&BodyKey> {
        let signed = |key: &&VerificationKey| {
            let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key.public.point());
            public.verify(text, &signature.signature).is_ok()
        };
        self.keys.iter().find(signed).map(|key| &key.key)
    }

    fn keys(&self) -> Vec<&BodyKey> {
        self.keys.iter().map(|key| &key.key).collect()
    }

    fn is_costly(&self) -> bool {
        true
    }
}

/// Decodes canonical base64 of one DER SEQUENCE. Its integers are left to the verification.
fn decode(value: &[u8]) -> Option<SmallVec<[u8; MAX_DER]>> {
    if value.len() > MAX_BASE64 {
        return None;
    }
    let mut decoded = [0; MAX_DER];
    let length = STANDARD.decode_slice(value, &mut decoded).ok()?;
    let der = decoded.get(..length)?;
    match der {
        [0x30, inner, rest @ ..] if usize::from(*inner) == rest.len() => Some(der.into()),
        _ => None,
    }
}

/// Reads 1 to 20 decimal digits: no sign, no blank, nothing that two parsers could read in two ways.
fn seconds(text: &[u8]) -> Option<u64> {
    let is_number = text.len() <= MAX_DIGITS && text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text).ok().filter(|_| is_number)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::signature::{BodyScheme, Unproven};

    /// The official vector of SendGrid's libraries, `test_eventwebhook.py` in sendgrid-python.
    const KEY: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpiglSI8eNEc6wEA3F+g==";
    const OTHER_KEY: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEQ4LIFtWztlsF7skFqOncjD1lun4H5w8XOhyOArHW9RcIx/FfEzx6cikC/yPfUvwaX/JScE7Fc9CJD2afQ9Ok3Q==";
    const VALID: &str = "MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0u6ZUAiEAyBiXDWzM+uOe5W0JuG+luQAbPIqHh89M15TluLtEZtM=";
    const TIME: &str = "1600112502";
    const BODY: &str = "[{\"email\":\"hello@world.com\",\"event\":\"dropped\",\"reason\":\"Bounced Address\",\"sg_event_id\":\"ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA\",\"sg_message_id\":\"LRzXl_NHStOGhQ4kofSm_A.filterdrecv-p3mdw1-756b745b58-kmzbl-18-5F5FC76C-9.0\",\"smtp-id\":\"<LRzXl_NHStOGhQ4kofSm_A@ismtpd0039p1iad1.sendgrid.net>\",\"timestamp\":1600112492}]\r\n";

    fn scheme(keys: &[&str], max_age: Option<u64>) -> BodyScheme {
        let key = |text: &&str| VerificationKey::new(text, PublicKey::parse(text).unwrap());
        BodyScheme::sendgrid(keys.iter().map(key).collect(), max_age.map(Duration::from_secs))
    }

    fn read(scheme: &BodyScheme, signature: &str, time: &str) -> Option<BodySignature> {
        let field = |name: &str| match name {
            SIGNATURE => SmallVec::from_slice(&[signature.as_bytes()]),
            _ => SmallVec::from_slice(&[time.as_bytes()]),
        };
        scheme.read(&field).ok()
    }

    fn verified(scheme: &BodyScheme, body: &str, now: u64) -> Result<String, Unproven> {
        let signature = read(scheme, VALID, TIME).unwrap();
        let text = [signature.prefix(), body.as_bytes()].concat();
        let now = UNIX_EPOCH.checked_add(Duration::from_secs(now)).unwrap();
        scheme.verify(&signature, &text, now).map(|signed| signed.proof().key.to_string())
    }

    #[test]
    fn official_vector_with_a_high_s_is_proven_by_its_own_key() {
        let both = scheme(&[OTHER_KEY, KEY], None);
        assert_eq!(verified(&both, BODY, 0), Ok(KEY.to_owned()));
        assert_eq!(verified(&both, BODY.trim_end(), 0), Err(Unproven::Mismatch));
        assert_eq!(verified(&scheme(&[OTHER_KEY], None), BODY, 0), Err(Unproven::Mismatch));
        assert_eq!(verified(&scheme(&[], None), BODY, 0), Err(Unproven::Mismatch));
    }

    #[test]
    fn time_is_stale_beyond_max_age_in_both_directions() {
        let scheme = scheme(&[KEY], Some(300));
        let time: u64 = TIME.parse().unwrap();
        for (now, is_fresh) in [
            (time, true),
            (time + 300, true),
            (time - 300, true),
            (time + 301, false),
            (time - 301, false),
            (0, false),
        ] {
            assert_eq!(verified(&scheme, BODY, now).is_ok(), is_fresh, "{now}");
        }
        assert_eq!(verified(&scheme, BODY, 0), Err(Unproven::Stale));
        assert_eq!(verified(&scheme, "forged", 0), Err(Unproven::Mismatch), "not even signed");
    }

    #[test]
    fn only_canonical_base64_of_a_der_sequence_and_a_decimal_time_are_read() {
        let scheme = scheme(&[KEY], None);
        assert!(read(&scheme, VALID, TIME).is_some() && read(&scheme, VALID, "0").is_some());
        let bare = VALID.trim_end_matches('=');
        for signature in [
            "",
            "causing failure",
            bare,
            &format!("{bare}=="),
            &VALID.replace('+', "-"),
            &format!("{}N=", &bare[..bare.len() - 1]), // the unused bits are not zero
            &format!(" {VALID}"),
            &STANDARD.encode([0x30]),
            &STANDARD.encode([0; 71]),
            &STANDARD.encode([&[0x30, 71][..], &[1; 71]].concat()), // 73 bytes
            &"A".repeat(100),
        ] {
            assert!(read(&scheme, signature, TIME).is_none(), "{signature}");
        }
        for time in
            ["", "timestamp", "+1600112502", "-1", "1600112502.0", "0x5f5fc9f6", " 1", "1e9", "１"]
        {
            assert!(read(&scheme, VALID, time).is_none(), "{time}");
        }
        assert!(read(&scheme, VALID, &u64::MAX.to_string()).is_some());
        assert!(read(&scheme, VALID, "18446744073709551616").is_none());
        assert!(read(&scheme, VALID, "000000000000000000001").is_none());
    }

    #[test]
    fn repeated_or_missing_fields_are_not_read() {
        let scheme = scheme(&[KEY], None);
        for (signatures, times) in [(0, 1), (2, 1), (1, 0), (1, 2)] {
            let field = |name: &str| match name {
                SIGNATURE => SmallVec::from_elem(VALID.as_bytes(), signatures),
                _ => SmallVec::from_elem(TIME.as_bytes(), times),
            };
            assert!(scheme.read(&field).is_err(), "{signatures} {times}");
        }
    }
}
