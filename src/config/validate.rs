//! [`RawConfig`] into [`Config`]: parsed, inherited, and with its secrets.

mod accounts;
mod keys;
mod limits;
mod sockets;
mod tls;
mod trust;
mod warnings;

use std::{collections::HashMap, path::PathBuf, sync::Arc, time::Duration};

use super::{
    Config, SourceFile, Warning,
    fault::{Fault, FaultKind, Faults},
    raw::{Located, Location, RawAccess, RawConfig, RawForwarded, RawRoute},
};
use crate::routes::{Access, ClientTls, Hosts, Pattern, Replay, Route, Statuses, Table, Upstream};
use crate::signature::{Keyring, Origin, Scheme};

/// Longest body of a request, in bytes, when nothing is said.
const DEFAULT_MAX_BODY: u64 = 256 * 1024;

/// Refines, or tells every fault, those found before included.
pub(super) fn validate(
    raw: &RawConfig,
    faults: Vec<Fault>,
    sheet: SourceFile<'_>,
) -> Result<Config, Faults> {
    let mut validator = Validator { faults, ..Validator::new(raw, sheet, "auth_tokens") };
    let listen = validator.listen();
    let admin = validator.admin();
    let tls = validator.tls();
    let (client_tls, client_certificate) = validator.client_tls().unzip();
    validator.client_tls = client_tls;
    let trust = validator.trust();
    let statuses = validator.statuses(None);
    let routes = validator.routes();
    let limits = validator.limits(&routes);
    validator.warn_of_literals();
    validator.warn_of_tables(admin.as_ref(), trust.as_ref(), &limits);
    if !validator.faults.is_empty() || validator.elsewhere.is_some() {
        let faults = Faults::new(sheet.name, sheet.text, validator.faults).and(validator.elsewhere);
        return Err(faults.watching(validator.watched));
    }
    Ok(Config {
        listen,
        admin,
        tls,
        client_certificate: client_certificate.flatten(),
        http2_cleartext: raw.http2_cleartext.unwrap_or(false),
        table: Table::new(routes, statuses).trusting(trust),
        limits,
        watched: validator.watched,
        warnings: validator.warnings,
    })
}

struct Validator<'a> {
    raw: &'a RawConfig,
    sheet: SourceFile<'a>,
    /// The key that tokens stand under.
    tokens: &'static str,
    faults: Vec<Fault>,
    /// Those of the accounts file.
    elsewhere: Option<Faults>,
    /// The files read so far.
    watched: Vec<PathBuf>,
    warnings: Vec<Warning>,
    /// Where the first token stands that is written out.
    literal: Option<Location>,
    /// For https upstreams.
    client_tls: Option<ClientTls>,
}

impl<'a> Validator<'a> {
    fn new(raw: &'a RawConfig, sheet: SourceFile<'a>, tokens: &'static str) -> Self {
        Self {
            raw,
            sheet,
            tokens,
            faults: Vec::new(),
            elsewhere: None,
            watched: Vec::new(),
            warnings: Vec::new(),
            literal: None,
            client_tls: None,
        }
    }
}

impl Validator<'_> {
    fn fault(&mut self, place: &Location, key: &'static str, kind: FaultKind) {
        self.faults.push(Fault { place: place.clone(), key, kind });
    }

    /// A file, found from where its name was written, and watched from now on.
    fn file(&mut self, name: &str) -> PathBuf {
        let path = self.sheet.folder.join(name);
        self.watched.push(path.clone());
        path
    }

    /// Whether something in there was already found wrong: what is missing may have been taken out.
    fn has_fault_within(&self, place: &Location) -> bool {
        let Location::File(outer) = place else { return false };
        self.faults.iter().any(|fault| match &fault.place {
            Location::File(inner) => outer.start <= inner.start && inner.end <= outer.end,
            Location::Flag(_) | Location::Nowhere => false,
        })
    }

    /// Notes an error with its place.
    fn record_err<T, E>(
        &mut self,
        place: &Location,
        key: &'static str,
        result: Result<T, E>,
        kind: impl Fn(E) -> FaultKind,
    ) -> Option<T> {
        result.map_err(|error| self.fault(place, key, kind(error))).ok()
    }

    fn routes(&mut self) -> Vec<Route> {
        let whole = Located {
            place: Location::Nowhere,
            value: RawRoute {
                path: Some(Located { place: Location::Nowhere, value: "/*".to_owned() }),
                ..RawRoute::default()
            },
        };
        let written = &self.raw.route;
        let raw_routes = if written.is_empty() { std::slice::from_ref(&whole) } else { written };
        let inherited = self.inherited_keyring(raw_routes);
        let mut paths = HashMap::new();
        let (mut routes, mut places) = (Vec::new(), Vec::new());
        for raw in raw_routes {
            let route = self.route(raw, inherited.as_ref());
            if let Some(path) = &raw.value.path
                && paths.insert(path.value.as_str(), ()).is_some()
            {
                self.fault(&path.place, "route.path", FaultKind::Twice);
            }
            if let Some(route) = route {
                places.push(&raw.place);
                routes.push(route);
            }
        }
        self.warn_of_public(&places, &routes);
        routes
    }

    /// The tokens at the top and those of subaccounts, read once and only if a route needs them.
    fn inherited_keyring(&mut self, routes: &[Located<RawRoute>]) -> Option<Arc<Keyring>> {
        let raw = self.raw;
        let needed = routes.iter().any(|route| {
            route.value.access == RawAccess::Twilio && route.value.auth_tokens.is_none()
        });
        if !needed || (raw.auth_tokens.is_none() && raw.accounts_file.is_none()) {
            return None;
        }
        let keys = raw.auth_tokens.as_ref().map(|tokens| self.keys(tokens)).unwrap_or_default();
        Some(Arc::new(Keyring::new(keys, self.accounts())))
    }

    fn route(&mut self, at: &Located<RawRoute>, inherited: Option<&Arc<Keyring>>) -> Option<Route> {
        let raw = &at.value;
        let path = self.pattern(at);
        let origin = self.origin(at);
        let upstream = self.upstream(at);
        let access = self.access(at, inherited);
        let methods = self.methods(raw);
        let statuses = self.statuses(Some(raw));
        let max_body_bytes = self.max_body_bytes(raw);
        let replay = self.replay(raw);
        let hosts = origin.as_ref().map(|origin| self.hosts(raw, origin.as_ref()));
        let append = raw.forwarded_headers.or(self.raw.forwarded_headers).unwrap_or_default();
        Some(Route {
            number: 0, // the table counts
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
            replay,
        })
    }

    fn pattern(&mut self, at: &Located<RawRoute>) -> Option<Pattern> {
        match &at.value.path {
            Some(path) => {
                let parsed = Pattern::parse(&path.value);
                self.record_err(&path.place, "route.path", parsed, FaultKind::Pattern)
            }
            None => {
                self.fault(&at.place, "route.path", FaultKind::Missing);
                None
            }
        }
    }

    /// Where [trust] is, it may be told by a proxy alone. `None` where it is faulty.
    #[expect(clippy::option_option, reason = "faulty is not the same as untold")]
    fn origin(&mut self, at: &Located<RawRoute>) -> Option<Option<Origin>> {
        let raw = self.raw;
        let Some(url) = at.value.public_url.as_ref().or(raw.public_url.as_ref()) else {
            if raw.trust.is_none() {
                self.fault(&at.place, "public_url", FaultKind::Missing);
            }
            return Some(None);
        };
        let parsed = Origin::parse(&url.value);
        let origin = self.record_err(&url.place, "public_url", parsed, FaultKind::Origin)?;
        if origin.scheme() == Scheme::Http && raw.tls.is_some() {
            self.fault(&url.place, "public_url", FaultKind::PlainUrl);
        }
        self.warn_of_plain_url(&url.place, &origin);
        Some(Some(origin))
    }

    fn upstream(&mut self, at: &Located<RawRoute>) -> Option<Upstream> {
        let raw = self.raw;
        match at.value.upstream.as_ref().or(raw.upstream.as_ref()) {
            Some(url) => {
                let parsed = Upstream::parse(&url.value);
                let upstream =
                    self.record_err(&url.place, "upstream", parsed, FaultKind::Upstream)?;
                Some(upstream.with_tls(self.client_tls.as_ref()))
            }
            None => {
                self.fault(&at.place, "upstream", FaultKind::Missing);
                None
            }
        }
    }

    fn hosts(&mut self, raw: &RawRoute, origin: Option<&Origin>) -> Hosts {
        let mut hosts = origin.map(Hosts::of).unwrap_or_default();
        let top = self.raw;
        for host in raw.allowed_hosts.as_ref().or(top.allowed_hosts.as_ref()).into_iter().flatten()
        {
            let allowed = hosts.allow(&host.value);
            self.record_err(&host.place, "allowed_hosts", allowed, FaultKind::Origin);
        }
        hosts
    }

    fn access(
        &mut self,
        at: &Located<RawRoute>,
        inherited: Option<&Arc<Keyring>>,
    ) -> Option<Access> {
        match (at.value.access, &at.value.auth_tokens) {
            (RawAccess::Public, None) => Some(Access::Public),
            (RawAccess::Public, Some(tokens)) => {
                self.fault(&tokens.place, "route.auth_tokens", FaultKind::IdleToken);
                None
            }
            (RawAccess::Twilio, Some(tokens)) => {
                let keyring = Keyring::new(self.keys(tokens), None);
                Some(Access::Twilio(Arc::new(keyring)))
            }
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

    fn status(&mut self, status: Option<&Located<u16>>, key: &'static str, default: u16) -> u16 {
        let Some(status) = status else { return default };
        if !(400..600).contains(&status.value) {
            self.fault(&status.place, key, FaultKind::Status);
        }
        status.value
    }

    fn replay(&mut self, raw: &RawRoute) -> Option<Replay> {
        let retries = raw.replay_retries.as_ref();
        let Some(window) = &raw.replay_window else {
            if let Some(retries) = retries {
                let kind = FaultKind::RetriesWithoutWindow;
                self.fault(&retries.place, "route.replay_retries", kind);
            }
            return None;
        };
        let window = self.period(Some(window), "route.replay_window", Duration::ZERO);
        Some(Replay { window, retries: retries.map_or(1, |at| at.value) })
    }

    fn max_body_bytes(&self, raw: &RawRoute) -> u64 {
        let written = raw.max_body_bytes.as_ref().or(self.raw.limits.max_body_bytes.as_ref());
        written.map_or(DEFAULT_MAX_BODY, |at| at.value)
    }
}
