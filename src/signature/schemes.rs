//! Schemes that sign the body of a request, perhaps with some header fields, and neither its URL
//! nor its method.
//!
//! Each scheme is one file that implements [`Scheme`], and one variant of [`Kind`]. The rest of the
//! gate works on [`BodyScheme`] and does not know them apart.
//!
//! | file | holds |
//! | --- | --- |
//! | `sendgrid` | SendGrid's Event Webhook and Inbound Parse: ECDSA over a timestamp and the body |
//! | `public_key` | the P-256 keys that SendGrid gives out, in every spelling |
//! | `segment` | Segment's webhook destinations: HMAC-SHA1 over the body |

mod public_key;
mod segment;
mod sendgrid;

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use sha2::{Digest, Sha256};
use smallvec::SmallVec;

pub use public_key::{PublicKey, PublicKeyFault};
pub use sendgrid::VerificationKey;

use super::{Proof, Unproven, header::MalformedSignature, key::Key};
use segment::Segment;
use sendgrid::SendGrid;

/// The behaviour of a scheme: everything in which one differs from another.
trait Scheme {
    /// The value of `access` in the configuration.
    fn name(&self) -> &'static str;

    /// The header fields that it reads. Without the first one a request is unsigned.
    fn fields(&self) -> &'static [&'static str];

    /// Reads the signature and what is signed beside the body.
    fn read(&self, field: &Lookup<'_>) -> Result<BodySignature, MalformedSignature>;

    /// Returns the key that made the signature over `text`: [`BodySignature::prefix`] and the body.
    fn signer(&self, signature: &BodySignature, text: &[u8]) -> Option<&BodyKey>;

    /// The keys, in their configured order.
    fn keys(&self) -> Vec<&BodyKey>;

    /// Whether a verification costs as much as dozens of MACs.
    fn is_costly(&self) -> bool;
}

/// The values of a header field, by its name in any case.
pub type Lookup<'a> = dyn Fn(&str) -> Values<'a> + 'a;

/// The values of the lines with one name.
pub type Values<'a> = SmallVec<[&'a [u8]; 1]>;

/// A scheme with the keys of one route.
#[derive(Debug)]
pub struct BodyScheme {
    kind: Kind,
    /// The age from which a signed timestamp is stale.
    max_age: Option<Duration>,
}

/// The schemes that exist.
#[derive(Debug)]
enum Kind {
    SendGrid(SendGrid),
    Segment(Segment),
}

/// The identity of a key, without its secret.
#[derive(Clone, Debug)]
pub struct BodyKey {
    /// The name in logs and counters.
    pub name: Arc<str>,
    /// Equal for equal keys only, whatever their names.
    identity: [u8; 32],
}

/// The signature as the head of a request states it.
#[derive(Debug)]
pub struct BodySignature {
    /// The signature, decoded.
    signature: SmallVec<[u8; 72]>,
    /// The signed text before the body.
    prefix: SmallVec<[u8; 20]>,
    /// The signed time, in seconds since 1970.
    time: Option<u64>,
}

/// A signed request: which key signed it, and a digest of what it signed.
#[derive(Debug)]
#[must_use]
pub struct SignedBody<'a> {
    key: &'a BodyKey,
    text: &'a [u8],
}

impl BodyScheme {
    /// SendGrid's scheme, with the keys of which one must have signed.
    #[must_use]
    pub const fn sendgrid(keys: Vec<VerificationKey>, max_age: Option<Duration>) -> Self {
        Self { kind: Kind::SendGrid(SendGrid::new(keys)), max_age }
    }

    /// Segment's scheme, with the secrets of which one must have signed.
    #[must_use]
    pub fn segment(secrets: Vec<Key>) -> Self {
        Self { kind: Kind::Segment(Segment::new(secrets)), max_age: None }
    }

    /// The one place that tells schemes apart.
    fn scheme(&self) -> &dyn Scheme {
        match &self.kind {
            Kind::SendGrid(sendgrid) => sendgrid,
            Kind::Segment(segment) => segment,
        }
    }

    /// The value of `access` in the configuration.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.scheme().name()
    }

    /// The header fields that it reads, that with the signature first.
    #[must_use]
    pub fn fields(&self) -> &'static [&'static str] {
        self.scheme().fields()
    }

    /// The name of the header field with the signature.
    #[must_use]
    pub fn signature_field(&self) -> &'static str {
        self.fields().first().copied().unwrap_or_default()
    }

    /// Whether a verification costs as much as dozens of MACs.
    #[must_use]
    pub fn is_costly(&self) -> bool {
        self.scheme().is_costly()
    }

    /// The keys, in their configured order.
    #[must_use]
    pub fn keys(&self) -> Vec<&BodyKey> {
        self.scheme().keys()
    }

    /// The age from which a signed timestamp is stale, if there is one.
    #[must_use]
    pub const fn max_age(&self) -> Option<Duration> {
        self.max_age
    }

    /// Reads the signature from the head of a request.
    ///
    /// # Errors
    /// [`MalformedSignature`] for fields that are repeated, missing or not as the scheme writes them.
    pub fn read(&self, field: &Lookup<'_>) -> Result<BodySignature, MalformedSignature> {
        self.scheme().read(field)
    }

    /// Decides whether one of the keys signed `text`, which is [`BodySignature::prefix`] and the body,
    /// and whether it is recent enough at `now`.
    ///
    /// # Errors
    /// [`Unproven::Mismatch`] and [`Unproven::Stale`].
    pub fn verify<'a>(
        &'a self,
        signature: &BodySignature,
        text: &'a [u8],
        now: SystemTime,
    ) -> Result<SignedBody<'a>, Unproven> {
        let key = self.signer(signature, text).ok_or(Unproven::Mismatch)?;
        if self.is_stale(signature.time, now) {
            Err(Unproven::Stale)
        } else {
            Ok(SignedBody { key, text })
        }
    }

    /// The key that signed `text`, however old it is. Explains refusals; admits nothing.
    #[must_use]
    pub fn signer(&self, signature: &BodySignature, text: &[u8]) -> Option<&BodyKey> {
        self.scheme().signer(signature, text)
    }

    /// Whether a time is further from `now` than the maximum age, in either direction: a sender's
    /// clock may be ahead by as much as a request may be late.
    fn is_stale(&self, time: Option<u64>, now: SystemTime) -> bool {
        let (Some(max_age), Some(time)) = (self.max_age, time) else { return false };
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        now.abs_diff(time) > max_age.as_secs()
    }
}

impl BodySignature {
    /// The signed text before the body.
    #[must_use]
    pub fn prefix(&self) -> &[u8] {
        &self.prefix
    }
}

impl SignedBody<'_> {
    /// The proof, for counters and the log.
    pub fn proof(&self) -> Proof {
        Proof {
            key: Arc::clone(&self.key.name),
            is_of_accounts: false,
            candidate: None,
            scheme: None,
        }
    }

    /// A digest of the key and of everything that it signed. The signature itself is not part of it:
    /// an ECDSA signature `(r, s)` has a twin `(r, n - s)` that is valid too.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        Sha256::new().chain_update(self.key.identity).chain_update(self.text).finalize().into()
    }
}

impl BodyKey {
    fn new(name: &Arc<str>, public: &[u8]) -> Self {
        Self { name: Arc::clone(name), identity: Sha256::digest(public).into() }
    }

    /// Whether it is the same key, whatever the names.
    #[must_use]
    pub fn is_same_key(&self, other: &Self) -> bool {
        self.identity == other.identity
    }
}

/// The only value of a field.
fn only<'a>(field: &Lookup<'a>, name: &str) -> Result<&'a [u8], MalformedSignature> {
    match field(name)[..] {
        [value] => Ok(value),
        _ => Err(MalformedSignature),
    }
}

/// Every header field that carries the signature of a scheme.
#[must_use]
pub const fn signature_fields() -> [&'static str; 2] {
    [sendgrid::SIGNATURE, segment::SIGNATURE]
}
