//! `gatekeeper doctor`: says before going live whether Twilio's requests would arrive and pass.

mod arrival;
mod certificate;
mod configuration;
mod finding;
mod front;
mod rehearsal;
mod resolve;
mod upstream;

use std::{io, path::PathBuf, process::ExitCode};

use clap::Args;
use serde_json::Value;

use super::{args::RunArgs, error::CliError, print};
use finding::Finding;
use front::Front;
use resolve::Override;

#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    #[command(flatten)]
    run: RunArgs,
    /// Trust the CA certificates in this PEM file instead of the system's
    #[arg(long, value_name = "FILE")]
    cacert: Option<PathBuf>,
    /// Connect to ADDR in place of HOST:PORT, as in curl; may be repeated
    #[arg(long, value_name = "HOST:PORT:ADDR", value_parser = Override::parse)]
    resolve: Vec<Override>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The findings so far. Text is printed at once: some checks wait for the network.
struct Report {
    as_json: bool,
    findings: Vec<Finding>,
}

pub(super) fn doctor(args: &DoctorArgs) -> Result<ExitCode, CliError> {
    let sources = args.run.sources();
    if sources.file.is_none() && (sources.upstream.is_none() || sources.public_url.is_none()) {
        return Err(CliError::Usage(
            "nothing to examine: name a file with -c, or give --upstream and --public-url",
        ));
    }
    let mut report = Report { as_json: args.json, findings: Vec::new() };
    let (config, findings) = configuration::load(&sources);
    report.add(findings)?;
    if let Some(config) = &config {
        report.add(upstream::findings(config))?;
        let (cacert, overrides) = (args.cacert.as_deref(), &args.resolve[..]);
        report.add(Front { config, cacert, overrides }.findings())?;
    }
    report.end()
}

impl Report {
    fn add(&mut self, findings: Vec<Finding>) -> io::Result<()> {
        if !self.as_json {
            findings.iter().try_for_each(|finding| print::line(&finding.to_string()))?;
        }
        self.findings.extend(findings);
        Ok(())
    }

    fn end(self) -> Result<ExitCode, CliError> {
        if self.as_json {
            let all: Value = self.findings.iter().map(Finding::json).collect();
            print::line(&serde_json::to_string_pretty(&all).map_err(io::Error::other)?)?;
        }
        let failed = self.findings.iter().any(Finding::is_fail);
        Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}
