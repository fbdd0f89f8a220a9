//! Collects warnings: valid but risky settings.

use std::{fs, os::unix::fs::PermissionsExt, time::Duration};

use super::Validator;
use crate::config::{
    fault::{FaultKind, MAX_FAULTS, position},
    raw::{Located, Location, RawRoute, RawSource},
    secret::Secret,
    warning::{Warning, WarningKind},
};
use crate::limits::Limits;
use crate::net::Listen;
use crate::routes::{Access, Pattern, Route, Trust};
use crate::signature::{Origin, Scheme, TokenShape};

/// Twilio's timeout for a webhook's response.
const TWILIO_TIMEOUT: Duration = Duration::from_secs(15);

/// The timeout of an Event Streams webhook
/// (<https://www.twilio.com/docs/events/webhook-quickstart>).
const EVENTS_TIMEOUT: Duration = Duration::from_secs(5);

/// Whether a path has the word `event` or `events`. Nothing else tells a sink of Event Streams from
/// other webhooks before its first request.
fn names_events(path: &Pattern) -> bool {
    let (Pattern::Exact(path) | Pattern::Subtree(path)) = path;
    let mut words = path.split(|c: char| !c.is_ascii_alphanumeric());
    words.any(|word| ["event", "events"].iter().any(|name| word.eq_ignore_ascii_case(name)))
}

impl Validator<'_> {
    /// Records a warning once, up to [`MAX_FAULTS`].
    pub(super) fn warn(&mut self, location: &Location, kind: WarningKind) {
        let location = match location {
            Location::File(span) => {
                let (line, column) = position(self.source.text, span.start);
                format!("{}:{line}:{column}", self.source.name)
            }
            Location::Flag(flag) => (*flag).to_owned(),
            Location::Nowhere => self.source.name.to_owned(),
        };
        let warning = Warning { location, kind };
        if self.warnings.len() < MAX_FAULTS && !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    /// Warns about an inline token, written as a plain string.
    pub(super) fn warn_of_inline(&mut self, location: &Location, secret: &Secret) {
        self.first_inline.get_or_insert_with(|| location.clone());
        self.warn_of_unusual_token(location, secret);
    }

    /// Warns about a token given as a table. A SharedKey has a form of its own and is not checked.
    pub(super) fn warn_of_source(
        &mut self,
        location: &Location,
        source: &RawSource,
        secret: &Secret,
    ) {
        if source.value.is_some() {
            self.first_inline.get_or_insert_with(|| location.clone());
        }
        if source.key_id.is_none() {
            self.warn_of_unusual_token(location, secret);
        }
    }

    /// Warns once for all inline tokens of a file: a long accounts file may be intended.
    pub(super) fn warn_of_inline_tokens(&mut self) {
        let (Some(location), Some(file)) = (self.first_inline.take(), self.source.file) else {
            return;
        };
        let mode = fs::metadata(file).map_or(0, |metadata| metadata.permissions().mode());
        let kind =
            if mode & 0o004 == 0 { WarningKind::InlineToken } else { WarningKind::WorldReadable };
        self.warn(&location, kind);
    }

    /// Judges the shape of an auth token: some shapes can only be a mistake.
    fn warn_of_unusual_token(&mut self, location: &Location, secret: &Secret) {
        match TokenShape::of(secret.bytes()) {
            Some(shape) if shape.is_fault() && !self.keeps_odd_tokens => {
                self.record_fault(location, self.token_key, FaultKind::TokenShape(shape));
            }
            Some(shape) => self.warn(location, WarningKind::UnusualToken(shape)),
            None => {}
        }
    }

    /// Warns about an `http://` URL, except on this machine, where the gate is being tried out.
    pub(super) fn warn_of_plain_url(&mut self, location: &Location, origin: &Origin) {
        let is_local = matches!(origin.host(), "localhost" | "127.0.0.1" | "[::1]");
        if origin.scheme() == Scheme::Http && !is_local {
            self.warn(location, WarningKind::PlainUrl);
        }
    }

    pub(super) fn warn_of_public(&mut self, written: &[&Located<RawRoute>], routes: &[Route]) {
        let pairs = written.iter().zip(routes).filter(|(_, route)| route.is_public());
        for (Located { location, .. }, route) in pairs {
            let mut guarded = routes.iter().filter(|other| !other.is_public());
            let overlap = guarded.find(|other| other.path.overlaps(&route.path));
            let path: Pattern = route.path.clone();
            self.warn(
                location,
                match overlap {
                    Some(guarded) => WarningKind::PublicMeetsGuarded(path, guarded.path.clone()),
                    None => WarningKind::Public(path),
                },
            );
        }
    }

    /// Warns about each route that forwards unproven requests for now.
    pub(super) fn warn_of_unenforced(&mut self, from: &[&Located<RawRoute>], routes: &[Route]) {
        let written = self.raw.enforce.as_ref();
        for (Located { location, .. }, route) in from.iter().zip(routes) {
            if !route.is_unenforced() {
                continue;
            }
            let top = written.map(|enforce| &enforce.location);
            let location = if matches!(location, Location::Nowhere) { top } else { Some(location) };
            let mut enforced = routes.iter().filter(|other| other.enforced && !other.is_public());
            let overlap = enforced.find(|other| other.path.overlaps(&route.path));
            let path = route.path.clone();
            let kind = match overlap {
                Some(other) => WarningKind::UnenforcedMeetsGuarded(path, other.path.clone()),
                None => WarningKind::Unenforced(path),
            };
            self.warn(location.unwrap_or(&Location::Nowhere), kind);
        }
    }

    /// Warns about an app that may take longer than Twilio waits.
    pub(super) fn warn_of_timeouts(&mut self, routes: &[Route], limits: &Limits) {
        let raw = self.raw;
        let of_routes = raw.route.iter().filter_map(|route| route.value.response_timeout.as_ref());
        for written in raw.limits.response_timeout.iter().chain(of_routes) {
            if written.value.0 > TWILIO_TIMEOUT {
                self.warn(&written.location, WarningKind::LongResponseTimeout);
            }
        }
        for (written, route) in raw.route.iter().zip(routes) {
            let timeout = route.response_timeout.unwrap_or(limits.response_timeout);
            let is_twilios = matches!(route.access, Access::Twilio(_));
            if timeout > EVENTS_TIMEOUT && is_twilios && names_events(&route.path) {
                let location = written.value.response_timeout.as_ref().map(|own| &own.location);
                let location = location.unwrap_or(&written.location);
                self.warn(location, WarningKind::SlowEvents(route.path.clone()));
            }
        }
    }

    /// Warns about risky values in `[admin]` and `[trust]`.
    pub(super) fn warn_of_settings(&mut self, admin: Option<&Listen>, trust: Option<&Trust>) {
        let raw = self.raw;
        if let (Some(Listen::Tcp(address)), Some(written)) = (admin, &raw.admin)
            && !address.ip().to_canonical().is_loopback()
        {
            self.warn(&written.location, WarningKind::ExposedAdmin);
        }
        if let (Some(trust), Some(written)) = (trust, &raw.trust)
            && trust.trusts_all()
        {
            self.warn(&written.location, WarningKind::TrustsAll);
        }
    }
}
