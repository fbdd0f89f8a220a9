//! Parses text into [`RawConfig`] and reports all faults of syntax, keys and types at once.

use std::ops::Range;

use serde::{Deserialize, de::IntoDeserializer};
use toml::{
    Spanned,
    de::{DeArray, DeTable, DeValue, Deserializer, Error},
};

use super::{
    fault::{Fault, FaultKind, MAX_FAULTS},
    raw::{Located, Location, RawConfig, RawToken},
    unknown_key,
};

/// The keys that reading removed, each with its path from the top.
#[derive(Debug, Default)]
pub(super) struct RemovedKeys(Vec<Vec<String>>);

impl RemovedKeys {
    /// Whether this key was removed, or an entry of its list: at the top, or in the route of this
    /// number.
    pub(super) fn contains(&self, route: Option<usize>, key: &str) -> bool {
        let number = route.map(|number| number.to_string());
        self.0.iter().any(|path| match (&number, &path[..]) {
            (None, [first, ..]) => first == key,
            (Some(number), [table, at, own, ..]) => table == "route" && at == number && own == key,
            _ => false,
        })
    }
}

impl RemovedKeys {
    /// Whether this key of a table was removed.
    pub(super) fn contains_in(&self, table: &str, key: &str) -> bool {
        self.0.iter().any(|path| matches!(&path[..], [at, own, ..] if at == table && own == key))
    }
}

/// Parses a configuration; entries that cannot be read become faults.
pub(super) fn read_config(text: &str) -> (RawConfig, Vec<Fault>, RemovedKeys) {
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        return (
            RawConfig::default(),
            errors.iter().map(|error| toml_fault(error, FaultKind::Syntax)).collect(),
            RemovedKeys::default(),
        );
    }
    read_table(table)
}

/// Reads `listen` of `[admin]` from a text that may have other faults.
pub(super) fn admin_listen(text: &str) -> Option<String> {
    let (table, _) = DeTable::parse_recoverable(text);
    let admin = table.get_ref().get("admin")?.get_ref().as_table()?;
    admin.get("listen")?.get_ref().as_str().map(str::to_owned)
}

/// Deserializes the table. serde stops at the first error, so each failing entry is recorded and
/// removed, and the rest is deserialized again. Stops after [`MAX_FAULTS`].
fn read_table(mut table: Spanned<DeTable<'_>>) -> (RawConfig, Vec<Fault>, RemovedKeys) {
    let mut faults: Vec<Fault> = make_route_a_list(table.get_mut()).into_iter().collect();
    let mut removed = RemovedKeys::default();
    while faults.len() < MAX_FAULTS {
        let error = match RawConfig::deserialize(Deserializer::from(table.clone())) {
            Ok(raw) => return (raw, faults, removed),
            Err(error) => error,
        };
        faults.push(match error.message() {
            message if message.starts_with("unknown field `upstream_http2`") => {
                toml_fault(&error, |_| FaultKind::RemovedHttp2)
            }
            _ => toml_fault(&error, unreadable),
        });
        let Some(span) = error.span() else { break };
        let mut path = Vec::new();
        if !remove_entry(table.get_mut(), &span, &mut path) {
            break;
        }
        path.reverse();
        removed.0.push(path);
    }
    (RawConfig::default(), faults, removed)
}

fn unreadable(message: String) -> FaultKind {
    unknown_key::describe(&message).map_or(FaultKind::Type(message), FaultKind::UnknownKey)
}

/// Takes `[route]` for `[[route]]`, so that the faults in it are found too.
fn make_route_a_list(table: &mut DeTable<'_>) -> Option<Fault> {
    let (key, _) = table.iter().find(|(key, value)| {
        key.get_ref() == "route" && matches!(value.get_ref(), DeValue::Table(_))
    })?;
    let key = key.clone();
    let route = table.remove(&key)?;
    let (span, location) = (route.span(), Location::File(key.span()));
    let mut list = DeArray::new();
    list.push(route);
    table.insert(key, Spanned::new(span, DeValue::Array(list)));
    Some(Fault { location, key: "route", kind: FaultKind::SingleRoute })
}

/// One entry of an accounts file.
pub(super) struct RawAccount {
    /// The key as written; not yet validated as an account SID.
    pub(super) sid: Located<String>,
    /// The location of the value.
    pub(super) location: Location,
    /// The tokens; a request must match one of them.
    pub(super) tokens: Vec<Located<RawToken>>,
}

/// Parses an accounts file. A duplicate SID is a fault that does not stop the rest from being read.
pub(super) fn read_accounts(text: &str) -> (Vec<RawAccount>, Vec<Fault>) {
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut faults: Vec<_> =
        errors.iter().map(|error| toml_fault(error, FaultKind::Syntax)).collect();
    if errors.iter().any(|error| error.message() != "duplicate key") {
        return (Vec::new(), faults);
    }
    let mut accounts = Vec::new();
    for (key, value) in table.into_inner() {
        let sid =
            Located { location: Location::File(key.span()), value: key.into_inner().into_owned() };
        let location = Location::File(value.span());
        match parse_tokens(value) {
            Ok(tokens) => accounts.push(RawAccount { sid, location, tokens }),
            Err(error) => faults.push(toml_fault(&error, unreadable)),
        }
    }
    (accounts, faults)
}

/// Parses one token or a list of tokens.
fn parse_tokens(value: Spanned<DeValue<'_>>) -> Result<Vec<Located<RawToken>>, Error> {
    let is_list = value.get_ref().is_array();
    let deserializer = value.into_deserializer();
    if is_list {
        return Vec::deserialize(deserializer);
    }
    Located::deserialize(deserializer).map(|one| vec![one])
}

fn toml_fault(error: &Error, kind: fn(String) -> FaultKind) -> Fault {
    let location = error.span().map_or(Location::Nowhere, Location::File);
    Fault { location, key: "toml", kind: kind(error.message().to_owned()) }
}

/// Removes the smallest entry that contains the span; `false` if there is none. Appends its path,
/// the last key first.
fn remove_entry(table: &mut DeTable<'_>, span: &Range<usize>, path: &mut Vec<String>) -> bool {
    let within = |outer: Range<usize>| outer.start <= span.start && span.end <= outer.end;
    let mut key_of_entry = None;
    for (key, value) in table.iter_mut() {
        if key.span() == *span || value.span() == *span {
            key_of_entry = Some(key.clone());
            break;
        }
        if contains(value, span) || within(value.span()) {
            if remove_inside(value, span, path) {
                path.push(key.get_ref().to_string());
                return true;
            }
            key_of_entry = Some(key.clone());
            break;
        }
    }
    key_of_entry.is_some_and(|key| {
        path.push(key.get_ref().to_string());
        table.remove(&key).is_some()
    })
}

fn remove_inside(
    value: &mut Spanned<DeValue<'_>>,
    span: &Range<usize>,
    path: &mut Vec<String>,
) -> bool {
    match value.get_mut() {
        DeValue::Table(table) => remove_entry(table, span, path),
        DeValue::Array(array) => {
            let inside = array.iter().position(|item| item.span() == *span || contains(item, span));
            let Some(at) = inside else { return false };
            let item = array.get_mut(at);
            let is_inside =
                item.is_some_and(|item| item.span() != *span && remove_inside(item, span, path));
            path.push(at.to_string());
            if is_inside {
                return true;
            }
            let items = std::mem::replace(array, DeArray::new()).into_iter().enumerate();
            *array = items.filter(|(index, _)| *index != at).map(|(_, item)| item).collect();
            true
        }
        _ => false,
    }
}

/// Whether the value or an entry below it contains the span. Searches nested entries too, because a
/// table's own span may cover its header only.
fn contains(value: &Spanned<DeValue<'_>>, span: &Range<usize>) -> bool {
    let within = |outer: Range<usize>| outer.start <= span.start && span.end <= outer.end;
    within(value.span())
        || match value.get_ref() {
            DeValue::Table(table) => {
                table.iter().any(|(key, value)| within(key.span()) || contains(value, span))
            }
            DeValue::Array(array) => array.iter().any(|item| contains(item, span)),
            _ => false,
        }
}
