//! What a trusted proxy says of the public URL.

use super::case::Case;
use crate::http1::{FieldName, Fields};
use crate::signature::split_port;

/// The statements of all `X-Forwarded-*` and `Forwarded` fields together.
#[derive(Clone, Debug, Default)]
pub(super) struct Stated {
    pub(super) schemes: Vec<String>,
    pub(super) hosts: Vec<String>,
    pub(super) ports: Vec<u16>,
    /// A field that may stand once stands twice.
    repeated: bool,
}

impl Stated {
    /// Reads them leniently: for an explanation a guess is good enough.
    pub(super) fn of(fields: &Fields) -> Self {
        let mut stated = Self::default();
        for (name, kind) in [
            (FieldName::ForwardedProto, "proto"),
            (FieldName::ForwardedHost, "host"),
            (FieldName::ForwardedPort, "port"),
        ] {
            stated.repeated |= fields.all(name).count() > 1;
            for value in fields.all(name) {
                stated.add(kind, first_element(value));
            }
        }
        stated.repeated |= fields.all(FieldName::Forwarded).count() > 1;
        for value in fields.all(FieldName::Forwarded) {
            for pair in first_element(value).split(';') {
                if let Some((name, value)) = pair.split_once('=') {
                    stated.add(&name.trim().to_ascii_lowercase(), value.trim().trim_matches('"'));
                }
            }
        }
        stated
    }

    fn add(&mut self, kind: &str, value: &str) {
        let add = |list: &mut Vec<String>, value: String| {
            if !list.contains(&value) {
                list.push(value);
            }
        };
        match kind {
            "proto" => add(&mut self.schemes, http_scheme(value).to_owned()),
            "host" => match split_port(value) {
                Ok((host, port)) => {
                    add(&mut self.hosts, host.to_ascii_lowercase());
                    self.ports.extend(port.filter(|port| !self.ports.contains(port)));
                }
                Err(_) => self.repeated = true,
            },
            "port" => match value.parse() {
                Ok(port) if !self.ports.contains(&port) => self.ports.push(port),
                Ok(_) => {}
                Err(_) => self.repeated = true,
            },
            _ => {}
        }
    }

    pub(super) const fn is_absent(&self) -> bool {
        self.schemes.is_empty() && self.hosts.is_empty() && self.ports.is_empty() && !self.repeated
    }

    /// Whether two statements differ, or one cannot be read.
    pub(super) const fn contradicts_itself(&self) -> bool {
        self.repeated || self.schemes.len() > 1 || self.hosts.len() > 1 || self.ports.len() > 1
    }

    pub(super) fn says_http(&self) -> bool {
        self.schemes.iter().any(|scheme| scheme == "http")
    }
}

/// Whether `[trust]` decides the origin of this request.
pub(super) fn decides(case: &Case<'_>) -> bool {
    case.table.trust().is_some_and(|trust| trust.trusts(case.peer))
}

fn http_scheme(text: &str) -> &'static str {
    if matches!(text.to_ascii_lowercase().as_str(), "http" | "ws") { "http" } else { "https" }
}

pub(super) fn first_element(value: &[u8]) -> &str {
    let text = std::str::from_utf8(value).unwrap_or_default();
    text.split(',').next().unwrap_or_default().trim()
}
