//! `gatekeeper check`: prints the routes as a table, or every fault.

use std::process::ExitCode;

use humantime::format_duration;

use super::{error::CliError, print};
use crate::config::{self, Config, Sources};
use crate::net::Listen;
use crate::routes::{Access, Route};

pub(super) fn check(sources: &Sources) -> Result<ExitCode, CliError> {
    if sources.file.is_none() && (sources.upstream.is_none() || sources.public_url.is_none()) {
        return Err(CliError::Usage(
            "nothing to check: name a file with -c, or give --upstream and --public-url",
        ));
    }
    print::line(&describe(&config::load(sources)?))?;
    Ok(ExitCode::SUCCESS)
}

/// Describes listeners, routes and warnings.
fn describe(config: &Config) -> String {
    let header = ["ROUTE", "METHODS", "ACCESS", "SIGNED AS", "UPSTREAM"].map(String::from).to_vec();
    let routes = config.table.routes().iter().map(|route| row(route));
    let rows: Vec<_> = std::iter::once(header).chain(routes).collect();
    let table = print::table(&rows);
    format!("{}\n{table}\n{}", describe_listeners(config), warnings(config))
}

/// Describes the listeners and the trusted proxies.
fn describe_listeners(config: &Config) -> String {
    let listen: Vec<_> =
        config.listen.iter().map(|listen| describe_listener(listen, config)).collect();
    let admin = config.admin.as_ref().map(|admin| format!("admin on {admin}\n"));
    let trust = config.table.trust().map(|trust| format!("trusting {trust}\n"));
    let [admin, trust] = [admin, trust].map(Option::unwrap_or_default);
    format!("listening on {}\n{admin}{trust}", listen.join(", "))
}

fn describe_listener(listen: &Listen, config: &Config) -> String {
    match (listen, &config.tls) {
        (_, None) => listen.to_string(),
        (Listen::Tcp(address), Some(_)) => format!("https://{address}"),
        (Listen::Unix(_) | Listen::Systemd, Some(_)) => format!("{listen} (TLS)"),
    }
}

fn row(route: &Route) -> Vec<String> {
    let access = match &route.access {
        Access::Twilio(keyring) => {
            let mut names: Vec<_> =
                keyring.keys().iter().map(|key| key.name().to_string()).collect();
            if keyring.accounts() > 0 {
                names.push(format!("{} accounts", keyring.accounts()));
            }
            format!("twilio ({})", names.join(", "))
        }
        Access::Body(scheme) => {
            let names: Vec<_> = scheme.keys().iter().map(|key| key.name.to_string()).collect();
            let age = scheme.max_age().map(|age| format!(", {} old at most", format_duration(age)));
            format!("{} ({}{})", scheme.name(), names.join(", "), age.unwrap_or_default())
        }
        Access::Public => "PUBLIC, unverified".to_owned(),
    };
    let enforced = if route.is_unenforced() { ", NOT ENFORCED" } else { "" };
    vec![
        route.path.to_string(),
        route.methods.join(","),
        access + enforced,
        if route.is_public() { "-".to_owned() } else { route.signed_as() },
        route.upstream.to_string(),
    ]
}

fn warnings(config: &Config) -> String {
    config.warnings.iter().map(|warning| format!("\nwarning: {warning}")).collect()
}
