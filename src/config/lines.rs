//! The lines of the configuration file where settings stand, for messages of a running gate.

use super::{
    fault::position,
    raw::{Located, Location, RawConfig, RawRoute},
};

/// Line numbers, from 1; `None` where a setting is a default or a flag.
#[derive(Clone, Debug, Default)]
pub struct Lines {
    /// The file's name.
    pub file: String,
    /// One entry for each route of the table.
    pub routes: Vec<RouteLines>,
    /// `[trust]`
    pub trust: Option<usize>,
    /// `public_url` at the top, for requests without a route.
    pub public_url: Option<usize>,
    /// `auth_tokens` or `accounts_file` at the top.
    pub auth_tokens: Option<usize>,
}

/// The lines of one route's settings, inherited ones included.
#[derive(Clone, Copy, Debug, Default)]
pub struct RouteLines {
    /// `path`
    pub path: Option<usize>,
    /// `public_url`
    pub public_url: Option<usize>,
    /// `allowed_hosts`
    pub allowed_hosts: Option<usize>,
    /// The keys of the route's own scheme; else `auth_tokens` or `accounts_file` at the top
    pub auth_tokens: Option<usize>,
    /// `methods`
    pub methods: Option<usize>,
}

impl Lines {
    /// Finds the lines of a configuration that is valid.
    pub(super) fn new(name: &str, text: &str, raw: &RawConfig) -> Self {
        let at = |location: &Location| match location {
            Location::File(span) => Some(position(text, span.start).0),
            Location::Flag(_) | Location::Nowhere => None,
        };
        let top = RouteLines {
            path: None,
            public_url: line(&at, raw.public_url.as_ref()),
            allowed_hosts: first_line(&at, raw.allowed_hosts.as_deref()),
            auth_tokens: line(&at, raw.auth_tokens.as_ref())
                .or_else(|| line(&at, raw.accounts_file.as_ref())),
            methods: line(&at, raw.methods.as_ref()),
        };
        let of_route = |route: &Located<RawRoute>| RouteLines {
            path: line(&at, route.value.path.as_ref()).or_else(|| at(&route.location)),
            public_url: line(&at, route.value.public_url.as_ref()).or(top.public_url),
            allowed_hosts: first_line(&at, route.value.allowed_hosts.as_deref())
                .or(top.allowed_hosts),
            auth_tokens: line(&at, route.value.auth_tokens.as_ref())
                .or_else(|| line(&at, route.value.verification_keys.as_ref()))
                .or_else(|| line(&at, route.value.shared_secrets.as_ref()))
                .or(top.auth_tokens),
            methods: line(&at, route.value.methods.as_ref()).or(top.methods),
        };
        let mut routes: Vec<RouteLines> = raw.route.iter().map(of_route).collect();
        if routes.is_empty() {
            routes.push(top);
        }
        Self {
            file: name.to_owned(),
            routes,
            trust: line(&at, raw.trust.as_ref()),
            public_url: top.public_url,
            auth_tokens: top.auth_tokens,
        }
    }
}

fn line<T>(
    at: &impl Fn(&Location) -> Option<usize>,
    located: Option<&Located<T>>,
) -> Option<usize> {
    located.and_then(|located| at(&located.location))
}

fn first_line<T>(
    at: &impl Fn(&Location) -> Option<usize>,
    list: Option<&[Located<T>]>,
) -> Option<usize> {
    line(at, list.and_then(<[Located<T>]>::first))
}
