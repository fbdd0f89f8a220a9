//! Hypotheses about scheme, host and port.

use super::{facts::Facts, trust::first_element, url::Url};
use crate::http1::FieldName;
use crate::signature::split_port;

/// Ports that gates, tunnels and development servers use.
const COMMON_PORTS: [u16; 12] =
    [443, 80, 8443, 8080, 8000, 3000, 5000, 8888, 9443, 4443, 10443, 8081];
const SCHEMES: [&str; 4] = ["https", "http", "wss", "ws"];
/// Most hosts that are tried.
const MAX_HOSTS: usize = 24;

/// Every URL with another scheme, host or port, the likeliest first.
pub(super) fn all(facts: &Facts<'_>, url: &Url) -> Vec<Url> {
    let hosts = hosts(facts, url);
    let schemes = schemes(url);
    let mut urls = likely(facts, url);
    for port in COMMON_PORTS.into_iter().chain(facts.case.listen_ports.iter().copied()) {
        urls.push(Url { port: Some(port), ..url.clone() });
        for host in &hosts {
            urls.push(Url { port: Some(port), ..host.clone() });
        }
        urls.extend(schemes.iter().map(|scheme| Url { port: Some(port), ..scheme.clone() }));
    }
    distinct(urls, url)
}

/// The changes that are worth a combination with another one.
pub(super) fn likely(facts: &Facts<'_>, url: &Url) -> Vec<Url> {
    let schemes = schemes(url);
    let hosts = hosts(facts, url);
    let mut urls = vec![Url { port: None, ..url.clone() }];
    urls.extend(schemes.iter().cloned());
    urls.extend(ports(facts).into_iter().map(|port| Url { port: Some(port), ..url.clone() }));
    urls.extend(schemes.iter().map(|scheme| Url { port: None, ..scheme.clone() }));
    urls.extend(hosts.iter().cloned());
    for scheme in &schemes {
        let other = |host: &Url| Url { scheme: scheme.scheme.clone(), ..host.clone() };
        urls.extend(hosts.iter().map(other));
    }
    distinct(urls, url)
}

fn schemes(url: &Url) -> Vec<Url> {
    let others = SCHEMES.into_iter().filter(|scheme| *scheme != url.scheme);
    others.map(|scheme| Url { scheme: scheme.to_owned(), ..url.clone() }).collect()
}

/// The default port, and those that the request itself names.
fn ports(facts: &Facts<'_>) -> Vec<u16> {
    let default = if matches!(facts.expected.scheme.as_str(), "http" | "ws") { 80 } else { 443 };
    let mut ports = vec![default];
    ports.extend(split_port(facts.host).ok().and_then(|(_, port)| port));
    ports.extend(facts.stated.ports.iter().copied());
    ports
}

fn hosts(facts: &Facts<'_>, url: &Url) -> Vec<Url> {
    let mut texts: Vec<String> = vec![facts.host.to_owned(), facts.host.to_ascii_lowercase()];
    for value in facts.case.head.fields.all(FieldName::ForwardedHost) {
        texts.push(first_element(value).to_owned());
    }
    texts.extend(facts.stated.hosts.iter().cloned());
    let original = ["X-Original-Host", "X-Forwarded-Server", "X-Host", "Ngrok-Host"];
    texts.extend(original.iter().filter_map(|name| facts.field(name)).map(str::to_owned));
    let routes = facts.case.table.routes().iter();
    texts.extend(routes.flat_map(|route| &route.origins).map(crate::signature::Origin::authority));
    texts.truncate(MAX_HOSTS);
    let own = url.host.clone();
    let variants = |host: &str| {
        let bare = host.trim_end_matches('.');
        let without = bare.strip_prefix("www.").map(str::to_owned);
        [Some(bare.to_owned()), without, Some(format!("www.{bare}")), Some(format!("{bare}."))]
    };
    let mut urls = Vec::new();
    for text in texts.iter().chain([&own]) {
        let Ok((host, port)) = split_port(text) else { continue };
        urls.push(Url { host: host.to_owned(), port: None, ..url.clone() });
        if port.is_some() {
            urls.push(Url { host: host.to_owned(), port, ..url.clone() });
        }
        for host in variants(host).into_iter().flatten() {
            urls.push(Url { host, port: url.port, ..url.clone() });
        }
    }
    distinct(urls, url)
}

fn distinct(urls: Vec<Url>, known: &Url) -> Vec<Url> {
    let mut distinct: Vec<Url> = Vec::with_capacity(urls.len());
    for url in urls {
        let is_new = |other: &Url| {
            (&other.scheme, &other.host, other.port) != (&url.scheme, &url.host, url.port)
        };
        if is_new(known) && distinct.iter().all(is_new) {
            distinct.push(url);
        }
    }
    distinct
}
