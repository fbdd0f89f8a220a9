//! What is right but will hurt.

use std::{fs, os::unix::fs::PermissionsExt, time::Duration};

use super::Validator;
use crate::config::{
    Secret, Warning, WarningKind,
    fault::{MAX_FAULTS, position},
    raw::{Location, RawSource},
};
use crate::limits::Limits;
use crate::net::Listen;
use crate::routes::{Pattern, Route, Trust};
use crate::signature::{Origin, Scheme};

/// How long Twilio waits for an answer.
const TWILIO_TIMEOUT: Duration = Duration::from_secs(15);

impl Validator<'_> {
    /// Notes a warning, once, and no more of them than are worth reading.
    pub(super) fn warn(&mut self, place: &Location, kind: WarningKind) {
        let place = match place {
            Location::File(span) => {
                let (line, column) = position(self.sheet.text, span.start);
                format!("{}:{line}:{column}", self.sheet.name)
            }
            Location::Flag(flag) => (*flag).to_owned(),
            Location::Nowhere => self.sheet.name.to_owned(),
        };
        let warning = Warning { place, kind };
        if self.warnings.len() < MAX_FAULTS && !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    /// A token that is written out.
    pub(super) fn warn_of_inline(&mut self, place: &Location, secret: &Secret) {
        self.literal.get_or_insert_with(|| place.clone());
        self.warn_of_odd_token(place, secret);
    }

    /// A token from elsewhere, if it is from elsewhere. A SharedKey has another form.
    pub(super) fn warn_of_found(&mut self, place: &Location, source: &RawSource, secret: &Secret) {
        if source.value.is_some() {
            self.literal.get_or_insert_with(|| place.clone());
        }
        if source.key_id.is_none() {
            self.warn_of_odd_token(place, secret);
        }
    }

    /// One warning for all tokens of a sheet: a long accounts file may be meant.
    pub(super) fn warn_of_literals(&mut self) {
        let (Some(place), Some(file)) = (self.literal.take(), self.sheet.file) else { return };
        let mode = fs::metadata(file).map_or(0, |metadata| metadata.permissions().mode());
        let kind = if mode & 0o004 == 0 { WarningKind::Literal } else { WarningKind::Readable };
        self.warn(&place, kind);
    }

    fn warn_of_odd_token(&mut self, place: &Location, secret: &Secret) {
        let bytes = secret.bytes();
        if bytes.len() != 32 || !bytes.iter().all(u8::is_ascii_hexdigit) {
            self.warn(place, WarningKind::OddToken);
        }
    }

    /// A URL on this very machine is being tried out.
    pub(super) fn warn_of_plain_url(&mut self, place: &Location, origin: &Origin) {
        let here = matches!(origin.host(), "localhost" | "127.0.0.1" | "[::1]");
        if origin.scheme() == Scheme::Http && !here {
            self.warn(place, WarningKind::PlainUrl);
        }
    }

    pub(super) fn warn_of_public(&mut self, places: &[&Location], routes: &[Route]) {
        for (place, route) in places.iter().zip(routes).filter(|(_, route)| route.is_public()) {
            let mut guarded = routes.iter().filter(|other| !other.is_public());
            let met = guarded.find(|other| other.path.meets(&route.path));
            let path: Pattern = route.path.clone();
            self.warn(
                place,
                match met {
                    Some(guarded) => WarningKind::Shadows(path, guarded.path.clone()),
                    None => WarningKind::Public(path),
                },
            );
        }
    }

    /// What stands in tables of its own.
    pub(super) fn warn_of_tables(
        &mut self,
        admin: Option<&Listen>,
        trust: Option<&Trust>,
        limits: &Limits,
    ) {
        let raw = self.raw;
        if let (Some(Listen::Tcp(address)), Some(written)) = (admin, &raw.admin)
            && !address.ip().to_canonical().is_loopback()
        {
            self.warn(&written.place, WarningKind::OpenAdmin);
        }
        if let (Some(trust), Some(written)) = (trust, &raw.trust)
            && trust.believes_all()
        {
            self.warn(&written.place, WarningKind::TrustsAll);
        }
        if let Some(written) = &raw.limits.response_timeout
            && limits.response_timeout > TWILIO_TIMEOUT
        {
            self.warn(&written.place, WarningKind::SlowResponse);
        }
    }
}
