//! The mistakes that have a name.

/// A mistake. Its name is fixed: logs, metrics and scripts use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Label {
    /// `wrong_scheme`
    WrongScheme,
    /// `wrong_host`
    WrongHost,
    /// `host_rewritten`
    HostRewritten,
    /// `wrong_port`
    WrongPort,
    /// `prefix_stripped`
    PrefixStripped,
    /// `prefix_added`
    PrefixAdded,
    /// `path_in_public_url`
    PathInPublicUrl,
    /// `trailing_slash`
    TrailingSlash,
    /// `path_normalised`
    PathNormalised,
    /// `double_encoded`
    DoubleEncoded,
    /// `query_decoded`
    QueryDecoded,
    /// `query_reencoded`
    QueryReencoded,
    /// `query_reordered`
    QueryReordered,
    /// `query_dropped`
    QueryDropped,
    /// `query_added`
    QueryAdded,
    /// `query_as_parameters`
    QueryAsParameters,
    /// `plus_not_escaped`
    PlusNotEscaped,
    /// `wrong_path`
    WrongPath,
    /// `method`
    Method,
    /// `other_token`
    OtherToken,
    /// `wrong_token`
    WrongToken,
    /// `token_shape`
    TokenShape,
    /// `subaccount_token`
    SubaccountToken,
    /// `no_account_named`
    NoAccountNamed,
    /// `account_binding`
    AccountBinding,
    /// `body_altered`
    BodyAltered,
    /// `body_trimmed`
    BodyTrimmed,
    /// `body_reencoded`
    BodyReencoded,
    /// `body_lost`
    BodyLost,
    /// `json_reserialised`
    JsonReserialised,
    /// `json_without_hash`
    JsonWithoutHash,
    /// `content_type_changed`
    ContentTypeChanged,
    /// `upgrade_lost`
    UpgradeLost,
    /// `signature_header_lost`
    SignatureHeaderLost,
    /// `signature_header_altered`
    SignatureHeaderAltered,
    /// `signed_wrongly`
    SignedWrongly,
    /// `forwarded_proto_http`
    ForwardedProtoHttp,
    /// `nothing_told`
    NothingTold,
}

/// The place in the configuration where a mistake is cured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Site {
    /// `public_url` of the route, or at the top.
    PublicUrl,
    /// `allowed_hosts`, else `public_url`.
    AllowedHosts,
    /// The route's `path`.
    RoutePath,
    /// The route's `methods`.
    Methods,
    /// `auth_tokens` of the route, or `accounts_file`.
    AuthTokens,
    /// `[trust]`.
    Trust,
}

struct Row {
    label: Label,
    name: &'static str,
    says: &'static str,
    cure: &'static str,
    site: Option<Site>,
}

const ROWS: [Row; 38] = [
    Row {
        label: Label::WrongScheme,
        name: "wrong_scheme",
        says: "Twilio signed {signed_scheme}://, the gate expects {expected_scheme}://",
        cure: "write the scheme that Twilio has on file in public_url, or change the URL in the Twilio console",
        site: Some(Site::PublicUrl),
    },
    Row {
        label: Label::WrongHost,
        name: "wrong_host",
        says: "Twilio signed the host {signed_host}, public_url has {expected_host}",
        cure: "write https://{signed_host} in public_url (a list may hold an old and a new name), or change the URL in the Twilio console",
        site: Some(Site::PublicUrl),
    },
    Row {
        label: Label::HostRewritten,
        name: "host_rewritten",
        says: "the signature is for public_url, but Host arrived as {host}: something in front rewrites it",
        cure: "let the proxy in front pass Host unchanged, or add \"{host}\" to allowed_hosts",
        site: Some(Site::AllowedHosts),
    },
    Row {
        label: Label::WrongPort,
        name: "wrong_port",
        says: "Twilio signed the port {signed_port}, public_url has {expected_port}",
        cure: "write the port that Twilio has on file in public_url, or change the URL in the Twilio console",
        site: Some(Site::PublicUrl),
    },
    Row {
        label: Label::PrefixStripped,
        name: "prefix_stripped",
        says: "a proxy in front removed the beginning of the path: {signed_path} arrived as {path}",
        cure: "append the removed prefix to public_url",
        site: Some(Site::PublicUrl),
    },
    Row {
        label: Label::PrefixAdded,
        name: "prefix_added",
        says: "something in front put a prefix before the path: {signed_path} arrived as {path}",
        cure: "let the proxy in front pass the path unchanged, or put the longer URL into the Twilio console",
        site: Some(Site::PublicUrl),
    },
    Row {
        label: Label::PathInPublicUrl,
        name: "path_in_public_url",
        says: "public_url holds a path that the request has already: {signed_path} was signed, the gate puts {expected_path} together",
        cure: "write only the origin in public_url; a path belongs there only where a proxy strips it",
        site: Some(Site::PublicUrl),
    },
    Row {
        label: Label::TrailingSlash,
        name: "trailing_slash",
        says: "one has a slash at the end and the other has not: {signed_path} was signed, {path} arrived",
        cure: "write the URL in the Twilio console exactly as the app serves it, or stop the rewrite of the slash in front of the gate",
        site: Some(Site::PublicUrl),
    },
    Row {
        label: Label::PathNormalised,
        name: "path_normalised",
        says: "something in front rewrote the path: {signed_path} was signed, {path} arrived",
        cure: "turn path normalisation off in front of the gate, or write the path at Twilio as it arrives here",
        site: Some(Site::PublicUrl),
    },
    Row {
        label: Label::DoubleEncoded,
        name: "double_encoded",
        says: "something in front escaped the escapes again: % became %25",
        cure: "let the proxy in front pass the target unchanged",
        site: Some(Site::PublicUrl),
    },
    Row {
        label: Label::QueryDecoded,
        name: "query_decoded",
        says: "something in front decoded the query",
        cure: "let the proxy in front pass the query unchanged",
        site: Some(Site::PublicUrl),
    },
    Row {
        label: Label::QueryReencoded,
        name: "query_reencoded",
        says: "something in front wrote the query in another spelling",
        cure: "let the proxy in front pass the query unchanged, or write it at Twilio in the spelling that arrives",
        site: Some(Site::PublicUrl),
    },
    Row {
        label: Label::QueryReordered,
        name: "query_reordered",
        says: "the query arrived in another order than it was signed, or without its repeats",
        cure: "let the proxy in front pass the query unchanged, or set query_order = \"any\" on the route, for up to 5 names",
        site: Some(Site::RoutePath),
    },
    Row {
        label: Label::QueryDropped,
        name: "query_dropped",
        says: "part of the signed query did not arrive",
        cure: "let the proxy in front pass the query unchanged",
        site: Some(Site::PublicUrl),
    },
    Row {
        label: Label::QueryAdded,
        name: "query_added",
        says: "the query holds more than was signed",
        cure: "stop whatever in front adds to the query",
        site: Some(Site::PublicUrl),
    },
    Row {
        label: Label::QueryAsParameters,
        name: "query_as_parameters",
        says: "the query was signed as if it were form parameters",
        cure: "sign the URL with its query and append the form parameters only; or keep the parameters in the body on the way",
        site: None,
    },
    Row {
        label: Label::PlusNotEscaped,
        name: "plus_not_escaped",
        says: "a + was signed as a plus and reads as a blank in the form",
        cure: "escape it: write %2B for + in the body",
        site: None,
    },
    Row {
        label: Label::WrongPath,
        name: "wrong_path",
        says: "no route takes the path {path} as it is written",
        cure: "add a route for it, or change the path in the Twilio console",
        site: Some(Site::RoutePath),
    },
    Row {
        label: Label::Method,
        name: "method",
        says: "the method {method} does not fit: the route does not take it, or the request was signed as another one",
        cure: "add it to methods, or choose the other method for this URL in the Twilio console",
        site: Some(Site::Methods),
    },
    Row {
        label: Label::OtherToken,
        name: "other_token",
        says: "the key \"{key}\" signed it, which is configured, but not for this route",
        cure: "add that token to the auth_tokens of this route",
        site: Some(Site::AuthTokens),
    },
    Row {
        label: Label::WrongToken,
        name: "wrong_token",
        says: "no configured token signed this: the URL and the body fit together, so most likely the token is another account's or an old one",
        cure: "copy the primary auth token of the account that sends this from the Twilio console",
        site: Some(Site::AuthTokens),
    },
    Row {
        label: Label::TokenShape,
        name: "token_shape",
        says: "what is configured as \"{key}\" cannot be an auth token ({shape})",
        cure: "copy the auth token alone from the Twilio console: 32 digits and small letters, no quotes",
        site: Some(Site::AuthTokens),
    },
    Row {
        label: Label::SubaccountToken,
        name: "subaccount_token",
        says: "the request speaks for the account {account}, and no token of that account is configured for it",
        cure: "add the token of that account: a subaccount signs with its own",
        site: Some(Site::AuthTokens),
    },
    Row {
        label: Label::NoAccountNamed,
        name: "no_account_named",
        says: "the request names no account, so no token of accounts_file is tried",
        cure: "add the token to auth_tokens of a route for this path",
        site: Some(Site::AuthTokens),
    },
    Row {
        label: Label::AccountBinding,
        name: "account_binding",
        says: "the key \"{key}\" signed it and may speak only for {bound}; the request names {account}",
        cure: "correct account_sid beside that token, or remove it",
        site: Some(Site::AuthTokens),
    },
    Row {
        label: Label::BodyAltered,
        name: "body_altered",
        says: "the body is not the one that was signed: it was changed on the way",
        cure: "let nothing in front rewrite the body (trimming, filters, new parameters)",
        site: None,
    },
    Row {
        label: Label::BodyTrimmed,
        name: "body_trimmed",
        says: "a line end or blanks around the body were added or removed on the way",
        cure: "let the proxy in front pass the body byte for byte",
        site: None,
    },
    Row {
        label: Label::BodyReencoded,
        name: "body_reencoded",
        says: "the body arrived in another encoding than it was signed",
        cure: "let the proxy in front pass the body byte for byte",
        site: None,
    },
    Row {
        label: Label::BodyLost,
        name: "body_lost",
        says: "the body did not arrive",
        cure: "look for a redirect in front, or a proxy that drops the body",
        site: None,
    },
    Row {
        label: Label::JsonReserialised,
        name: "json_reserialised",
        says: "the JSON was read and written anew on the way, so its hash is no longer bodySHA256",
        cure: "let the proxy in front pass the body byte for byte",
        site: None,
    },
    Row {
        label: Label::JsonWithoutHash,
        name: "json_without_hash",
        says: "the body is no form and the URL has no bodySHA256: the signature does not cover it",
        cure: "send a form, or let the sender add bodySHA256 to the URL and sign that",
        site: None,
    },
    Row {
        label: Label::ContentTypeChanged,
        name: "content_type_changed",
        says: "the body is what was signed, but Content-Type does not say so",
        cure: "let the proxy in front pass Content-Type unchanged, once",
        site: None,
    },
    Row {
        label: Label::UpgradeLost,
        name: "upgrade_lost",
        says: "this was a WebSocket handshake (wss was signed), and Upgrade did not arrive",
        cure: "let the proxy in front pass Upgrade and Connection (nginx: proxy_http_version 1.1)",
        site: None,
    },
    Row {
        label: Label::SignatureHeaderLost,
        name: "signature_header_lost",
        says: "X-Twilio-Signature did not arrive, or arrived empty or under another name",
        cure: "let the proxy in front pass X-Twilio-Signature; or the request is not from Twilio",
        site: None,
    },
    Row {
        label: Label::SignatureHeaderAltered,
        name: "signature_header_altered",
        says: "X-Twilio-Signature arrived changed: repeated, joined, quoted or cut",
        cure: "let the proxy in front pass X-Twilio-Signature once and unchanged",
        site: None,
    },
    Row {
        label: Label::SignedWrongly,
        name: "signed_wrongly",
        says: "the sender holds the token and signed something else: {detail}",
        cure: "sign as Twilio does: base64 of HMAC-SHA1 over the full URL and the sorted form parameters",
        site: None,
    },
    Row {
        label: Label::ForwardedProtoHttp,
        name: "forwarded_proto_http",
        says: "the proxy says http, Twilio signed https",
        cure: "let the proxy that ends TLS set X-Forwarded-Proto: https, or fix public_url",
        site: Some(Site::Trust),
    },
    Row {
        label: Label::NothingTold,
        name: "nothing_told",
        says: "the trusted proxy {told}",
        cure: "let it send X-Forwarded-Host and X-Forwarded-Proto once, or fix public_url",
        site: Some(Site::Trust),
    },
];

impl Label {
    /// Every label, in the order of the specification.
    pub fn all() -> impl Iterator<Item = Self> {
        ROWS.iter().map(|row| row.label)
    }

    /// Returns the name in JSON, logs and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().map_or("", |row| row.name)
    }

    /// Returns the sentence that says what went wrong; `{…}` stand for facts of the request.
    pub(super) fn says(self) -> &'static str {
        self.row().map_or("", |row| row.says)
    }

    /// Returns the sentence that says what to change.
    pub(super) fn cure(self) -> &'static str {
        self.row().map_or("", |row| row.cure)
    }

    /// Returns where in the configuration to change it; `None` where the cure lies elsewhere.
    #[must_use]
    pub fn site(self) -> Option<Site> {
        self.row().and_then(|row| row.site)
    }

    /// Whether the head alone shows this mistake, so that it can be named for a request whose body was
    /// not read.
    #[must_use]
    pub const fn shows_in_head(self) -> bool {
        matches!(
            self,
            Self::WrongHost
                | Self::HostRewritten
                | Self::WrongPath
                | Self::Method
                | Self::UpgradeLost
                | Self::SignatureHeaderLost
                | Self::SignatureHeaderAltered
                | Self::ForwardedProtoHttp
                | Self::NothingTold
        )
    }

    fn row(self) -> Option<&'static Row> {
        ROWS.iter().find(|row| row.label == self)
    }
}
