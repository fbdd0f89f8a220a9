//! The configuration, as `check` reads it, and the shape of its tokens.

use super::finding::Finding;
use crate::config::{self, Config, Sources, WarningKind};

const CONFIGURATION: &str = "configuration";
const TOKENS: &str = "tokens";

/// Loads the configuration; `None` where it is faulty.
pub(super) fn load(sources: &Sources) -> (Option<Config>, Vec<Finding>) {
    match config::load(sources) {
        Ok(config) => {
            let findings = [settings(&config), tokens(&config)].concat();
            (Some(config), findings)
        }
        Err(faults) => {
            let faults = faults.entries().into_iter();
            let findings = faults.map(|(says, cure)| Finding::fail(CONFIGURATION, says, cure));
            (None, findings.collect())
        }
    }
}

fn settings(config: &Config) -> Vec<Finding> {
    let routes = config.table.routes().len();
    let plural = if routes == 1 { "" } else { "s" };
    let read = format!("{}: {routes} route{plural}", config.lines.file);
    let risky = config
        .warnings
        .iter()
        .filter(|warning| !matches!(warning.kind, WarningKind::UnusualToken(_)));
    let cure = "change it, unless it is meant; docs/configuration.md describes the key";
    let risky = risky.map(|warning| Finding::warn(CONFIGURATION, warning.to_string(), cure));
    [Finding::ok(CONFIGURATION, read)].into_iter().chain(risky).collect()
}

fn tokens(config: &Config) -> Vec<Finding> {
    let odd = config.warnings.iter().filter_map(|warning| match warning.kind {
        WarningKind::UnusualToken(shape) => {
            let says = format!("{}: hardly an auth token: {}", warning.location, shape.says());
            Some(Finding::warn(TOKENS, says, shape.cure()))
        }
        _ => None,
    });
    let odd: Vec<Finding> = odd.collect();
    if !odd.is_empty() {
        return odd;
    }
    vec![match config.probes.len() {
        0 => Finding::ok(TOKENS, "none: every route is public"),
        1 => Finding::ok(TOKENS, "one, in the shape of an auth token"),
        count => Finding::ok(TOKENS, format!("{count}, each in the shape of an auth token")),
    }]
}
