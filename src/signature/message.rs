//! Checks that a signature over a request covers its whole body.

use memchr::memchr;
use sha2::{Digest, Sha256};
use smallvec::SmallVec;
use subtle::ConstantTimeEq;

use super::{
    form::{Decoded, Parameters, unhex},
    reorder::QueryOrder,
    target::Target,
};

/// The query parameter with the SHA-256 of a body that is not a form
/// (<https://www.twilio.com/docs/usage/security>).
const BODY_HASH: &[u8] = b"bodySHA256";

/// The parameter that names the account of a request.
const ACCOUNT_SID: &[u8] = b"AccountSid";

/// An AccountSid as named by a request, unverified. A genuine one has 34 bytes: no allocation.
pub(super) type ClaimedSid = SmallVec<[u8; 36]>;

/// The way in which the signature must cover the body, as decided by the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyKind {
    /// A WebSocket handshake: signed with `ws` or `wss`, no body.
    Handshake,
    /// GET or HEAD: no body.
    Get,
    /// `application/x-www-form-urlencoded` in UTF-8: the signature covers the parameters.
    Form,
    /// Any other type, or none: the URL carries the hash of the body.
    Other,
    /// Several content types, a content coding, or a form with parameters other than
    /// `charset=utf-8`: the app would read other data than was signed, so the body must be empty.
    Opaque,
}

impl BodyKind {
    /// Decides by the method and all `Content-Type` lines; `is_coded` is true if there is a
    /// `Content-Encoding`.
    pub fn from_head<'a>(
        method: &str,
        mut content_types: impl Iterator<Item = &'a [u8]>,
        is_coded: bool,
    ) -> Self {
        if matches!(method, "GET" | "HEAD") {
            return Self::Get;
        }
        match (content_types.next(), content_types.next()) {
            _ if is_coded => Self::Opaque,
            (None, _) => Self::Other,
            (Some(_), Some(_)) => Self::Opaque,
            (Some(value), None) => Self::from_content_type(value),
        }
    }

    fn from_content_type(value: &[u8]) -> Self {
        let (media_type, parameters) = split_trimmed(value, b';');
        if !media_type.eq_ignore_ascii_case(b"application/x-www-form-urlencoded") {
            Self::Other
        } else if parameters.split(|&byte| byte == b';').all(is_harmless) {
            Self::Form
        } else {
            Self::Opaque
        }
    }
}

/// Whether a media type parameter leaves a form in UTF-8: `charset=utf-8`, or an empty one as
/// after a trailing `;`.
///
/// An allow-list, because `Content-Type` is not signed and a charset can be written in ways that
/// only some frameworks read: `charset*=utf-8''utf-7`, or `charset*0=utf-; charset*1=16`
/// (RFC 2231 sections 3 and 4).
fn is_harmless(parameter: &[u8]) -> bool {
    let (name, value) = split_trimmed(parameter, b'=');
    let value =
        value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(value);
    let is_utf8 = value.eq_ignore_ascii_case(b"utf-8") || value.eq_ignore_ascii_case(b"utf8");
    parameter.trim_ascii().is_empty() || (name.eq_ignore_ascii_case(b"charset") && is_utf8)
}

/// The bytes before and after the first separator, without surrounding white space.
fn split_trimmed(text: &[u8], separator: u8) -> (&[u8], &[u8]) {
    let middle = memchr(separator, text).unwrap_or(text.len());
    let (before, after) = text.split_at_checked(middle).unwrap_or_default();
    (before.trim_ascii(), after.get(1..).unwrap_or_default().trim_ascii())
}

/// A request whose body is covered, to the last byte, by the MAC that its signature must be.
///
/// [`Message::bind`] is the only constructor, so **a body that no signature covers has no
/// `Message`**.
#[derive(Debug)]
pub struct Message<'a> {
    target: Target<'a>,
    coverage: Coverage<'a>,
    query_order: QueryOrder,
}

#[derive(Debug)]
enum Coverage<'a> {
    /// By the URL alone: the body is empty, or the URL carries its hash.
    Url,
    /// By the parameters, which are signed after the URL; or by the hash in the URL, if it has one.
    Form { body: &'a [u8], is_hashed: bool },
    /// A handshake, whose URL is signed as `ws` or `wss`.
    Handshake,
}

/// No signature over this request could cover its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not bind this body")]
pub struct NotCovered;

impl<'a> Message<'a> {
    /// Binds the whole body.
    ///
    /// A `bodySHA256` in the query must be the hash of this body under every method, also of an
    /// empty one: method and body are not signed, so a captured JSON request could otherwise be
    /// sent again as a GET or with an empty form.
    ///
    /// # Errors
    /// [`NotCovered`] if the signature cannot cover the body, or for the hash of another one.
    pub fn bind(kind: BodyKind, target: &'a [u8], body: &'a [u8]) -> Result<Self, NotCovered> {
        let target = Target::split(target);
        let is_hashed = match DeclaredHash::from_query(target) {
            DeclaredHash::Absent => false,
            declared if declared.is_of(body) => true,
            _ => return Err(NotCovered),
        };
        let coverage = match (kind, body) {
            (BodyKind::Form, _) => Coverage::Form { body, is_hashed },
            (BodyKind::Handshake, []) => Coverage::Handshake,
            (BodyKind::Get | BodyKind::Opaque | BodyKind::Other, []) => Coverage::Url,
            (BodyKind::Other, _) if is_hashed => Coverage::Url,
            _ => return Err(NotCovered),
        };
        Ok(Self { target, coverage, query_order: QueryOrder::AsReceived })
    }

    /// Sets the order in which the query may have been signed.
    #[must_use]
    pub fn with_query_order(self, query_order: QueryOrder) -> Self {
        Self { query_order, ..self }
    }

    /// Whether this is a form without a single parameter.
    #[must_use]
    pub fn is_empty_form(&self) -> bool {
        matches!(self.coverage, Coverage::Form { body, .. } if body.iter().all(|&b| b == b'&'))
    }

    pub(super) const fn target(&self) -> Target<'a> {
        self.target
    }

    pub(super) fn takes_any_query_order(&self) -> bool {
        self.query_order == QueryOrder::Any
    }

    pub(super) const fn is_handshake(&self) -> bool {
        matches!(self.coverage, Coverage::Handshake)
    }

    /// The form whose parameters are signed after the URL; empty for any other body.
    pub(super) const fn form(&self) -> &'a [u8] {
        match self.coverage {
            Coverage::Form { body, .. } => body,
            Coverage::Url | Coverage::Handshake => &[],
        }
    }

    /// Whether a form may be signed by its hash in the URL instead of by its parameters, as
    /// Twilio's Node and Go libraries sign it.
    pub(super) const fn form_is_hashed(&self) -> bool {
        matches!(self.coverage, Coverage::Form { body: [_, ..], is_hashed: true })
    }

    /// The first AccountSid in the query or in `form`, the decoded parameters. Unverified: good
    /// for a look-up only.
    pub(super) fn account(&self, form: &Parameters) -> Option<ClaimedSid> {
        let in_query = self.target.query_values(ACCOUNT_SID).next();
        in_query
            .map(Iterator::collect)
            .or_else(|| form.values(ACCOUNT_SID).next().map(SmallVec::from_slice))
    }

    /// Returns the account that the request names, if it has the form of an Account SID.
    #[must_use]
    pub fn named_account(&self) -> Option<String> {
        let sid = self.account(&Parameters::parse(self.form()))?;
        let digits = sid.strip_prefix(b"AC").filter(|digits| digits.len() == 32)?;
        let is_sid = digits.iter().all(u8::is_ascii_hexdigit);
        is_sid.then(|| String::from_utf8_lossy(&sid).into_owned())
    }

    /// Whether the query or `form` names this account, and neither names another.
    pub(super) fn speaks_for(&self, sid: &str, form: &Parameters) -> bool {
        let in_query = self.target.query_values(ACCOUNT_SID).map(|account| account.eq(sid.bytes()));
        let in_form = form.values(ACCOUNT_SID).map(|account| account == sid.as_bytes());
        let mut named = in_query.chain(in_form).peekable();
        named.peek().is_some() && named.all(|same| same)
    }
}

/// The `bodySHA256` values of a query.
enum DeclaredHash {
    Absent,
    One([u8; 32]),
    /// Not 64 hex digits, or two values that differ: Twilio's libraries disagree on which one
    /// counts.
    Ambiguous,
}

impl DeclaredHash {
    fn from_query(target: Target<'_>) -> Self {
        target.query_values(BODY_HASH).fold(Self::Absent, |known, value| {
            match (known, hash_from_hex(value)) {
                (Self::Absent, Some(hash)) => Self::One(hash),
                (Self::One(known), Some(hash)) if known == hash => Self::One(known),
                _ => Self::Ambiguous,
            }
        })
    }

    fn is_of(&self, body: &[u8]) -> bool {
        match self {
            Self::One(hash) => Sha256::digest(body).ct_eq(hash).into(),
            Self::Absent | Self::Ambiguous => false,
        }
    }
}

fn hash_from_hex(mut digits: Decoded<'_>) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    for byte in &mut hash {
        *byte = unhex(digits.next()?, digits.next()?)?;
    }
    digits.next().is_none().then_some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH_OF_HI: &str = "8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4";
    const HASH_OF_EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn kind(content_types: &[&str]) -> BodyKind {
        BodyKind::from_head("POST", content_types.iter().map(|text| text.as_bytes()), false)
    }

    #[test]
    fn body_kind_is_decided_by_method_and_content_type() {
        for form in [
            "application/x-www-form-urlencoded",
            "Application/X-WWW-Form-Urlencoded; Charset=\"utf-8\"",
            "application/x-www-form-urlencoded ;charset=UTF-8;",
            "application/x-www-form-urlencoded; charset = utf8 ; ; charset=utf-8",
        ] {
            assert_eq!(kind(&[form]), BodyKind::Form, "{form}");
        }
        assert_eq!(kind(&[]), BodyKind::Other);
        assert_eq!(kind(&["multipart/form-data; boundary=b"]), BodyKind::Other);
        assert_eq!(kind(&["application/x-www-form-urlencoded, text/plain"]), BodyKind::Other);
        // `;x=y` was accepted before: an unknown parameter can be a charset in another notation.
        for parameters in [
            "charset=utf-16",
            "charset=utf-8;x=y",
            "boundary=b",
            "charset*=utf-8''utf-7",
            "charset*=utf-8''utf-8",
            "charset*0=utf-; charset*1=16",
            "charset=utf-8; charset=utf-7",
            "charset",
            "charset=",
            "=utf-8",
            "x",
        ] {
            let content_type = format!("application/x-www-form-urlencoded; {parameters}");
            assert_eq!(kind(&[&content_type]), BodyKind::Opaque, "{content_type}");
        }
        assert_eq!(kind(&["application/x-www-form-urlencoded", "text/plain"]), BodyKind::Opaque);
        assert_eq!(BodyKind::from_head("POST", std::iter::empty(), true), BodyKind::Opaque);
        assert_eq!(BodyKind::from_head("GET", std::iter::empty(), true), BodyKind::Get);
    }

    #[test]
    fn body_that_no_signature_covers_has_no_message() {
        let hashed = format!("/e?bodySHA256={HASH_OF_HI}");
        let twice = format!("{hashed}&bodySHA256={HASH_OF_HI}");
        let differing = format!("{hashed}&bodySHA256={}", "0".repeat(64));
        let upper = format!("/e?body%53HA256={}", HASH_OF_HI.to_uppercase());
        let longer = format!("{hashed}0");
        let hash_of_empty = format!("/e?bodySHA256={HASH_OF_EMPTY}");
        for (kind, target, body, is_bound) in [
            (BodyKind::Other, "/e", "", true),
            (BodyKind::Other, "/e", "hi", false),
            (BodyKind::Other, hashed.as_str(), "hi", true),
            (BodyKind::Other, hashed.as_str(), "ho", false),
            (BodyKind::Other, hashed.as_str(), "", false),
            (BodyKind::Other, twice.as_str(), "hi", true),
            (BodyKind::Other, upper.as_str(), "hi", true),
            (BodyKind::Other, differing.as_str(), "hi", false),
            (BodyKind::Other, longer.as_str(), "hi", false),
            (BodyKind::Get, "/e", "", true),
            (BodyKind::Get, hashed.as_str(), "hi", false),
            (BodyKind::Get, hashed.as_str(), "", false),
            (BodyKind::Get, hash_of_empty.as_str(), "", true),
            (BodyKind::Handshake, hashed.as_str(), "", false),
            (BodyKind::Opaque, hashed.as_str(), "", false),
            (BodyKind::Opaque, hash_of_empty.as_str(), "", true),
            (BodyKind::Form, hashed.as_str(), "", false),
            (BodyKind::Form, hashed.as_str(), "=", false),
            (BodyKind::Form, hashed.as_str(), "hi", true),
            (BodyKind::Form, differing.as_str(), "hi", false),
            (BodyKind::Handshake, "/e", "hi", false),
            (BodyKind::Opaque, hashed.as_str(), "hi", false),
            (BodyKind::Opaque, "/e", "", true),
            (BodyKind::Form, "/e", "hi", true),
        ] {
            let message = Message::bind(kind, target.as_bytes(), body.as_bytes());
            assert_eq!(message.is_ok(), is_bound, "{kind:?} {target} {body:?}");
        }
    }

    #[test]
    fn request_speaks_for_at_most_one_account() {
        let names = |target: &'static str, body: &'static str| {
            let message =
                Message::bind(BodyKind::Form, target.as_bytes(), body.as_bytes()).unwrap();
            move |sid| message.speaks_for(sid, &Parameters::parse(body.as_bytes()))
        };
        assert!(names("/", "AccountSid=AC1")("AC1"));
        assert!(names("/?Account%53id=AC1", "a=b")("AC1"));
        assert!(!names("/", "a=b")("AC1"));
        assert!(!names("/?AccountSid=AC2", "AccountSid=AC1")("AC1"));
        assert!(!names("/", "AccountSid=AC1&AccountSid=AC2")("AC1"));
    }
}
