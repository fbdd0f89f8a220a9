//! The file as written: the types that serde reads and that the JSON Schema describes. Only types
//! are checked here; `validate` checks the values.

use std::{borrow::Cow, fmt, ops::Range, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{
        self, MapAccess, SeqAccess, Visitor,
        value::{MapAccessDeserializer, SeqAccessDeserializer},
    },
};

use super::secret::Secret;

/// A value with its source location.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located<T> {
    /// The source location.
    pub location: Location,
    /// The value.
    pub value: T,
}

/// The source location of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// Byte range in the file.
    File(Range<usize>),
    /// A command-line flag or its environment variable.
    Flag(&'static str),
    /// No location: a default, or a missing value.
    Nowhere,
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Located<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = toml::Spanned::<T>::deserialize(deserializer)?;
        Ok(Self { location: Location::File(spanned.span()), value: spanned.into_inner() })
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
    /// Addresses to listen on: "address:port", "unix:/path", "systemd", or a list of these.
    pub listen: Option<Located<OneOrMany>>,
    /// The origin of the webhook URLs configured at Twilio, with the path prefix that a proxy in front
    /// strips, if any; or a list of these, such as an old and a new domain.
    pub public_url: Option<Located<RawUrls>>,
    /// The app that verified requests are forwarded to: "http://host:port", "https://host:port" or "unix:/path".
    pub upstream: Option<Located<String>>,
    /// Whether HTTP/2 is accepted without TLS too. Default: false.
    pub http2_cleartext: Option<bool>,
    /// Explain refused requests in the log. Default: true.
    pub explain: Option<bool>,
    /// Accepted Host values beside public_url's, for a proxy in front that rewrites Host.
    pub allowed_hosts: Option<Vec<Located<String>>>,
    /// Auth tokens; a request must match one of them.
    pub auth_tokens: Option<Located<Vec<Located<RawToken>>>>,
    /// A TOML file with the tokens of many subaccounts: AccountSid = token or list of tokens.
    pub accounts_file: Option<Located<String>>,
    /// Accepted methods. Default: GET and POST.
    pub methods: Option<Located<Vec<Located<String>>>>,
    /// Whether a form POST without parameters is accepted. Default: false (400, as in Twilio's article).
    pub allow_empty_form: Option<bool>,
    /// Status for a request without a signature. Default: 418.
    pub missing_status: Option<Located<u16>>,
    /// Status for a request whose signature does not match. Default: 403.
    pub mismatch_status: Option<Located<u16>>,
    /// "off" (default): adds no header. "append": adds X-Forwarded-For, -Proto and -Host.
    pub forwarded_headers: Option<RawForwarded>,
    /// "as_received" (default); "any": a signature over the same query in another order counts too.
    pub query_order: Option<RawQueryOrder>,
    /// false: requests are judged, logged and forwarded whatever the verdict, to try the gate. Default: true.
    pub enforce: Option<Located<bool>>,
    /// The routes. Default: one guarded route, "/*".
    pub route: Vec<Located<RawRoute>>,
    /// Proxies trusted to state the public URL, for a public host name that changes.
    pub trust: Option<Located<RawTrust>>,
    /// Health, readiness and metrics.
    pub admin: Option<Located<RawAdmin>>,
    /// TLS on the listeners.
    pub tls: Option<Located<RawTls>>,
    /// TLS towards https upstreams.
    pub upstream_tls: Option<Located<RawUpstreamTls>>,
    /// Limits on sizes, counts and times.
    pub limits: RawLimits,
}

/// Proxies trusted to state the public URL in X-Forwarded-Proto, -Host and -Port, or Forwarded.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Trust")]
pub struct RawTrust {
    /// Trusted peers: addresses, CIDR blocks such as "10.0.0.0/8", or "unix".
    pub proxies: Option<Located<Vec<Located<String>>>>,
    /// Host names that they may state: "hooks.example.com", or "*.ngrok-free.app" for all subdomains.
    pub hosts: Option<Located<Vec<Located<String>>>>,
}

/// Health, readiness and metrics. For operators; never expose it to the public.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Admin")]
pub struct RawAdmin {
    /// Address to listen on: "address:port" or "unix:/path".
    pub listen: Option<Located<String>>,
}

/// TLS on the listeners. Files in PEM; relative paths are relative to this file's folder.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Tls")]
pub struct RawTls {
    /// The certificate chain, leaf first.
    pub cert: Option<Located<String>>,
    /// The certificate's private key.
    pub key: Option<Located<String>>,
    /// CA certificates for client authentication; if set, every client needs a certificate.
    pub client_ca: Option<Located<String>>,
}

/// TLS towards https upstreams. Files in PEM; relative paths are relative to this file's folder.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "UpstreamTls")]
pub struct RawUpstreamTls {
    /// CA certificates that upstreams are verified with. Default: the system's.
    pub ca: Option<Located<String>>,
    /// The client certificate chain, leaf first.
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
    /// "twilio" (default), "sendgrid" or "segment": requests that this sender signed. "public":
    /// forwarded unverified.
    pub access: RawAccess,
    /// Overrides the key at the top.
    pub public_url: Option<Located<RawUrls>>,
    /// Overrides the key at the top.
    pub upstream: Option<Located<String>>,
    /// Overrides the key at the top.
    pub allowed_hosts: Option<Vec<Located<String>>>,
    /// Overrides the key at the top.
    pub auth_tokens: Option<Located<Vec<Located<RawToken>>>>,
    /// With access = "sendgrid": SendGrid's verification keys; one of them must have signed.
    pub verification_keys: Option<Located<Vec<Located<RawToken>>>>,
    /// With access = "sendgrid": how far the signed timestamp may be from now. Default: any time.
    pub max_age: Option<Located<HumanDuration>>,
    /// With access = "segment": shared secrets; one of them must have signed.
    pub shared_secrets: Option<Located<Vec<Located<RawToken>>>>,
    /// Overrides the key at the top. With access = "sendgrid" or "segment": POST.
    pub methods: Option<Located<Vec<Located<String>>>>,
    /// Overrides the key at the top.
    pub allow_empty_form: Option<bool>,
    /// Overrides the key at the top.
    pub missing_status: Option<Located<u16>>,
    /// Overrides the key at the top.
    pub mismatch_status: Option<Located<u16>>,
    /// Overrides the key at the top.
    pub forwarded_headers: Option<RawForwarded>,
    /// Overrides the key at the top.
    pub query_order: Option<RawQueryOrder>,
    /// Overrides the key at the top.
    pub enforce: Option<Located<bool>>,
    /// Overrides limits.max_body_bytes.
    pub max_body_bytes: Option<Located<u64>>,
    /// Overrides limits.response_timeout.
    pub response_timeout: Option<Located<HumanDuration>>,
    /// For this long a signature is remembered and a repeat refused. Default: repeats are accepted.
    pub replay_window: Option<Located<HumanDuration>>,
    /// Repeats accepted within replay_window, because Twilio retries requests. Default: 1.
    pub replay_retries: Option<Located<u32>>,
}

/// The sender whose signatures a route verifies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "Access")]
pub enum RawAccess {
    /// Twilio's, over the URL and the body.
    #[default]
    Twilio,
    /// SendGrid's, over a timestamp and the body.
    SendGrid,
    /// Segment's, over the body.
    Segment,
    /// Forwarded unverified.
    Public,
}

/// Whether `X-Forwarded-*` are appended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "ForwardedHeaders")]
pub enum RawForwarded {
    /// Adds no header.
    #[default]
    Off,
    /// Adds X-Forwarded-For, -Proto and -Host.
    Append,
}

/// The order in which the names of a query may have been signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "QueryOrder")]
pub enum RawQueryOrder {
    /// The order in which they arrived.
    #[default]
    AsReceived,
    /// Any order, of up to five names.
    Any,
}

/// Limits. Durations are strings such as "10s", "500ms", "1m 30s".
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Limits")]
pub struct RawLimits {
    /// Maximum size of a request body, in bytes. Default: 262144.
    pub max_body_bytes: Option<Located<u64>>,
    /// Maximum number of connections. Default: 10240.
    pub max_connections: Option<Located<usize>>,
    /// Maximum number of connections from one address, or from one IPv6 /64. Default: a quarter of
    /// max_connections.
    pub max_connections_per_peer: Option<Located<usize>>,
    /// Maximum number of accepted requests in flight, until the end of their response. Default: 1024.
    pub max_in_flight: Option<Located<usize>>,
    /// Maximum size of all buffered request bodies together, in bytes. Default: 67108864.
    pub max_buffered_bytes: Option<Located<u64>>,
    /// Maximum size of request line and headers together, in bytes; at least 8192. Default: 32768.
    pub max_head_bytes: Option<Located<usize>>,
    /// Maximum number of header fields in a request. Default: 100.
    pub max_headers: Option<Located<usize>>,
    /// Maximum time from the first byte of a request head to its end. Default: "10s".
    pub head_timeout: Option<Located<HumanDuration>>,
    /// Maximum time that a connection waits for the first byte of a request. Default: "75s".
    pub idle_timeout: Option<Located<HumanDuration>>,
    /// Maximum time to receive a request body. Default: "10s".
    pub body_timeout: Option<Located<HumanDuration>>,
    /// Minimum average rate of a request body, in bytes per second; 0 turns it off. Default: 1024.
    pub min_body_rate: Option<Located<u64>>,
    /// Maximum time of one attempt to connect to the upstream. Default: "3s".
    pub connect_timeout: Option<Located<HumanDuration>>,
    /// Maximum time that a refused connection is retried. Default: "1s".
    pub connect_retry: Option<Located<HumanDuration>>,
    /// Maximum time until the app's response starts; Twilio times out after 15 s. Default: "14s".
    pub response_timeout: Option<Located<HumanDuration>>,
    /// Maximum pause within the app's response. Default: "30s".
    pub response_idle_timeout: Option<Located<HumanDuration>>,
    /// Maximum idle time of an upstream connection; keep it below the app's own keep-alive timeout. Default: "1s".
    pub upstream_idle_timeout: Option<Located<HumanDuration>>,
    /// Maximum number of idle upstream connections. Default: `max_in_flight`.
    pub upstream_idle_connections: Option<Located<usize>>,
    /// Maximum silence in a WebSocket tunnel. Default: "5m".
    pub tunnel_idle_timeout: Option<Located<HumanDuration>>,
    /// Time from the stop signal until the gate stops accepting. Default: "0s".
    pub drain_delay: Option<Located<HumanDuration>>,
    /// Maximum time for requests in flight to finish at shutdown. Default: "20s".
    pub drain_timeout: Option<Located<HumanDuration>>,
    /// Maximum time for WebSocket tunnels to finish at shutdown. Default: "10s".
    pub tunnel_drain_timeout: Option<Located<HumanDuration>>,
}

/// A string or a list of strings.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a string or a list of strings")]
pub enum OneOrMany {
    /// A single string.
    One(String),
    /// A list of strings.
    Many(Vec<String>),
}

impl OneOrMany {
    /// Returns the strings as a slice.
    pub fn as_slice(&self) -> &[String] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

/// The public URLs of a route: a string, or a list of strings with a location each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RawUrls {
    /// A single URL.
    One(String),
    /// Several.
    Many(Vec<Located<String>>),
}

impl<'de> Deserialize<'de> for RawUrls {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct UrlsVisitor;
        impl<'de> Visitor<'de> for UrlsVisitor {
            type Value = RawUrls;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or a list of strings")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<RawUrls, E> {
                Ok(RawUrls::One(text.to_owned()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<RawUrls, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(RawUrls::Many)
            }
        }
        deserializer.deserialize_any(UrlsVisitor)
    }
}

impl JsonSchema for RawUrls {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "PublicUrl".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let one = json_schema!({ "type": "string" });
        json_schema!({ "anyOf": [one, { "type": "array", "items": { "type": "string" } }] })
    }
}

/// A duration written as text, parsed by humantime.
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

/// An auth token or SharedKey: the text itself, or its source.
#[derive(Debug)]
pub enum RawToken {
    /// `"…"`
    Inline(Secret),
    /// A table such as `{ env = "…" }`.
    Source(Box<RawSource>),
}

/// The source of a token, and the requests that it may sign.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "TokenSource")]
pub struct RawSource {
    /// The environment variable that holds it.
    pub env: Option<Located<String>>,
    /// The file that holds it; relative paths are relative to this file's folder.
    pub file: Option<Located<String>>,
    /// The systemd credential that holds it.
    pub credential: Option<Located<String>>,
    /// The token itself.
    pub value: Option<Located<Secret>>,
    /// Restricts the token to requests that name this account.
    pub account_sid: Option<Located<String>>,
    /// The id of a Twilio SharedKey.
    pub key_id: Option<Located<String>>,
    /// The SharedKey's algorithm, as configured at Twilio.
    pub algorithm: Option<Located<RawAlgorithm>>,
    /// The name of this key in logs and metrics.
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
    /// Builds the equivalent of `{ env = NAME }`.
    pub fn from_env(name: &str) -> Self {
        let env = Some(Located { location: Location::Nowhere, value: name.to_owned() });
        Self::Source(Box::new(RawSource { env, ..RawSource::default() }))
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
                Ok(RawToken::Source(Box::new(source)))
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
