//! Validates a [`RawConfig`] into a [`Config`]: parses values, applies inheritance, loads secrets.

mod accounts;
mod keys;
mod limits;
mod public_url;
mod schemes;
mod sockets;
mod tls;
mod trust;
mod warnings;

use std::{collections::HashMap, path::PathBuf, sync::Arc, time::Duration};

use super::{
    fault::{Fault, FaultKind, Faults},
    lines::Lines,
    raw::{Located, Location, RawAccess, RawConfig, RawForwarded, RawQueryOrder, RawRoute},
    read::RemovedKeys,
    source_file::SourceFile,
    validated::Config,
    warning::Warning,
};
use crate::routes::{Access, ClientTls, Hosts, Pattern, Replay, Route, Statuses, Table, Upstream};
use crate::signature::{Keyring, Origin, ProbeKey, QueryOrder};

/// Default maximum size of a request body, in bytes.
const DEFAULT_MAX_BODY: u64 = 256 * 1024;

/// Validates the configuration. `faults` are those found while reading, which removed some keys. With
/// `keeps_odd_tokens`, tokens that cannot be auth tokens are warnings.
///
/// # Errors
/// [`Faults`] with every fault, those from reading included.
pub(super) fn validate(
    raw: &RawConfig,
    faults: Vec<Fault>,
    removed: RemovedKeys,
    source: SourceFile<'_>,
    keeps_odd_tokens: bool,
) -> Result<Config, Faults> {
    let mut validator = Validator {
        faults,
        removed,
        keeps_odd_tokens,
        ..Validator::new(raw, source, "auth_tokens")
    };
    let listen = validator.validate_listen();
    let admin = validator.validate_admin(&listen);
    validator.validate_no_loop(&listen, admin.as_ref());
    let tls = validator.validate_tls();
    let (client_tls, client_certificate) = validator.validate_client_tls().unzip();
    validator.client_tls = client_tls;
    let trust = validator.validate_trust();
    let statuses = validator.validate_statuses(None);
    let routes = validator.validate_routes();
    let limits = validator.validate_limits(&routes);
    validator.warn_of_timeouts(&routes, &limits);
    validator.warn_of_inline_tokens();
    validator.warn_of_settings(admin.as_ref(), trust.as_ref());
    if !validator.faults.is_empty() || validator.accounts_faults.is_some() {
        let faults = Faults::new(source.name, source.text, validator.faults)
            .with_accounts_file(validator.accounts_faults);
        return Err(faults.with_watched(validator.watched));
    }
    Ok(Config {
        listen,
        admin,
        tls,
        client_certificate: client_certificate.flatten(),
        http2_cleartext: raw.http2_cleartext.unwrap_or(false),
        explain: raw.explain.unwrap_or(true),
        table: Table::new(routes, statuses).with_trust(trust),
        probes: validator.probes,
        lines: Lines::new(source.name, source.text, raw),
        limits,
        watched: validator.watched,
        warnings: validator.warnings,
    })
}

/// Collects faults, warnings and watched files while it validates one file.
struct Validator<'a> {
    raw: &'a RawConfig,
    source: SourceFile<'a>,
    /// The key that faults of tokens are reported under.
    token_key: &'static str,
    faults: Vec<Fault>,
    /// Keys that are written, but faulty.
    removed: RemovedKeys,
    /// The faults of the accounts file.
    accounts_faults: Option<Faults>,
    /// Every file that was read or looked for.
    watched: Vec<PathBuf>,
    warnings: Vec<Warning>,
    keeps_odd_tokens: bool,
    /// The location of the first inline token.
    first_inline: Option<Location>,
    /// The keys once more, to explain refusals with.
    probes: Vec<ProbeKey>,
    /// TLS for https upstreams.
    client_tls: Option<ClientTls>,
}

impl<'a> Validator<'a> {
    fn new(raw: &'a RawConfig, source: SourceFile<'a>, token_key: &'static str) -> Self {
        Self {
            raw,
            source,
            token_key,
            faults: Vec::new(),
            removed: RemovedKeys::default(),
            accounts_faults: None,
            watched: Vec::new(),
            warnings: Vec::new(),
            keeps_odd_tokens: false,
            first_inline: None,
            probes: Vec::new(),
            client_tls: None,
        }
    }
}

impl Validator<'_> {
    fn record_fault(&mut self, location: &Location, key: &'static str, kind: FaultKind) {
        self.faults.push(Fault { location: location.clone(), key, kind });
    }

    /// Resolves a path relative to the file that names it, and adds it to the watched files.
    fn resolve_file(&mut self, name: &str) -> PathBuf {
        let path = self.source.folder.join(name);
        self.watched.push(path.clone());
        path
    }

    /// Whether a fault lies inside this location. Reading removes faulty entries, so a key that seems
    /// missing may be one that has its fault already.
    fn has_fault_inside(&self, location: &Location) -> bool {
        let Location::File(outer) = location else { return false };
        self.faults.iter().any(|fault| match &fault.location {
            Location::File(inner) => outer.start <= inner.start && inner.end <= outer.end,
            Location::Flag(_) | Location::Nowhere => false,
        })
    }

    /// Whether a key of this route, or of the top, is written but was removed for its fault.
    fn was_removed(&self, route: usize, key: &str) -> bool {
        self.removed.contains(None, key) || self.removed.contains(Some(route), key)
    }

    /// Records a key that a route lacks, unless it has its fault already.
    fn record_missing_on(&mut self, route: usize, location: &Location, key: &'static str) {
        if !self.was_removed(route, key.strip_prefix("route.").unwrap_or(key)) {
            self.record_fault(location, key, FaultKind::Missing);
        }
    }

    /// Records an error as a fault at this location.
    fn record_err<T, E>(
        &mut self,
        location: &Location,
        key: &'static str,
        result: Result<T, E>,
        kind: impl Fn(E) -> FaultKind,
    ) -> Option<T> {
        result.map_err(|error| self.record_fault(location, key, kind(error))).ok()
    }

    fn validate_routes(&mut self) -> Vec<Route> {
        let whole = Located {
            location: Location::Nowhere,
            value: RawRoute {
                path: Some(Located { location: Location::Nowhere, value: "/*".to_owned() }),
                ..RawRoute::default()
            },
        };
        let written = &self.raw.route;
        let raw_routes = if written.is_empty() { std::slice::from_ref(&whole) } else { written };
        let inherited = self.load_inherited_keyring(raw_routes);
        let mut paths = HashMap::new();
        let (mut routes, mut locations) = (Vec::new(), Vec::new());
        for (number, raw) in raw_routes.iter().enumerate() {
            let route = self.validate_route(number, raw, inherited.as_ref());
            if let Some(path) = &raw.value.path
                && paths.insert(path.value.as_str(), ()).is_some()
            {
                self.record_fault(&path.location, "route.path", FaultKind::DuplicatePath);
            }
            if let Some(route) = route {
                locations.push(raw);
                routes.push(route);
            }
        }
        self.warn_of_public(&locations, &routes);
        self.warn_of_unenforced(&locations, &routes);
        self.reject_shared_keys(&locations, &routes);
        routes
    }

    /// Loads the top-level tokens and those of subaccounts, if a route inherits them.
    fn load_inherited_keyring(&mut self, routes: &[Located<RawRoute>]) -> Option<Arc<Keyring>> {
        let raw = self.raw;
        let needed = routes.iter().any(|route| {
            route.value.access == RawAccess::Twilio && route.value.auth_tokens.is_none()
        });
        if !needed || (raw.auth_tokens.is_none() && raw.accounts_file.is_none()) {
            return None;
        }
        let keys =
            raw.auth_tokens.as_ref().map(|tokens| self.load_keys(tokens)).unwrap_or_default();
        Some(Arc::new(Keyring::new(keys, self.load_accounts())))
    }

    fn validate_route(
        &mut self,
        number: usize,
        located: &Located<RawRoute>,
        inherited: Option<&Arc<Keyring>>,
    ) -> Option<Route> {
        let raw = &located.value;
        let path = self.validate_path(number, located);
        let origins = self.validate_public_urls(number, located);
        let upstream = self.validate_upstream(number, located);
        let access = self.validate_access(number, located, inherited);
        let methods = self.validate_methods(raw);
        let statuses = self.validate_statuses(Some(raw));
        let max_body_bytes = self.resolve_max_body_bytes(raw);
        let response_timeout = raw.response_timeout.as_ref().map(|written| {
            self.validate_duration(Some(written), "route.response_timeout", Duration::ZERO)
        });
        let replay = self.validate_replay(raw);
        let append = raw.forwarded_headers.or(self.raw.forwarded_headers).unwrap_or_default();
        let enforced = self.validate_enforce(raw);
        let query_order = raw.query_order.or(self.raw.query_order).unwrap_or_default();
        let hosts = self.validate_hosts(raw, origins.as_deref().unwrap_or_default());
        Some(Route {
            number: 0, // assigned by the table
            path: path?,
            methods,
            access: access?,
            enforced,
            origins: origins?,
            query_order: query_order.into(),
            hosts,
            upstream: Arc::new(upstream?),
            allow_empty_form: raw.allow_empty_form.or(self.raw.allow_empty_form).unwrap_or(false),
            append_forwarded: append == RawForwarded::Append,
            max_body_bytes,
            response_timeout,
            statuses,
            replay,
        })
    }

    fn validate_path(&mut self, number: usize, located: &Located<RawRoute>) -> Option<Pattern> {
        match &located.value.path {
            Some(path) => {
                let parsed = Pattern::parse(&path.value);
                self.record_err(&path.location, "route.path", parsed, FaultKind::Pattern)
            }
            None => {
                self.record_missing_on(number, &located.location, "route.path");
                None
            }
        }
    }

    fn validate_upstream(
        &mut self,
        number: usize,
        located: &Located<RawRoute>,
    ) -> Option<Upstream> {
        let raw = self.raw;
        match located.value.upstream.as_ref().or(raw.upstream.as_ref()) {
            Some(url) => {
                let parsed = Upstream::parse(&url.value);
                let upstream =
                    self.record_err(&url.location, "upstream", parsed, FaultKind::Upstream)?;
                Some(upstream.with_tls(self.client_tls.as_ref()))
            }
            None => {
                self.record_missing_on(number, &located.location, "upstream");
                None
            }
        }
    }

    fn validate_hosts(&mut self, raw: &RawRoute, origins: &[Origin]) -> Hosts {
        let mut hosts = Hosts::from_origins(origins);
        let top = self.raw;
        for host in raw.allowed_hosts.as_ref().or(top.allowed_hosts.as_ref()).into_iter().flatten()
        {
            let allowed = hosts.allow(&host.value);
            self.record_err(&host.location, "allowed_hosts", allowed, FaultKind::Origin);
        }
        hosts
    }

    fn validate_access(
        &mut self,
        number: usize,
        located: &Located<RawRoute>,
        inherited: Option<&Arc<Keyring>>,
    ) -> Option<Access> {
        let raw = &located.value;
        self.reject_unused_keys(raw);
        match (raw.access, &raw.auth_tokens) {
            (RawAccess::Public, None) => Some(Access::Public),
            (RawAccess::SendGrid, None) => {
                self.load_sendgrid(located).map(|scheme| Access::Body(Arc::new(scheme)))
            }
            (RawAccess::Segment, None) => {
                self.load_segment(located).map(|scheme| Access::Body(Arc::new(scheme)))
            }
            (RawAccess::Public, Some(tokens)) => {
                self.record_fault(&tokens.location, "route.auth_tokens", FaultKind::UnusedToken);
                None
            }
            (RawAccess::SendGrid | RawAccess::Segment, Some(tokens)) => {
                let kind = FaultKind::UnusedKey("twilio");
                self.record_fault(&tokens.location, "route.auth_tokens", kind);
                None
            }
            (RawAccess::Twilio, Some(tokens)) => {
                let keyring = Keyring::new(self.load_keys(tokens), None);
                Some(Access::Twilio(Arc::new(keyring)))
            }
            (RawAccess::Twilio, None) => {
                if inherited.is_none() && !self.was_removed(number, "auth_tokens") {
                    self.record_fault(&located.location, "route.auth_tokens", FaultKind::NoToken);
                }
                inherited.map(|keyring| Access::Twilio(Arc::clone(keyring)))
            }
        }
    }

    /// A public route has nothing to enforce; a key at the top does not concern it.
    fn validate_enforce(&mut self, raw: &RawRoute) -> bool {
        if let (RawAccess::Public, Some(enforce)) = (raw.access, &raw.enforce) {
            self.record_fault(&enforce.location, "route.enforce", FaultKind::NothingToEnforce);
        }
        let written = raw.enforce.as_ref().or(self.raw.enforce.as_ref());
        raw.access == RawAccess::Public || written.is_none_or(|enforce| enforce.value)
    }

    fn validate_methods(&mut self, raw: &RawRoute) -> Vec<Box<str>> {
        let top = self.raw;
        let methods = match raw.access {
            RawAccess::SendGrid | RawAccess::Segment => return self.validate_post(raw),
            RawAccess::Twilio | RawAccess::Public => raw.methods.as_ref().or(top.methods.as_ref()),
        };
        let Some(methods) = methods else { return vec!["GET".into(), "POST".into()] };
        if methods.value.is_empty() {
            self.record_fault(&methods.location, "methods", FaultKind::Method);
        }
        for method in &methods.value {
            let text = &method.value;
            if text.is_empty() || text == "CONNECT" || !text.bytes().all(|b| b.is_ascii_uppercase())
            {
                self.record_fault(&method.location, "methods", FaultKind::Method);
            }
        }
        methods.value.iter().map(|method| method.value.as_str().into()).collect()
    }

    /// Accepts POST alone, where the method is not signed. Methods at the top are for other routes.
    fn validate_post(&mut self, raw: &RawRoute) -> Vec<Box<str>> {
        if let Some(methods) = &raw.methods
            && (methods.value.is_empty() || methods.value.iter().any(|text| text.value != "POST"))
        {
            self.record_fault(&methods.location, "route.methods", FaultKind::OnlyPost);
        }
        vec!["POST".into()]
    }

    /// Validates the statuses of a route, or those at the top. Inherited ones are not checked again.
    fn validate_statuses(&mut self, route: Option<&RawRoute>) -> Statuses {
        let top = self.raw;
        let defaults = match route {
            Some(_) => Statuses {
                missing: top.missing_status.as_ref().map_or(418, |located| located.value),
                mismatch: top.mismatch_status.as_ref().map_or(403, |located| located.value),
            },
            None => Statuses::default(),
        };
        let (missing, mismatch) = match route {
            Some(raw) => (&raw.missing_status, &raw.mismatch_status),
            None => (&top.missing_status, &top.mismatch_status),
        };
        Statuses {
            missing: self.validate_status(missing.as_ref(), "missing_status", defaults.missing),
            mismatch: self.validate_status(mismatch.as_ref(), "mismatch_status", defaults.mismatch),
        }
    }

    fn validate_status(
        &mut self,
        status: Option<&Located<u16>>,
        key: &'static str,
        default: u16,
    ) -> u16 {
        let Some(status) = status else { return default };
        if !(400..600).contains(&status.value) {
            self.record_fault(&status.location, key, FaultKind::Status);
        }
        status.value
    }

    fn validate_replay(&mut self, raw: &RawRoute) -> Option<Replay> {
        let retries = raw.replay_retries.as_ref();
        let Some(window) = &raw.replay_window else {
            if let Some(retries) = retries {
                let kind = FaultKind::RetriesWithoutWindow;
                self.record_fault(&retries.location, "route.replay_retries", kind);
            }
            return None;
        };
        let window = self.validate_duration(Some(window), "route.replay_window", Duration::ZERO);
        Some(Replay { window, retries: retries.map_or(1, |located| located.value) })
    }

    fn resolve_max_body_bytes(&self, raw: &RawRoute) -> u64 {
        let written = raw.max_body_bytes.as_ref().or(self.raw.limits.max_body_bytes.as_ref());
        written.map_or(DEFAULT_MAX_BODY, |located| located.value)
    }
}

impl From<RawQueryOrder> for QueryOrder {
    fn from(raw: RawQueryOrder) -> Self {
        match raw {
            RawQueryOrder::AsReceived => Self::AsReceived,
            RawQueryOrder::Any => Self::Any,
        }
    }
}
