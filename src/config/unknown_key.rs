//! Explains a key that is not known where it stands.

use std::collections::BTreeMap;

use super::raw::RawConfig;

/// The least similarity of a proposed key; clap proposes options by the same one.
const MIN_SIMILARITY: f64 = 0.7;

/// Returns the message for the unknown key of a TOML error, such as ``unknown field `listn`,
/// expected one of `listen`, …``; `None` for any other error.
pub(super) fn describe(message: &str) -> Option<String> {
    let rest = message.strip_prefix("unknown field ")?;
    let mut names = rest.split('`').skip(1).step_by(2);
    let key = names.next()?;
    let known: Vec<&str> = names.collect();
    let meant = misplaced(key, &known)
        .or_else(|| {
            similar(key, known.iter().copied()).map(|near| format!("did you mean `{near}`?"))
        })
        .map_or_else(String::new, |meant| format!(": {meant}"));
    Some(format!("unknown key `{key}`{meant}; the keys here are {}", known.join(", ")))
}

/// Returns where a key belongs that is known elsewhere.
fn misplaced(key: &str, known: &[&str]) -> Option<String> {
    let tables = keys_by_table();
    let holders = tables.iter().filter(|(_, keys)| keys.iter().any(|own| own == key));
    let names: Vec<&str> = holders.map(|(name, _)| *name).collect();
    let [first, rest @ ..] = &names[..] else { return None };
    if *first == TOP {
        return Some("it belongs at the top of the file, before the first [table]".to_owned());
    }
    let others = rest.iter().map(|name| format!(" or {name}")).collect::<String>();
    let is_token = known.contains(&"credential");
    (!is_token).then(|| format!("it belongs in {first}{others}"))
}

/// The name of the top level in [`keys_by_table`]; sorts before all tables.
const TOP: &str = "";

fn keys_by_table() -> BTreeMap<&'static str, Vec<String>> {
    let schema = schemars::schema_for!(RawConfig);
    let keys = |pointer: &str| {
        let properties = schema.pointer(pointer).and_then(|found| found.as_object());
        properties.into_iter().flatten().map(|(key, _)| key.clone()).collect()
    };
    BTreeMap::from([
        (TOP, keys("/properties")),
        ("a [[route]]", keys("/$defs/Route/properties")),
        ("[admin]", keys("/$defs/Admin/properties")),
        ("[limits]", keys("/$defs/Limits/properties")),
        ("[tls]", keys("/$defs/Tls/properties")),
        ("[trust]", keys("/$defs/Trust/properties")),
        ("[upstream_tls]", keys("/$defs/UpstreamTls/properties")),
    ])
}

fn similar<'k>(key: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let rated = known.map(|name| (strsim::jaro(key, name), name));
    let near = rated.filter(|(similarity, _)| *similarity > MIN_SIMILARITY);
    near.max_by(|(one, _), (other, _)| one.total_cmp(other)).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_says_what_is_meant_before_it_lists_all() {
        let known = "expected one of `listen`, `public_url`, `auth_tokens`";
        for (key, says) in [
            ("listn", "unknown key `listn`: did you mean `listen`?; the keys here are listen, "),
            ("auth_token", "unknown key `auth_token`: did you mean `auth_tokens`?"),
            ("path", "unknown key `path`: it belongs in a [[route]];"),
            ("cert", "unknown key `cert`: it belongs in [tls] or [upstream_tls];"),
            ("max_connections", "unknown key `max_connections`: it belongs in [limits];"),
            ("accounts_file", "unknown key `accounts_file`: it belongs at the top of the file"),
            ("zzz", "unknown key `zzz`; the keys here are listen, public_url, auth_tokens"),
        ] {
            let message = describe(&format!("unknown field `{key}`, {known}")).unwrap();
            assert!(message.starts_with(says), "{message}");
        }
        assert_eq!(describe("invalid type: integer `1`"), None);
    }
}
