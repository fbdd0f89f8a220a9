//! `gatekeeper explain`: says why a request is refused, and what to change.

mod judge;
mod report;
mod request;

use std::{net::IpAddr, net::Ipv4Addr, path::PathBuf, process::ExitCode};

use clap::Args;

use super::{args::FileArgs, error::CliError};
use crate::config::{self, Config, Secret, Sources};
use crate::explain::Case;
use crate::net::Listen;
use crate::signature::{Algorithm, Key, ProbeKey};
use judge::Judgement;
use request::Received;

#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    #[command(flatten)]
    file: FileArgs,
    /// The URL that was called, in place of --request
    #[arg(required_unless_present = "request", conflicts_with = "request")]
    url: Option<String>,
    /// A file with the request as it came over the wire, head and body; - for standard input
    #[arg(long, value_name = "FILE")]
    request: Option<PathBuf>,
    /// The X-Twilio-Signature of the request
    #[arg(long, value_name = "S", conflicts_with = "request")]
    signature: Option<String>,
    /// The method [default: POST with -d or --body, else GET]
    #[arg(short = 'X', long = "method", value_name = "METHOD", conflicts_with = "request")]
    method: Option<String>,
    /// A header field; may be repeated
    #[arg(short = 'H', long = "header", value_name = "K: V", conflicts_with = "request")]
    headers: Vec<String>,
    /// A form parameter; may be repeated
    #[arg(short = 'd', long = "data", value_name = "K=V", conflicts_with = "request")]
    data: Vec<String>,
    /// A file with the body
    #[arg(long, value_name = "FILE", conflicts_with_all = ["request", "data"])]
    body: Option<PathBuf>,
    /// The URL that Twilio has on file, if you know it
    #[arg(long, value_name = "URL")]
    told: Option<String>,
    /// An environment variable with a token to try beside the configured ones; may be repeated
    #[arg(long, value_name = "NAME")]
    token_env: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn explain(args: &ExplainArgs) -> Result<ExitCode, CliError> {
    let config = load(args)?;
    let given = given_keys(&args.token_env)?;
    let received = Received::read(args, &config)?;
    let peer = assumed_peer(&config);
    let judgement = judge::judge(&received, peer, &config)?;
    let explanation = match &judgement {
        Judgement::Admitted(_) => None,
        Judgement::Observed(_) | Judgement::Refused(_) | Judgement::Malformed(_) => {
            Some(crate::explain::explain(Case {
                head: &received.head,
                body: &received.body,
                peer,
                table: &config.table,
                keys: &config.probes,
                given: &given,
                told: args.told.as_deref().or(received.url.as_deref()),
                listen_ports: &listen_ports(&config),
            }))
        }
    };
    report::print(&judgement, explanation.as_ref(), &config.lines, args.json)?;
    let answered = explanation.is_none_or(|explanation| !explanation.mistakes.is_empty());
    Ok(if answered { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn load(args: &ExplainArgs) -> Result<Config, CliError> {
    let file = args.file.path();
    if file.is_none() {
        return Err(CliError::Usage("name the configuration with -c: a refusal depends on it"));
    }
    Ok(config::load(&Sources { file, ..Sources::default() })?)
}

/// Keys of `--token-env`; arguments show in the process list, variables do not.
fn given_keys(names: &[String]) -> Result<Vec<ProbeKey>, CliError> {
    let unset = CliError::Usage("a variable of --token-env is not set, or empty");
    let key = |name: &String| {
        let secret = Secret::from_env(name).ok()?;
        let key = Key::new(&format!("env:{name}"), secret.bytes(), Algorithm::HmacSha1).ok()?;
        ProbeKey::new(&key, secret.bytes(), Algorithm::HmacSha1).ok()
    };
    names.iter().map(key).collect::<Option<_>>().ok_or(unset)
}

/// A file does not say who sent it: where `[trust]` matters, a trusted proxy.
fn assumed_peer(config: &Config) -> Option<IpAddr> {
    let local = IpAddr::from(Ipv4Addr::LOCALHOST);
    let Some(trust) = config.table.trust() else { return Some(local) };
    if trust.trusts(Some(local)) { Some(local) } else { trust.first_proxy() }
}

fn listen_ports(config: &Config) -> Vec<u16> {
    let port = |listen: &Listen| match listen {
        Listen::Tcp(address) => Some(address.port()),
        Listen::Unix(_) | Listen::Systemd => None,
    };
    config.listen.iter().filter_map(port).filter(|port| *port > 0).collect()
}
