//! [`RawConfig`] into [`Config`]: parsed, inherited, and with its secrets.

mod keys;

use std::{collections::HashMap, path::Path, sync::Arc};

use super::{
    Config,
    fault::{Fault, FaultKind},
    raw::{At, OneOrMany, Period, Place, RawAccess, RawConfig, RawForwarded, RawLimits, RawRoute},
};
use crate::routes::{Access, Hosts, Limits, Pattern, Route, Statuses, Table, Upstream};
use crate::signature::{Keyring, Origin};

/// Where to listen when nothing is said: loopback, so that trying it out opens no port.
const DEFAULT_LISTEN: &str = "127.0.0.1:8080";
/// Longest body of a request, in bytes, when nothing is said.
const DEFAULT_MAX_BODY: u64 = 256 * 1024;

/// Refines, or tells every fault, those found before included.
pub(super) fn refine(
    raw: &RawConfig,
    faults: Vec<Fault>,
    folder: &Path,
) -> Result<Config, Vec<Fault>> {
    let mut refiner = Refiner { raw, folder, faults };
    let listen = refiner.listen();
    let limits = refiner.limits(&raw.limits);
    let statuses = refiner.statuses(None);
    let routes = refiner.routes();
    if refiner.faults.is_empty() {
        Ok(Config { listen, table: Table::new(routes, statuses), limits })
    } else {
        Err(refiner.faults)
    }
}

struct Refiner<'a> {
    raw: &'a RawConfig,
    folder: &'a Path,
    faults: Vec<Fault>,
}

impl<'a> Refiner<'a> {
    fn fault(&mut self, place: &Place, key: &'static str, kind: FaultKind) {
        self.faults.push(Fault { place: place.clone(), key, kind });
    }

    /// Whether something in there was already found wrong: what is missing may have been taken out.
    fn has_fault_within(&self, place: &Place) -> bool {
        let Place::File(outer) = place else { return false };
        self.faults.iter().any(|fault| match &fault.place {
            Place::File(inner) => outer.start <= inner.start && inner.end <= outer.end,
            Place::Flag(_) | Place::Nowhere => false,
        })
    }

    /// Notes an error with its place.
    fn noted<T, E>(
        &mut self,
        place: &Place,
        key: &'static str,
        result: Result<T, E>,
        kind: impl Fn(E) -> FaultKind,
    ) -> Option<T> {
        result.map_err(|error| self.fault(place, key, kind(error))).ok()
    }

    fn listen(&mut self) -> Vec<String> {
        let Some(listen) = &self.raw.listen else { return vec![DEFAULT_LISTEN.to_owned()] };
        let addresses = OneOrMany::as_slice(&listen.value);
        let is_address = |text: &String| text.parse::<std::net::SocketAddr>().is_ok();
        if addresses.is_empty() || !addresses.iter().all(is_address) {
            self.fault(&listen.place, "listen", FaultKind::Listen);
        }
        addresses.to_vec()
    }

    fn routes(&mut self) -> Vec<Route> {
        let whole = At {
            place: Place::Nowhere,
            value: RawRoute {
                path: Some(At { place: Place::Nowhere, value: "/*".to_owned() }),
                ..RawRoute::default()
            },
        };
        let written = &self.raw.route;
        let raw_routes = if written.is_empty() { std::slice::from_ref(&whole) } else { written };
        let inherited = self.inherited_keyring(raw_routes);
        let mut paths = HashMap::new();
        let mut routes = Vec::new();
        for raw in raw_routes {
            let route = self.route(raw, inherited.as_ref());
            if let Some(path) = &raw.value.path
                && paths.insert(path.value.as_str(), ()).is_some()
            {
                self.fault(&path.place, "route.path", FaultKind::Twice);
            }
            routes.extend(route);
        }
        routes
    }

    /// The tokens at the top, read once and only if a route needs them.
    fn inherited_keyring(&mut self, routes: &[At<RawRoute>]) -> Option<Arc<Keyring>> {
        let raw = self.raw;
        let needed = routes.iter().any(|route| {
            route.value.access == RawAccess::Twilio && route.value.auth_tokens.is_none()
        });
        raw.auth_tokens.as_ref().filter(|_| needed).map(|tokens| self.keyring(tokens))
    }

    fn route(&mut self, at: &At<RawRoute>, inherited: Option<&Arc<Keyring>>) -> Option<Route> {
        let raw = &at.value;
        let path = self.pattern(at);
        let origin = self.origin(at);
        let upstream = self.upstream(at);
        let access = self.access(at, inherited);
        let methods = self.methods(raw);
        let statuses = self.statuses(Some(raw));
        let max_body_bytes = self.max_body_bytes(raw);
        let hosts = origin.as_ref().map(|origin| self.hosts(raw, origin));
        let append = raw.forwarded_headers.or(self.raw.forwarded_headers).unwrap_or_default();
        Some(Route {
            path: path?,
            methods,
            access: access?,
            origin: origin?,
            hosts: hosts?,
            upstream: Arc::new(upstream?),
            allow_empty_form: raw.allow_empty_form.or(self.raw.allow_empty_form).unwrap_or(false),
            append_forwarded: append == RawForwarded::Append,
            max_body_bytes,
            statuses,
        })
    }

    fn pattern(&mut self, at: &At<RawRoute>) -> Option<Pattern> {
        match &at.value.path {
            Some(path) => {
                let parsed = Pattern::parse(&path.value);
                self.noted(&path.place, "route.path", parsed, FaultKind::Pattern)
            }
            None => {
                self.fault(&at.place, "route.path", FaultKind::Missing);
                None
            }
        }
    }

    fn origin(&mut self, at: &At<RawRoute>) -> Option<Origin> {
        let raw = self.raw;
        match at.value.public_url.as_ref().or(raw.public_url.as_ref()) {
            Some(url) => {
                let parsed = Origin::parse(&url.value);
                self.noted(&url.place, "public_url", parsed, FaultKind::Origin)
            }
            None => {
                self.fault(&at.place, "public_url", FaultKind::Missing);
                None
            }
        }
    }

    fn upstream(&mut self, at: &At<RawRoute>) -> Option<Upstream> {
        let raw = self.raw;
        match at.value.upstream.as_ref().or(raw.upstream.as_ref()) {
            Some(url) => {
                let parsed = Upstream::parse(&url.value);
                self.noted(&url.place, "upstream", parsed, FaultKind::Upstream)
            }
            None => {
                self.fault(&at.place, "upstream", FaultKind::Missing);
                None
            }
        }
    }

    fn hosts(&mut self, raw: &RawRoute, origin: &Origin) -> Hosts {
        let mut hosts = Hosts::of(origin);
        let top = self.raw;
        for host in raw.allowed_hosts.as_ref().or(top.allowed_hosts.as_ref()).into_iter().flatten()
        {
            let allowed = hosts.allow(&host.value);
            self.noted(&host.place, "allowed_hosts", allowed, FaultKind::Origin);
        }
        hosts
    }

    fn access(&mut self, at: &At<RawRoute>, inherited: Option<&Arc<Keyring>>) -> Option<Access> {
        match (at.value.access, &at.value.auth_tokens) {
            (RawAccess::Public, None) => Some(Access::Public),
            (RawAccess::Public, Some(tokens)) => {
                self.fault(&tokens.place, "route.auth_tokens", FaultKind::IdleToken);
                None
            }
            (RawAccess::Twilio, Some(tokens)) => Some(Access::Twilio(self.keyring(tokens))),
            (RawAccess::Twilio, None) => {
                if inherited.is_none() {
                    self.fault(&at.place, "route.auth_tokens", FaultKind::NoToken);
                }
                inherited.map(|keyring| Access::Twilio(Arc::clone(keyring)))
            }
        }
    }

    fn methods(&mut self, raw: &RawRoute) -> Vec<Box<str>> {
        let top = self.raw;
        let Some(methods) = raw.methods.as_ref().or(top.methods.as_ref()) else {
            return vec!["GET".into(), "POST".into()];
        };
        if methods.value.is_empty() {
            self.fault(&methods.place, "methods", FaultKind::Method);
        }
        for method in &methods.value {
            let text = &method.value;
            if text.is_empty() || text == "CONNECT" || !text.bytes().all(|b| b.is_ascii_uppercase())
            {
                self.fault(&method.place, "methods", FaultKind::Method);
            }
        }
        methods.value.iter().map(|method| method.value.as_str().into()).collect()
    }

    /// A route's statuses, or those at the top; each is looked at where it is written.
    fn statuses(&mut self, route: Option<&RawRoute>) -> Statuses {
        let top = self.raw;
        let defaults = match route {
            Some(_) => Statuses {
                missing: top.missing_status.as_ref().map_or(418, |at| at.value),
                mismatch: top.mismatch_status.as_ref().map_or(403, |at| at.value),
            },
            None => Statuses::default(),
        };
        let (missing, mismatch) = match route {
            Some(raw) => (&raw.missing_status, &raw.mismatch_status),
            None => (&top.missing_status, &top.mismatch_status),
        };
        Statuses {
            missing: self.status(missing.as_ref(), "missing_status", defaults.missing),
            mismatch: self.status(mismatch.as_ref(), "mismatch_status", defaults.mismatch),
        }
    }

    fn status(&mut self, status: Option<&At<u16>>, key: &'static str, default: u16) -> u16 {
        let Some(status) = status else { return default };
        if !(400..600).contains(&status.value) {
            self.fault(&status.place, key, FaultKind::Status);
        }
        status.value
    }

    fn max_body_bytes(&self, raw: &RawRoute) -> u64 {
        let written = raw.max_body_bytes.as_ref().or(self.raw.limits.max_body_bytes.as_ref());
        written.map_or(DEFAULT_MAX_BODY, |at| at.value)
    }

    fn limits(&mut self, raw: &'a RawLimits) -> Limits {
        let mut limits = Limits::default();
        self.numbers(raw, &mut limits);
        for (written, key, period) in [
            (&raw.head_timeout, "limits.head_timeout", &mut limits.head_timeout),
            (&raw.body_timeout, "limits.body_timeout", &mut limits.body_timeout),
            (&raw.connect_timeout, "limits.connect_timeout", &mut limits.connect_timeout),
            (&raw.response_timeout, "limits.response_timeout", &mut limits.response_timeout),
            (
                &raw.response_idle_timeout,
                "limits.response_idle_timeout",
                &mut limits.response_idle_timeout,
            ),
            (
                &raw.tunnel_idle_timeout,
                "limits.tunnel_idle_timeout",
                &mut limits.tunnel_idle_timeout,
            ),
        ] {
            *period = self.period(written.as_ref(), key, *period);
        }
        for (written, period) in [
            (&raw.connect_retry, &mut limits.connect_retry),
            (&raw.upstream_idle_timeout, &mut limits.upstream_idle_timeout),
            (&raw.drain_timeout, &mut limits.drain_timeout),
        ] {
            *period = written.as_ref().map_or(*period, |at| at.value.0); // zero turns it off
        }
        limits
    }

    fn numbers(&mut self, raw: &RawLimits, limits: &mut Limits) {
        for (written, key, number) in [
            (&raw.max_connections, "limits.max_connections", &mut limits.max_connections),
            (&raw.max_headers, "limits.max_headers", &mut limits.max_headers),
        ] {
            *number = self.number(written.as_ref(), key, *number);
        }
        limits.max_head_bytes = self.head_bytes(raw.max_head_bytes.as_ref(), limits.max_head_bytes);
        if let Some(kept) = &raw.upstream_idle_connections {
            limits.upstream_idle_connections = kept.value;
        }
    }

    fn number(&mut self, at: Option<&At<usize>>, key: &'static str, default: usize) -> usize {
        let Some(at) = at else { return default };
        if at.value == 0 {
            self.fault(&at.place, key, FaultKind::TooSmall("1"));
        }
        at.value
    }

    /// hyper takes no buffer below 8 KiB.
    fn head_bytes(&mut self, at: Option<&At<usize>>, default: usize) -> usize {
        let Some(at) = at else { return default };
        if at.value < 8192 {
            self.fault(&at.place, "limits.max_head_bytes", FaultKind::TooSmall("8192"));
        }
        at.value
    }

    fn period(
        &mut self,
        at: Option<&At<Period>>,
        key: &'static str,
        default: std::time::Duration,
    ) -> std::time::Duration {
        let Some(at) = at else { return default };
        if at.value.0.is_zero() {
            self.fault(&at.place, key, FaultKind::TooSmall("1ms"));
        }
        at.value.0
    }
}
