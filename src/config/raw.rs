//! The file as it is written: what serde reads and the schema describes. Nothing here is checked
//! beyond its type; that is `validate`'s.

use std::{borrow::Cow, fmt, ops::Range, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor, value::MapAccessDeserializer},
};

use super::secret::Secret;

/// A value and where it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located<T> {
    /// Where.
    pub place: Location,
    /// What.
    pub value: T,
}

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// Byte range in the file.
    File(Range<usize>),
    /// A flag, or the variable that stands for it.
    Flag(&'static str),
    /// Nowhere: what is missing has no place.
    Nowhere,
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Located<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = toml::Spanned::<T>::deserialize(deserializer)?;
        Ok(Self { place: Location::File(spanned.span()), value: spanned.into_inner() })
    }
}

impl<T: JsonSchema> JsonSchema for Located<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }
    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }
    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// gatekeeper.toml. Keys at the top are defaults that a route may override.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "gatekeeper configuration")]
pub struct RawConfig {
    /// Where to listen: "address:port", "unix:/path", "systemd", or a list of such.
    pub listen: Option<Located<OneOrMany>>,
    /// The origin that Twilio has on file, with the path prefix that a proxy strips, if one does.
    pub public_url: Option<Located<String>>,
    /// Where proven requests go: "http://host:port", "https://host:port" or "unix:/path".
    pub upstream: Option<Located<String>>,
    /// Whether HTTP/2 is taken without TLS too. Default: false.
    pub http2_cleartext: Option<bool>,
    /// Other Host values than public_url's, where something in front rewrites Host.
    pub allowed_hosts: Option<Vec<Located<String>>>,
    /// Auth tokens; any one may match.
    pub auth_tokens: Option<Located<Vec<Located<RawToken>>>>,
    /// A file with the tokens of many subaccounts, a table AccountSid → token or list of tokens.
    pub accounts_file: Option<Located<String>>,
    /// Methods that routes take. Default: GET and POST.
    pub methods: Option<Located<Vec<Located<String>>>>,
    /// Whether a form POST without parameters may pass. Default: false (400, as in Twilio's article).
    pub allow_empty_form: Option<bool>,
    /// Status for a request without a signature. Default: 418.
    pub missing_status: Option<Located<u16>>,
    /// Status for a request that is not proven. Default: 403.
    pub mismatch_status: Option<Located<u16>>,
    /// "off" (default): no header is added. "append": X-Forwarded-For, -Proto and -Host are.
    pub forwarded_headers: Option<RawForwarded>,
    /// The routes. None: one guarded route, "/*".
    pub route: Vec<Located<RawRoute>>,
    /// Who is believed about the public URL, where its name changes.
    pub trust: Option<Located<RawTrust>>,
    /// Health, readiness and metrics.
    pub admin: Option<Located<RawAdmin>>,
    /// TLS on the listeners.
    pub tls: Option<Located<RawTls>>,
    /// TLS towards https upstreams.
    pub upstream_tls: Option<Located<RawUpstreamTls>>,
    /// Bounds in bytes, numbers and time.
    pub limits: RawLimits,
}

/// Who is believed about the public URL: X-Forwarded-Proto, -Host and -Port, or Forwarded.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Trust")]
pub struct RawTrust {
    /// Peers that are believed: addresses, blocks such as "10.0.0.0/8", or "unix".
    pub proxies: Option<Located<Vec<Located<String>>>>,
    /// For these names only: "hooks.example.com", or "*.ngrok.app" for all below it.
    pub hosts: Option<Located<Vec<Located<String>>>>,
}

/// Health, readiness and metrics, for operators and never for the public.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Admin")]
pub struct RawAdmin {
    /// Where to listen: "address:port" or "unix:/path".
    pub listen: Option<Located<String>>,
}

/// TLS on the listeners. Files in PEM; relative paths start at this file's folder.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Tls")]
pub struct RawTls {
    /// The certificate, followed by those that lead to its root.
    pub cert: Option<Located<String>>,
    /// The certificate's private key.
    pub key: Option<Located<String>>,
    /// Roots of client certificates; where given, every client needs one.
    pub client_ca: Option<Located<String>>,
}

/// TLS towards https upstreams. Files in PEM; relative paths start at this file's folder.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "UpstreamTls")]
pub struct RawUpstreamTls {
    /// Roots that upstreams are trusted by. Default: the system's.
    pub ca: Option<Located<String>>,
    /// The client certificate to show, followed by those that lead to its root.
    pub cert: Option<Located<String>>,
    /// The client certificate's private key.
    pub key: Option<Located<String>>,
}

/// One route; the longest match wins.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Route")]
pub struct RawRoute {
    /// One path ("/voice") or a subtree ("/sms/*").
    pub path: Option<Located<String>>,
    /// "twilio" (default): signed requests only. "public": forwarded unverified.
    pub access: RawAccess,
    /// Overrides the key at the top.
    pub public_url: Option<Located<String>>,
    /// Overrides the key at the top.
    pub upstream: Option<Located<String>>,
    /// Overrides the key at the top.
    pub allowed_hosts: Option<Vec<Located<String>>>,
    /// Overrides the key at the top.
    pub auth_tokens: Option<Located<Vec<Located<RawToken>>>>,
    /// Overrides the key at the top.
    pub methods: Option<Located<Vec<Located<String>>>>,
    /// Overrides the key at the top.
    pub allow_empty_form: Option<bool>,
    /// Overrides the key at the top.
    pub missing_status: Option<Located<u16>>,
    /// Overrides the key at the top.
    pub mismatch_status: Option<Located<u16>>,
    /// Overrides the key at the top.
    pub forwarded_headers: Option<RawForwarded>,
    /// Overrides limits.max_body_bytes.
    pub max_body_bytes: Option<Located<u64>>,
    /// How long a signature is remembered, so that it cannot pass again. Default: not at all.
    pub replay_window: Option<Located<HumanDuration>>,
    /// How often the same signature may come again within it: Twilio itself tries again.
    /// Default: 1.
    pub replay_retries: Option<Located<u32>>,
}

/// Whether a route asks for proof.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "Access")]
pub enum RawAccess {
    /// Signed requests only.
    #[default]
    Twilio,
    /// Forwarded unverified.
    Public,
}

/// Whether `X-Forwarded-*` are appended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "ForwardedHeaders")]
pub enum RawForwarded {
    /// No header is added.
    #[default]
    Off,
    /// X-Forwarded-For, -Proto and -Host are.
    Append,
}

/// Bounds. Durations are texts such as "10s", "500ms", "1m 30s".
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Limits")]
pub struct RawLimits {
    /// Longest body of a request, in bytes. Default: 262144.
    pub max_body_bytes: Option<Located<u64>>,
    /// Connections at once. Default: 10240.
    pub max_connections: Option<Located<usize>>,
    /// Connections at once from one address, or from one /64 of IPv6. Default: a quarter of
    /// max_connections.
    pub max_connections_per_peer: Option<Located<usize>>,
    /// Requests at once between their head and the end of their answer. Default: 1024.
    pub max_in_flight: Option<Located<usize>>,
    /// Bytes of bodies held at once, all requests together. Default: 67108864.
    pub max_buffered_bytes: Option<Located<u64>>,
    /// Request line and headers together, in bytes; at least 8192. Default: 32768.
    pub max_head_bytes: Option<Located<usize>>,
    /// Header fields in one request. Default: 100.
    pub max_headers: Option<Located<usize>>,
    /// From the first byte of a request's head to its end. Default: "10s".
    pub head_timeout: Option<Located<HumanDuration>>,
    /// How long a connection may wait for the first byte of a request. Default: "75s".
    pub idle_timeout: Option<Located<HumanDuration>>,
    /// Until a request's body is complete. Default: "10s".
    pub body_timeout: Option<Located<HumanDuration>>,
    /// Bytes per second that a body must arrive with, on average; 0: any. Default: 1024.
    pub min_body_rate: Option<Located<u64>>,
    /// One attempt to connect to the upstream. Default: "3s".
    pub connect_timeout: Option<Located<HumanDuration>>,
    /// How long a refused connection is tried again. Default: "1s".
    pub connect_retry: Option<Located<HumanDuration>>,
    /// Until the app begins to answer; Twilio gives up after 15 s. Default: "14s".
    pub response_timeout: Option<Located<HumanDuration>>,
    /// Longest pause inside the app's answer. Default: "30s".
    pub response_idle_timeout: Option<Located<HumanDuration>>,
    /// How long an unused upstream connection is kept; less than the app keeps it. Default: "1s".
    pub upstream_idle_timeout: Option<Located<HumanDuration>>,
    /// Unused upstream connections kept. Default: 128.
    pub upstream_idle_connections: Option<Located<usize>>,
    /// Longest silence in a tunnelled WebSocket. Default: "5m".
    pub tunnel_idle_timeout: Option<Located<HumanDuration>>,
    /// From being told to stop to no longer accepting. Default: "0s".
    pub drain_delay: Option<Located<HumanDuration>>,
    /// What is in flight at the end has this long. Default: "20s".
    pub drain_timeout: Option<Located<HumanDuration>>,
    /// Tunnelled WebSockets have this long at the end. Default: "10s".
    pub tunnel_drain_timeout: Option<Located<HumanDuration>>,
}

/// "one" or ["several", "of them"].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a string or a list of strings")]
pub enum OneOrMany {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

impl OneOrMany {
    /// As a list.
    pub fn as_slice(&self) -> &[String] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

/// A duration as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HumanDuration(pub Duration);

impl<'de> Deserialize<'de> for HumanDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        humantime::parse_duration(&text).map(Self).map_err(|_| {
            de::Error::custom("expected a duration such as `10s`, `500ms` or `1m 30s`")
        })
    }
}

impl JsonSchema for HumanDuration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "examples": ["10s", "500ms", "1m 30s"] })
    }
}

/// An auth token or SharedKey: the text itself, or where it is to be found.
#[derive(Debug)]
pub enum RawToken {
    /// `"…"`
    Inline(Secret),
    /// `{ env = "…" }` and its like.
    Found(Box<RawSource>),
}

/// Where a token is to be found, and what it is good for.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "TokenSource")]
pub struct RawSource {
    /// The environment variable that holds it.
    pub env: Option<Located<String>>,
    /// The file that holds it; relative paths start at this file's folder.
    pub file: Option<Located<String>>,
    /// The systemd credential that holds it.
    pub credential: Option<Located<String>>,
    /// The token itself.
    pub value: Option<Located<Secret>>,
    /// Good only for requests that speak for this account.
    pub account_sid: Option<Located<String>>,
    /// The id of a Twilio SharedKey.
    pub key_id: Option<Located<String>>,
    /// The SharedKey's algorithm, as set at Twilio.
    pub algorithm: Option<Located<RawAlgorithm>>,
    /// What logs and counters call this key.
    pub name: Option<Located<String>>,
}

/// A SharedKey's algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[schemars(rename = "Algorithm")]
pub enum RawAlgorithm {
    /// HMAC-SHA1.
    #[serde(rename = "HMAC_SHA1")]
    HmacSha1,
    /// HMAC-SHA256.
    #[serde(rename = "HMAC_SHA256")]
    HmacSha256,
}

impl RawToken {
    /// `{ env = NAME }`, as if it had been written.
    pub fn from_env(name: &str) -> Self {
        let env = Some(Located { place: Location::Nowhere, value: name.to_owned() });
        Self::Found(Box::new(RawSource { env, ..RawSource::default() }))
    }
}

impl<'de> Deserialize<'de> for RawToken {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TokenVisitor;
        impl<'de> Visitor<'de> for TokenVisitor {
            type Value = RawToken;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a token, or a table such as { env = `TWILIO_AUTH_TOKEN` }")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<RawToken, E> {
                Ok(RawToken::Inline(Secret::new(text)))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawToken, A::Error> {
                let source = RawSource::deserialize(MapAccessDeserializer::new(map))?;
                Ok(RawToken::Found(Box::new(source)))
            }
        }
        deserializer.deserialize_any(TokenVisitor)
    }
}

impl JsonSchema for RawToken {
    fn schema_name() -> Cow<'static, str> {
        "Token".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let source = generator.subschema_for::<RawSource>();
        json_schema!({ "anyOf": [{ "type": "string" }, source] })
    }
}
