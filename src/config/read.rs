//! Text into [`RawConfig`], with every fault of syntax, name and type at once.

use std::ops::Range;

use serde::{Deserialize, de::IntoDeserializer};
use toml::{
    Spanned,
    de::{DeArray, DeTable, DeValue, Deserializer, Error},
};

use super::{
    fault::{Fault, FaultKind, MAX_FAULTS},
    raw::{Located, Location, RawConfig, RawToken},
};

/// Reads what can be read; what cannot is among the faults.
pub(super) fn read(text: &str) -> (RawConfig, Vec<Fault>) {
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        return (
            RawConfig::default(),
            errors.iter().map(|error| fault(error, FaultKind::Syntax)).collect(),
        );
    }
    read_table(table)
}

/// `listen` of `[admin]`, from a text that may be full of faults.
pub(super) fn admin_listen(text: &str) -> Option<String> {
    let (table, _) = DeTable::parse_recoverable(text);
    let admin = table.get_ref().get("admin")?.get_ref().as_table()?;
    admin.get("listen")?.get_ref().as_str().map(str::to_owned)
}

/// serde stops at the first fault. So what it stopped at is record_err, taken out, and the rest read
/// again.
fn read_table(mut table: Spanned<DeTable<'_>>) -> (RawConfig, Vec<Fault>) {
    let mut faults = Vec::new();
    while faults.len() < MAX_FAULTS {
        let error = match RawConfig::deserialize(Deserializer::from(table.clone())) {
            Ok(raw) => return (raw, faults),
            Err(error) => error,
        };
        faults.push(match error.message() {
            message if message.starts_with("unknown field `upstream_http2`") => {
                fault(&error, |_| FaultKind::RemovedHttp2)
            }
            _ => fault(&error, FaultKind::Type),
        });
        let Some(span) = error.span() else { break };
        if !remove(table.get_mut(), &span) {
            break;
        }
    }
    (RawConfig::default(), faults)
}

/// One entry of an accounts file.
pub(super) struct RawAccount {
    /// As written, and not yet known to be one.
    pub(super) sid: Located<String>,
    /// Where what follows it is written.
    pub(super) place: Location,
    /// Any one may match.
    pub(super) tokens: Vec<Located<RawToken>>,
}

/// Reads an accounts file. Where a sid stands twice, the rest is read all the same.
pub(super) fn accounts(text: &str) -> (Vec<RawAccount>, Vec<Fault>) {
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut faults: Vec<_> = errors.iter().map(|error| fault(error, FaultKind::Syntax)).collect();
    if errors.iter().any(|error| error.message() != "duplicate key") {
        return (Vec::new(), faults);
    }
    let mut accounts = Vec::new();
    for (key, value) in table.into_inner() {
        let sid =
            Located { place: Location::File(key.span()), value: key.into_inner().into_owned() };
        let place = Location::File(value.span());
        match tokens(value) {
            Ok(tokens) => accounts.push(RawAccount { sid, place, tokens }),
            Err(error) => faults.push(fault(&error, FaultKind::Type)),
        }
    }
    (accounts, faults)
}

/// One token, or a list of such.
fn tokens(value: Spanned<DeValue<'_>>) -> Result<Vec<Located<RawToken>>, Error> {
    let is_list = value.get_ref().is_array();
    let deserializer = value.into_deserializer();
    if is_list {
        return Vec::deserialize(deserializer);
    }
    Located::deserialize(deserializer).map(|one| vec![one])
}

fn fault(error: &Error, kind: fn(String) -> FaultKind) -> Fault {
    let place = error.span().map_or(Location::Nowhere, Location::File);
    Fault { place, key: "toml", kind: kind(error.message().to_owned()) }
}

/// Takes out the smallest entry that the span lies in; `false` if there is none.
fn remove(table: &mut DeTable<'_>, span: &Range<usize>) -> bool {
    let within = |outer: Range<usize>| outer.start <= span.start && span.end <= outer.end;
    let mut key_of_entry = None;
    for (key, value) in table.iter_mut() {
        if key.span() == *span || value.span() == *span {
            key_of_entry = Some(key.clone());
            break;
        }
        if holds(value, span) || within(value.span()) {
            if remove_inside(value, span) {
                return true;
            }
            key_of_entry = Some(key.clone());
            break;
        }
    }
    key_of_entry.is_some_and(|key| table.remove(&key).is_some())
}

fn remove_inside(value: &mut Spanned<DeValue<'_>>, span: &Range<usize>) -> bool {
    match value.get_mut() {
        DeValue::Table(table) => remove(table, span),
        DeValue::Array(array) => {
            let inside = array.iter().position(|item| item.span() == *span || holds(item, span));
            let Some(at) = inside else { return false };
            let item = array.get_mut(at);
            if item.is_some_and(|item| item.span() != *span && remove_inside(item, span)) {
                return true;
            }
            let items = std::mem::replace(array, DeArray::new()).into_iter().enumerate();
            *array = items.filter(|(index, _)| *index != at).map(|(_, item)| item).collect();
            true
        }
        _ => false,
    }
}

/// Whether the span lies somewhere below: a table's own span may cover its header only.
fn holds(value: &Spanned<DeValue<'_>>, span: &Range<usize>) -> bool {
    let within = |outer: Range<usize>| outer.start <= span.start && span.end <= outer.end;
    within(value.span())
        || match value.get_ref() {
            DeValue::Table(table) => {
                table.iter().any(|(key, value)| within(key.span()) || holds(value, span))
            }
            DeValue::Array(array) => array.iter().any(|item| holds(item, span)),
            _ => false,
        }
}
