//! `gatekeeper explain`: says why a request is refused, and what to change.

mod judge;
mod report;
mod request;

use std::{
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;

use super::{args::FileArgs, error::CliError};
use crate::config::{self, Config, Secret, Sources, TOKEN_VARIABLE};
use crate::explain::{Case, Explanation, Label};
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
    let told = args.told.as_deref().or(received.url.as_deref());
    let peer = assumed_peer(&config);
    let (judgement, explanation) = judge_and_explain(&received, told, &given, peer, &config)?;
    report::print(&judgement, explanation.as_ref(), &config.lines, args.json)?;
    let answered = explanation.is_none_or(|explanation| !explanation.mistakes.is_empty());
    Ok(if answered { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A request that `send` sent, or that `doctor` made up.
pub(super) struct Sent<'a> {
    /// The whole request as it arrives.
    pub(super) bytes: &'a [u8],
    /// The URL that it is signed for.
    pub(super) url: &'a str,
    /// The token that signed it, where it may not be a configured one.
    pub(super) token: Option<&'a Secret>,
    /// The address that it arrives from; by default this machine.
    pub(super) peer: Option<IpAddr>,
}

/// A refusal with the likeliest mistake, each in a sentence.
pub(super) struct Cause {
    pub(super) reason: &'static str,
    pub(super) says: String,
    pub(super) cure: String,
}

impl Sent<'_> {
    /// Returns the cause of a refusal; `None` where this configuration would admit the request.
    pub(super) fn cause(&self, config: &Config) -> Result<Option<Cause>, CliError> {
        let (judgement, explanation) = self.judge(config)?;
        let Some(found) = explanation else { return Ok(None) };
        let first = found.mistakes.into_iter().next();
        let (says, cure) = first.map(|first| (first.says, first.cure)).unwrap_or_default();
        Ok(Some(Cause { reason: judgement.reason().unwrap_or_default(), says, cure }))
    }

    /// Returns the explanation of a refusal in a few lines; `None` where this configuration would
    /// admit the request.
    pub(super) fn explain(&self, config: &Config) -> Result<Option<String>, CliError> {
        let (judgement, explanation) = self.judge(config)?;
        let Some(found) = &explanation else { return Ok(None) };
        let mut text = report::text(&judgement, explanation.as_ref(), &config.lines);
        if found.mistakes.iter().any(|mistake| mistake.label == Label::WrongToken && mistake.proven)
        {
            text.push_str("\n\nTWILIO_AUTH_TOKEN signed it; the configuration has another token.");
        }
        Ok(Some(text))
    }

    fn judge(&self, config: &Config) -> Result<(Judgement, Option<Explanation>), CliError> {
        let received = Received::parse(self.bytes)?;
        let given = self.token.and_then(|token| probe(TOKEN_VARIABLE, token));
        let peer = self.peer.or_else(|| assumed_peer(config));
        judge_and_explain(&received, Some(self.url), given.as_slice(), peer, config)
    }
}

/// Loads a configuration to explain with: a token that cannot be one is to be named, not a fault.
pub(super) fn load_file(file: &Path) -> Result<Config, CliError> {
    let file = Some(file.to_owned());
    Ok(config::load(&Sources { file, keeps_odd_tokens: true, ..Sources::default() })?)
}

fn judge_and_explain(
    received: &Received,
    told: Option<&str>,
    given: &[ProbeKey],
    peer: Option<IpAddr>,
    config: &Config,
) -> Result<(Judgement, Option<Explanation>), CliError> {
    let judgement = judge::judge(received, peer, config)?;
    let explanation = match &judgement {
        Judgement::Admitted(_) => None,
        Judgement::Observed(_) | Judgement::Refused(_) | Judgement::Malformed(_) => {
            Some(crate::explain::explain(Case {
                head: &received.head,
                body: &received.body,
                peer,
                table: &config.table,
                keys: &config.probes,
                given,
                told,
                listen_ports: &config.listen_ports(),
            }))
        }
    };
    Ok((judgement, explanation))
}

fn load(args: &ExplainArgs) -> Result<Config, CliError> {
    let unnamed = CliError::Usage("name the configuration with -c: a refusal depends on it");
    load_file(&args.file.path().ok_or(unnamed)?)
}

/// Keys of `--token-env`; arguments show in the process list, variables do not.
fn given_keys(names: &[String]) -> Result<Vec<ProbeKey>, CliError> {
    let unset = CliError::Usage("a variable of --token-env is not set, or empty");
    let key = |name: &String| probe(name, &Secret::from_env(name).ok()?);
    names.iter().map(key).collect::<Option<_>>().ok_or(unset)
}

fn probe(variable: &str, secret: &Secret) -> Option<ProbeKey> {
    let key = Key::new(&format!("env:{variable}"), secret.bytes(), Algorithm::HmacSha1).ok()?;
    ProbeKey::new(&key, secret.bytes(), Algorithm::HmacSha1).ok()
}

/// A file does not say who sent it: where `[trust]` matters, a trusted proxy.
fn assumed_peer(config: &Config) -> Option<IpAddr> {
    let local = IpAddr::from(Ipv4Addr::LOCALHOST);
    let Some(trust) = config.table.trust() else { return Some(local) };
    if trust.trusts(Some(local)) { Some(local) } else { trust.first_proxy() }
}
