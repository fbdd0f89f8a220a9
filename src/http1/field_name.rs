//! Names of header fields.

/// The field names that are inspected; matched once, when a head is parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldName {
    /// `Connection`
    Connection,
    /// `Content-Encoding`
    ContentEncoding,
    /// `Content-Length`
    ContentLength,
    /// `Content-Type`
    ContentType,
    /// `Expect`
    Expect,
    /// `Forwarded` (RFC 7239)
    Forwarded,
    /// `X-Forwarded-For`
    ForwardedFor,
    /// `X-Forwarded-Host`
    ForwardedHost,
    /// `X-Forwarded-Port`
    ForwardedPort,
    /// `X-Forwarded-Proto`
    ForwardedProto,
    /// `Host`
    Host,
    /// `HTTP2-Settings`
    Http2Settings,
    /// `Keep-Alive`
    KeepAlive,
    /// `X-Twilio-Signature-Key-Sid`: names the SharedKey in the earlier private beta.
    KeySid,
    /// `Proxy-Authenticate`
    ProxyAuthenticate,
    /// `Proxy-Authorization`
    ProxyAuthorization,
    /// `Proxy-Connection`
    ProxyConnection,
    /// `X-Twilio-Webhooks-Signature-Settings`: names the SharedKey (Webhooks configuration API,
    /// public beta 2026).
    SignatureSettings,
    /// `TE`
    Te,
    /// `traceparent` (W3C Trace Context)
    TraceParent,
    /// `Trailer`
    Trailer,
    /// `Transfer-Encoding`
    TransferEncoding,
    /// `X-Twilio-Signature`
    TwilioSignature,
    /// `Upgrade`
    Upgrade,
    /// Any other name.
    Other,
}

impl FieldName {
    /// Matches a name without regard to case (RFC 9110 §5.1).
    #[must_use]
    #[expect(clippy::cognitive_complexity, reason = "a table")]
    pub fn parse(text: &[u8]) -> Self {
        let first = text.first().map_or(0, u8::to_ascii_lowercase);
        match (text.len(), first) {
            (2, b't') if is(text, b"te") => Self::Te,
            (4, b'h') if is(text, b"host") => Self::Host,
            (6, b'e') if is(text, b"expect") => Self::Expect,
            (7, b't') if is(text, b"trailer") => Self::Trailer,
            (7, b'u') if is(text, b"upgrade") => Self::Upgrade,
            (9, b'f') if is(text, b"forwarded") => Self::Forwarded,
            (10, b'c') if is(text, b"connection") => Self::Connection,
            (10, b'k') if is(text, b"keep-alive") => Self::KeepAlive,
            (11, b't') if is(text, b"traceparent") => Self::TraceParent,
            (12, b'c') if is(text, b"content-type") => Self::ContentType,
            (14, b'c') if is(text, b"content-length") => Self::ContentLength,
            (14, b'h') if is(text, b"http2-settings") => Self::Http2Settings,
            (15, b'x') if is(text, b"x-forwarded-for") => Self::ForwardedFor,
            (16, b'c') if is(text, b"content-encoding") => Self::ContentEncoding,
            (16, b'p') if is(text, b"proxy-connection") => Self::ProxyConnection,
            (16, b'x') if is(text, b"x-forwarded-host") => Self::ForwardedHost,
            (16, b'x') if is(text, b"x-forwarded-port") => Self::ForwardedPort,
            (17, b't') if is(text, b"transfer-encoding") => Self::TransferEncoding,
            (17, b'x') if is(text, b"x-forwarded-proto") => Self::ForwardedProto,
            (18, b'p') if is(text, b"proxy-authenticate") => Self::ProxyAuthenticate,
            (18, b'x') if is(text, b"x-twilio-signature") => Self::TwilioSignature,
            (19, b'p') if is(text, b"proxy-authorization") => Self::ProxyAuthorization,
            (26, b'x') if is(text, b"x-twilio-signature-key-sid") => Self::KeySid,
            (36, b'x') if is(text, b"x-twilio-webhooks-signature-settings") => {
                Self::SignatureSettings
            }
            _ => Self::Other,
        }
    }
}

/// Compares without regard to case. The array type fixes the length at compile time, which reduces
/// the comparison to a few instructions.
fn is<const N: usize>(text: &[u8], name: &[u8; N]) -> bool {
    <&[u8; N]>::try_from(text).is_ok_and(|text| text.map(|byte| byte.to_ascii_lowercase()) == *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_matched_without_regard_to_case() {
        for (text, name) in [
            ("Connection", FieldName::Connection),
            ("Content-Encoding", FieldName::ContentEncoding),
            ("Content-Length", FieldName::ContentLength),
            ("Content-Type", FieldName::ContentType),
            ("Expect", FieldName::Expect),
            ("Forwarded", FieldName::Forwarded),
            ("X-Forwarded-For", FieldName::ForwardedFor),
            ("X-Forwarded-Host", FieldName::ForwardedHost),
            ("X-Forwarded-Port", FieldName::ForwardedPort),
            ("X-Forwarded-Proto", FieldName::ForwardedProto),
            ("Host", FieldName::Host),
            ("HTTP2-Settings", FieldName::Http2Settings),
            ("I-Twilio-Idempotency-Token", FieldName::Other),
            ("Keep-Alive", FieldName::KeepAlive),
            ("X-Twilio-Signature-Key-Sid", FieldName::KeySid),
            ("Proxy-Authenticate", FieldName::ProxyAuthenticate),
            ("Proxy-Authorization", FieldName::ProxyAuthorization),
            ("Proxy-Connection", FieldName::ProxyConnection),
            ("X-Twilio-Webhooks-Signature-Settings", FieldName::SignatureSettings),
            ("TE", FieldName::Te),
            ("traceparent", FieldName::TraceParent),
            ("Trailer", FieldName::Trailer),
            ("Transfer-Encoding", FieldName::TransferEncoding),
            ("X-Twilio-Signature", FieldName::TwilioSignature),
            ("Upgrade", FieldName::Upgrade),
            ("Date", FieldName::Other),
            ("X_Twilio_Signature", FieldName::Other),
            ("", FieldName::Other),
        ] {
            assert_eq!(FieldName::parse(text.as_bytes()), name, "{text}");
            assert_eq!(FieldName::parse(text.to_ascii_uppercase().as_bytes()), name, "{text}");
            assert_eq!(FieldName::parse(text.to_ascii_lowercase().as_bytes()), name, "{text}");
        }
    }
}
