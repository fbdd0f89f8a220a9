//! The public URL as a trusted proxy states it.

use super::case::Case;
use crate::http1::{FieldName, Fields};
use crate::signature::split_port;

/// The statements of all `X-Forwarded-*` and `Forwarded` fields together.
#[derive(Clone, Debug, Default)]
pub(super) struct Stated {
    pub(super) schemes: Vec<String>,
    pub(super) hosts: Vec<String>,
    pub(super) ports: Vec<u16>,
    /// The field that stands twice and may stand once, or that cannot be read.
    faulty: Option<&'static str>,
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
            if fields.all(name).count() > 1 {
                stated.faulty = Some(field_of(kind));
            }
            for value in fields.all(name) {
                stated.add(kind, first_element(value));
            }
        }
        if fields.all(FieldName::Forwarded).count() > 1 {
            stated.faulty = Some("Forwarded");
        }
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
                Err(_) => self.faulty = Some(field_of(kind)),
            },
            "port" => match value.parse() {
                Ok(port) if !self.ports.contains(&port) => self.ports.push(port),
                Ok(_) => {}
                Err(_) => self.faulty = Some(field_of(kind)),
            },
            _ => {}
        }
    }

    pub(super) const fn is_absent(&self) -> bool {
        self.schemes.is_empty()
            && self.hosts.is_empty()
            && self.ports.is_empty()
            && self.faulty.is_none()
    }

    /// Whether two statements differ, or one cannot be read.
    pub(super) const fn contradicts_itself(&self) -> bool {
        self.faulty.is_some()
            || self.schemes.len() > 1
            || self.hosts.len() > 1
            || self.ports.len() > 1
    }

    /// Returns what is wrong with the statements, as the end of "the trusted proxy …".
    pub(super) fn fault(&self) -> String {
        if let Some(field) = self.faulty {
            return format!("sends {field} twice, or with a value that cannot be read");
        }
        let lists = [(&self.schemes, "scheme"), (&self.hosts, "host")];
        let contradiction = lists.into_iter().find(|(values, _)| values.len() > 1);
        match contradiction {
            Some((_, what)) => format!("contradicts itself: its fields name more than one {what}"),
            None if self.ports.len() > 1 => {
                "contradicts itself: its fields name more than one port".to_owned()
            }
            None => "says nothing of the public URL".to_owned(),
        }
    }

    pub(super) fn says_http(&self) -> bool {
        self.schemes.iter().any(|scheme| scheme == "http")
    }
}

/// Whether `[trust]` decides the origin of this request.
pub(super) fn decides(case: &Case<'_>) -> bool {
    case.table.trust().is_some_and(|trust| trust.trusts(case.peer))
}

fn field_of(kind: &str) -> &'static str {
    match kind {
        "proto" => "X-Forwarded-Proto",
        "port" => "X-Forwarded-Port",
        _ => "X-Forwarded-Host",
    }
}

fn http_scheme(text: &str) -> &'static str {
    if matches!(text.to_ascii_lowercase().as_str(), "http" | "ws") { "http" } else { "https" }
}

pub(super) fn first_element(value: &[u8]) -> &str {
    let text = std::str::from_utf8(value).unwrap_or_default();
    text.split(',').next().unwrap_or_default().trim()
}
