//! Validates `public_url`: the origins configured at Twilio.

use super::Validator;
use crate::config::{
    fault::FaultKind,
    raw::{Located, Location, RawRoute, RawUrls},
    warning::WarningKind,
};
use crate::routes::Pattern;
use crate::signature::{Origin, Scheme};

/// Most public URLs of a route: a forged request can cost the MACs of each of them.
const MAX_PUBLIC_URLS: usize = 8;

impl Validator<'_> {
    /// Parses the public URLs of a route; `None` where one is faulty. They are required unless a
    /// `[trust]` proxy states them in each request.
    pub(super) fn validate_public_urls(
        &mut self,
        number: usize,
        located: &Located<RawRoute>,
    ) -> Option<Vec<Origin>> {
        let raw = self.raw;
        let Some(written) = located.value.public_url.as_ref().or(raw.public_url.as_ref()) else {
            if raw.trust.is_none() {
                self.record_missing_on(number, &located.location, "public_url");
            }
            return Some(Vec::new());
        };
        let urls: Vec<(&Location, &str)> = match &written.value {
            RawUrls::One(url) => vec![(&written.location, url)],
            RawUrls::Many(urls) => urls.iter().map(|url| (&url.location, &*url.value)).collect(),
        };
        if urls.is_empty() && !self.has_fault_inside(&written.location) {
            self.record_fault(&written.location, "public_url", FaultKind::NoPublicUrl);
        }
        if urls.len() > MAX_PUBLIC_URLS {
            let kind = FaultKind::TooManyUrls(MAX_PUBLIC_URLS);
            self.record_fault(&written.location, "public_url", kind);
        }
        let origins = urls.iter().map(|(location, url)| self.validate_public_url(location, url));
        let origins: Vec<Option<Origin>> = origins.collect();
        if let Some(path) = located.value.path.as_ref().map(|path| &*path.value) {
            for ((location, _), origin) in urls.iter().zip(&origins) {
                self.warn_of_prefix(location, origin.as_ref(), path);
            }
        }
        origins.into_iter().collect()
    }

    fn validate_public_url(&mut self, location: &Location, url: &str) -> Option<Origin> {
        let parsed = Origin::parse(url);
        let origin = self.record_err(location, "public_url", parsed, FaultKind::Origin)?;
        if origin.scheme() == Scheme::Http && self.raw.tls.is_some() {
            self.record_fault(location, "public_url", FaultKind::PlainUrl);
        }
        self.warn_of_plain_url(location, &origin);
        Some(origin)
    }

    /// Warns about a path in `public_url` that hardly any proxy strips: then nothing ever matches.
    fn warn_of_prefix(&mut self, location: &Location, origin: Option<&Origin>, path: &str) {
        let Some(origin) = origin else { return };
        let prefix = origin.prefix();
        let bare = || origin.to_string().strip_suffix(prefix).unwrap_or_default().to_owned();
        let signed = format!("{origin}{path}");
        if prefix.contains('*') {
            self.warn(location, WarningKind::StarInPublicUrl { signed, bare: bare() });
        } else if prefix.contains("//") || prefix.ends_with('/') {
            self.warn(location, WarningKind::SlashesInPublicUrl { signed, bare: bare() });
        } else if Pattern::parse(path).is_ok_and(|path| repeats(prefix, &path)) {
            self.warn(location, WarningKind::PathInPublicUrl { signed, bare: bare() });
        }
    }
}

/// Whether a prefix seems to be the path of a webhook, as in `https://h/voice` beside `/voice`.
fn repeats(prefix: &str, path: &Pattern) -> bool {
    let (Pattern::Exact(path) | Pattern::Subtree(path)) = path;
    let path = path.trim_end_matches('/');
    let lies_below = |path: &str, above: &str| {
        path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    !prefix.is_empty()
        && !path.is_empty()
        && (lies_below(path, prefix) || lies_below(prefix, path) || prefix.ends_with(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_that_repeats_the_path_is_noticed() {
        let repeats = |prefix: &str, path: &str| repeats(prefix, &Pattern::parse(path).unwrap());
        for (prefix, path) in [
            ("/voice", "/voice"),
            ("/voice", "/voice/"),
            ("/api", "/api/voice"),
            ("/sms/in", "/sms/*"),
            ("/sms", "/sms/*"),
            ("/twilio/voice", "/voice"),
        ] {
            assert!(repeats(prefix, path), "{prefix} {path}");
        }
        for (prefix, path) in
            [("", "/voice"), ("/twilio", "/voice"), ("/twilio", "/*"), ("/voice", "/voices")]
        {
            assert!(!repeats(prefix, path), "{prefix} {path}");
        }
    }
}
