//! What a signature would have to cover for this request to be proven.

use memchr::memchr;
use sha2::{Digest, Sha256};
use smallvec::SmallVec;
use subtle::ConstantTimeEq;

use super::{
    form::{Decoded, Parameters, unhex},
    target::Target,
};

/// The query parameter that carries the SHA-256 of a body which is no form.
const BODY_HASH: &[u8] = b"bodySHA256";

/// The parameter that says for which account a request speaks.
const ACCOUNT_SID: &[u8] = b"AccountSid";

/// What a request says its account is. A genuine one has 34 bytes and stays on the stack.
pub(super) type ClaimedSid = SmallVec<[u8; 36]>;

/// How a body has to be bound, by what the head says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyKind {
    /// A WebSocket handshake: signed with `ws`/`wss`, no body.
    Handshake,
    /// GET or HEAD: no body, whatever the URL says of its hash.
    Get,
    /// `application/x-www-form-urlencoded` in UTF-8: the signature covers the parameters.
    Form,
    /// Any other type, or none: the URL carries the body's hash.
    Other,
    /// Several content types, a content coding, a foreign charset: what was signed is not what the
    /// app would read, so only an empty body will do.
    Opaque,
}

impl BodyKind {
    /// Decides by method and by all `Content-Type` lines; `coded` says that there is a
    /// `Content-Encoding`.
    pub fn of<'a>(
        method: &str,
        mut content_types: impl Iterator<Item = &'a [u8]>,
        coded: bool,
    ) -> Self {
        if matches!(method, "GET" | "HEAD") {
            return Self::Get;
        }
        match (content_types.next(), content_types.next()) {
            _ if coded => Self::Opaque,
            (None, _) => Self::Other,
            (Some(_), Some(_)) => Self::Opaque,
            (Some(value), None) => Self::of_type(value),
        }
    }

    fn of_type(value: &[u8]) -> Self {
        let (media_type, parameters) = halves(value, b';');
        if !media_type.eq_ignore_ascii_case(b"application/x-www-form-urlencoded") {
            Self::Other
        } else if parameters.split(|&byte| byte == b';').all(is_utf8_or_no_charset) {
            Self::Form
        } else {
            Self::Opaque
        }
    }
}

fn is_utf8_or_no_charset(parameter: &[u8]) -> bool {
    let (name, value) = halves(parameter, b'=');
    let value =
        value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(value);
    !name.eq_ignore_ascii_case(b"charset")
        || value.eq_ignore_ascii_case(b"utf-8")
        || value.eq_ignore_ascii_case(b"utf8")
}

/// What stands before and after the first separator, without white space around it.
fn halves(text: &[u8], separator: u8) -> (&[u8], &[u8]) {
    let middle = memchr(separator, text).unwrap_or(text.len());
    let (before, after) = text.split_at_checked(middle).unwrap_or_default();
    (before.trim_ascii(), after.get(1..).unwrap_or_default().trim_ascii())
}

/// A request of which every body byte is bound by the MAC that its signature would be.
///
/// **A body that nothing binds has no `Message`**: there is no other way to make one than
/// [`Message::bind`].
#[derive(Debug)]
pub struct Message<'a> {
    target: Target<'a>,
    bound: Coverage<'a>,
}

#[derive(Debug)]
enum Coverage<'a> {
    /// By the URL alone: there is no body, or its hash stands in the URL and was found right.
    Url,
    /// By the parameters that follow the URL, else by its hash in the URL.
    Form(&'a [u8]),
    /// A handshake.
    Handshake,
}

/// There is a body byte that no signature over this request could cover.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not bind this body")]
pub struct NotCovered;

impl<'a> Message<'a> {
    /// Binds the whole body, or refuses.
    ///
    /// # Errors
    /// [`NotCovered`].
    pub fn bind(shape: BodyKind, target: &'a [u8], body: &'a [u8]) -> Result<Self, NotCovered> {
        let target = Target::split(target);
        let bound = match (shape, body) {
            (BodyKind::Handshake, []) => Coverage::Handshake,
            (BodyKind::Get | BodyKind::Opaque, []) => Coverage::Url,
            (BodyKind::Handshake | BodyKind::Get | BodyKind::Opaque, _) => return Err(NotCovered),
            (BodyKind::Form, _) => Coverage::Form(body),
            (BodyKind::Other, _) => match (DeclaredHash::of(target), body) {
                (DeclaredHash::Absent, []) => Coverage::Url,
                (declared, _) if declared.is_of(body) => Coverage::Url,
                _ => return Err(NotCovered),
            },
        };
        Ok(Self { target, bound })
    }

    /// Whether this is a form without a single parameter.
    #[must_use]
    pub fn is_empty_form(&self) -> bool {
        matches!(self.bound, Coverage::Form(body) if body.iter().all(|&byte| byte == b'&'))
    }

    pub(super) const fn target(&self) -> Target<'a> {
        self.target
    }

    pub(super) const fn is_handshake(&self) -> bool {
        matches!(self.bound, Coverage::Handshake)
    }

    /// The form whose parameters follow the URL; an empty one where none do.
    pub(super) const fn form(&self) -> &'a [u8] {
        match self.bound {
            Coverage::Form(body) => body,
            Coverage::Url | Coverage::Handshake => &[],
        }
    }

    /// Whether a form is bound by its hash in the URL instead, as Node and Go sign it.
    pub(super) fn form_is_hashed(&self) -> bool {
        let body = self.form();
        !body.is_empty() && DeclaredHash::of(self.target).is_of(body)
    }

    /// The first AccountSid that the request names: a claim, good for a look-up and no more.
    /// `form` are its parameters, as below.
    pub(super) fn account(&self, form: &Parameters) -> Option<ClaimedSid> {
        let in_query = self.target.query_values(ACCOUNT_SID).next();
        in_query
            .map(Iterator::collect)
            .or_else(|| form.values(ACCOUNT_SID).next().map(SmallVec::from_slice))
    }

    /// Whether it names this account, and no other anywhere.
    pub(super) fn speaks_for(&self, sid: &str, form: &Parameters) -> bool {
        let in_query = self.target.query_values(ACCOUNT_SID).map(|account| account.eq(sid.bytes()));
        let in_form = form.values(ACCOUNT_SID).map(|account| account == sid.as_bytes());
        let mut named = in_query.chain(in_form).peekable();
        named.peek().is_some() && named.all(|same| same)
    }
}

/// What the query says of the body's hash.
enum DeclaredHash {
    Absent,
    One([u8; 32]),
    /// Not 64 hex digits, or two that differ: libraries disagree on which one counts.
    Ambiguous,
}

impl DeclaredHash {
    fn of(target: Target<'_>) -> Self {
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

    fn shape(content_types: &[&str]) -> BodyKind {
        BodyKind::of("POST", content_types.iter().map(|text| text.as_bytes()), false)
    }

    #[test]
    fn the_content_type_decides_how_a_body_is_bound() {
        for form in [
            "application/x-www-form-urlencoded",
            "Application/X-WWW-Form-Urlencoded; Charset=\"utf-8\"",
            "application/x-www-form-urlencoded ;charset=UTF-8;x=y",
        ] {
            assert_eq!(shape(&[form]), BodyKind::Form, "{form}");
        }
        assert_eq!(shape(&[]), BodyKind::Other);
        assert_eq!(shape(&["multipart/form-data; boundary=b"]), BodyKind::Other);
        assert_eq!(shape(&["application/x-www-form-urlencoded, text/plain"]), BodyKind::Other);
        assert_eq!(shape(&["application/x-www-form-urlencoded; charset=utf-16"]), BodyKind::Opaque);
        assert_eq!(shape(&["application/x-www-form-urlencoded", "text/plain"]), BodyKind::Opaque);
        assert_eq!(BodyKind::of("POST", std::iter::empty(), true), BodyKind::Opaque);
        assert_eq!(BodyKind::of("GET", std::iter::empty(), true), BodyKind::Get);
    }

    #[test]
    fn a_body_that_nothing_binds_has_no_message() {
        let hashed = format!("/e?bodySHA256={HASH_OF_HI}");
        let twice = format!("{hashed}&bodySHA256={HASH_OF_HI}");
        let differing = format!("{hashed}&bodySHA256={}", "0".repeat(64));
        let upper = format!("/e?body%53HA256={}", HASH_OF_HI.to_uppercase());
        let longer = format!("{hashed}0");
        for (shape, target, body, bound) in [
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
            (BodyKind::Get, hashed.as_str(), "", true),
            (BodyKind::Handshake, "/e", "hi", false),
            (BodyKind::Opaque, hashed.as_str(), "hi", false),
            (BodyKind::Opaque, "/e", "", true),
            (BodyKind::Form, "/e", "hi", true),
        ] {
            let message = Message::bind(shape, target.as_bytes(), body.as_bytes());
            assert_eq!(message.is_ok(), bound, "{shape:?} {target} {body:?}");
        }
    }

    #[test]
    fn a_request_speaks_for_one_account_or_for_none() {
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
