//! Follows the public URL from the internet's side, and sees whether it leads to this very gate.

use std::{io, net::SocketAddr, path::Path, time::Duration};

use super::{
    arrival::{self, PUBLIC_URL, Seen},
    certificate::Server,
    finding::Finding,
    resolve::{Addresses, Override, is_private, look_up},
};
use crate::cli::{
    admin,
    connect::{ReadWrite, connect_to_any},
    error::describe,
    http,
};
use crate::config::Config;
use crate::downstream::NONCE_PATH;
use crate::net::Listen;
use crate::signature::{Origin, Scheme};

const GATE: &str = "gate";
/// Timeout of a connection; Twilio's own is shorter for some products.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const ADMIN_CURE: &str =
    "add to the configuration and restart the gate:\n[admin]\nlisten = \"127.0.0.1:9090\"";

/// The way from outside.
pub(super) struct Front<'a> {
    pub(super) config: &'a Config,
    pub(super) cacert: Option<&'a Path>,
    pub(super) overrides: &'a [Override],
}

impl Front<'_> {
    /// Checks that the gate runs, and every public URL of the configuration.
    pub(super) fn findings(&self) -> Vec<Finding> {
        let gate = self.gate();
        let admin = self.config.admin.as_ref().filter(|_| !gate.is_fail());
        let mut findings = vec![gate];
        let mut origins: Vec<&Origin> = Vec::new();
        for origin in self.config.table.routes().iter().flat_map(|route| &route.origins) {
            if !origins.iter().any(|known| known.to_string() == origin.to_string()) {
                origins.push(origin);
            }
        }
        if origins.is_empty() {
            let says = "not checked: [trust] takes it from the proxy in front";
            let cure = "name that of today: --public-url https://NAME";
            findings.push(Finding::warn(PUBLIC_URL, says, cure));
        }
        findings.extend(origins.into_iter().flat_map(|origin| self.follow(origin, admin)));
        findings
    }

    fn gate(&self) -> Finding {
        let Some(admin) = &self.config.admin else {
            let says = "no admin listener: whether public_url leads to this gate cannot be proven";
            return Finding::warn(GATE, says, ADMIN_CURE);
        };
        match admin::ask(admin, "GET", "/readyz").map(|answer| answer.status()) {
            Ok(200) => Finding::ok(GATE, format!("runs, its admin listener is {admin}")),
            Ok(503) => Finding::fail(GATE, format!("{admin}: the gate is stopping"), "start it"),
            Ok(status) => {
                let says = format!("{admin} is not an admin listener: it answers {status}");
                Finding::fail(GATE, says, "correct listen of [admin], or stop the other program")
            }
            Err(error) => {
                let says = format!("the admin listener {admin}: {}", describe(&error, ""));
                Finding::fail(GATE, says, "start the gate: gatekeeper run")
            }
        }
    }

    fn follow(&self, origin: &Origin, admin: Option<&Listen>) -> Vec<Finding> {
        let (mut findings, stream) = self.open(origin);
        if let Some(stream) = stream {
            match call(origin, admin, stream) {
                Ok(seen) => findings.extend(arrival::judge(self.config, origin, &seen)),
                Err(error) => {
                    let says = format!("the admin listener: {}", describe(&error, ""));
                    let cure = "start the gate anew with this version, and try again in a minute";
                    findings.push(Finding::fail(GATE, says, cure));
                }
            }
        }
        findings
    }

    /// Connects as Twilio would; `None` where that fails.
    fn open(&self, origin: &Origin) -> (Vec<Finding>, Option<Box<dyn ReadWrite>>) {
        let host = origin.host();
        let port = origin.port().unwrap_or(origin.scheme().default_port());
        let found = match look_up(host, port, self.overrides) {
            Ok(found) => found,
            Err(error) => {
                let says = format!("{origin}: {host} has no address: {}", describe(&error, ""));
                let cure = "correct the host, here and at Twilio, or add its DNS record";
                return (vec![Finding::fail(PUBLIC_URL, says, cure)], None);
            }
        };
        let mut findings: Vec<Finding> =
            unreachable_from_outside(host, &found).into_iter().collect();
        let (more, stream) = match connect_to_any(&found.all, CONNECT_TIMEOUT) {
            Ok(socket) if origin.scheme() == Scheme::Https => {
                Server { host, port, cacert: self.cacert }.shake(socket)
            }
            Ok(socket) => {
                let stream: Box<dyn ReadWrite> = Box::new(socket);
                (Vec::new(), Some(stream))
            }
            Err(error) => {
                let says = format!("{origin}: {host}:{port}: {}", describe(&error, ""));
                let cure = "start the proxy or tunnel in front, open this port, or correct the port in \
                            public_url, here and at Twilio";
                (vec![Finding::fail(PUBLIC_URL, says, cure)], None)
            }
        };
        findings.extend(more);
        (findings, stream)
    }
}

fn unreachable_from_outside(host: &str, found: &Addresses) -> Option<Finding> {
    let is_public = |address: &SocketAddr| !is_private(address.ip());
    if found.is_overridden || found.all.iter().any(is_public) {
        return None;
    }
    let ips: Vec<_> = found.all.iter().map(|address| address.ip().to_string()).collect();
    let says = format!("{host} is {} here, which Twilio cannot reach", ips.join(", "));
    let cure = "write the public name, or that of a tunnel; for a test this may be meant";
    Some(Finding::warn(PUBLIC_URL, says, cure))
}

/// Calls the public URL with a nonce of the gate, and asks the gate what arrived.
///
/// # Errors
/// When the admin listener hands out no nonce.
fn call(origin: &Origin, admin: Option<&Listen>, stream: Box<dyn ReadWrite>) -> io::Result<Seen> {
    let nonce = admin.map(issue).transpose()?;
    let last = nonce.as_deref().unwrap_or("00000000000000000000000000000000");
    let target = format!("{}{NONCE_PATH}{last}", origin.prefix());
    let answer = http::exchange(&http::request("GET", &target, &origin.authority()), stream);
    let arrival = match (admin, &nonce) {
        (Some(admin), Some(nonce)) => {
            let known = admin::ask(admin, "DELETE", &format!("/doctor/nonce/{nonce}"))?;
            serde_json::from_slice(&known.body).map_err(io::Error::other)?
        }
        _ => None,
    };
    Ok(Seen { answer, arrival, is_proof: nonce.is_some() })
}

fn issue(admin: &Listen) -> io::Result<String> {
    let answer = admin::ask(admin, "POST", "/doctor/nonce")?;
    if answer.status() != 201 {
        return Err(io::Error::other(format!("no nonce, but {}", answer.status())));
    }
    String::from_utf8(answer.body.trim_ascii().to_vec()).map_err(io::Error::other)
}
