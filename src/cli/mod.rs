//! The commands. Only this module uses clap; only it and `config/secret` read the environment.

mod admin;
mod args;
mod check;
mod connect;
mod demo;
mod doctor;
mod error;
mod explain;
mod health;
mod help;
mod http;
mod log;
mod print;
mod run;
mod send;
mod sign;
mod signals;
mod signing_key;
mod webhook;

use std::{path::PathBuf, process::ExitCode};

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use crate::config::RawConfig;
use args::RunArgs;
use error::{CliError, FAILURE, USAGE};

/// Lets a webhook through only when Twilio signed exactly this URL and exactly this body.
#[derive(Debug, Parser)]
#[command(name = "gatekeeper", version = env!("GATEKEEPER_VERSION"), max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Verify requests and forward them to an app
    #[command(after_help = help::RUN)]
    Run(run::Arguments),
    /// Run the gate in front of a sample weather hotline and show what it accepts and refuses
    #[command(after_help = help::DEMO)]
    Demo(demo::DemoArgs),
    /// Validate the configuration; print the routes, or every fault
    #[command(after_help = help::CHECK)]
    Check(RunArgs),
    /// Print the X-Twilio-Signature of a request
    #[command(after_help = help::SIGN)]
    Sign(sign::SignArgs),
    /// Sign a request and send it
    #[command(after_help = help::SEND)]
    Send(send::SendArgs),
    /// Say why a request is refused: the mistake and its cure
    #[command(after_help = help::EXPLAIN)]
    Explain(explain::ExplainArgs),
    /// Say, before going live, whether Twilio's requests would arrive and pass
    #[command(after_help = help::DOCTOR)]
    Doctor(doctor::DoctorArgs),
    /// Ask the admin listener whether the gate is ready; exit with 0 or 1
    #[command(after_help = help::HEALTH)]
    Health(health::HealthArgs),
    /// Print the JSON Schema of the configuration
    #[command(after_help = help::SCHEMA)]
    Schema,
    /// Print shell completions
    #[command(after_help = help::COMPLETIONS)]
    Completions {
        /// bash, elvish, fish, powershell or zsh
        shell: Shell,
    },
    /// Write the man pages into a folder
    #[command(hide = true, after_help = help::MAN)]
    Man {
        /// An existing folder
        folder: PathBuf,
    },
}

/// Parses the arguments and runs the command. Returns its exit code.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { USAGE } else { 0 };
            return error.print().map_or(ExitCode::from(FAILURE), |()| ExitCode::from(code));
        }
    };
    execute(&cli.command).unwrap_or_else(|error| error.report())
}

fn execute(command: &Command) -> Result<ExitCode, CliError> {
    match command {
        Command::Run(args) => run::run(args),
        Command::Demo(args) => demo::demo(args),
        Command::Check(args) => check::check(&args.sources()),
        Command::Sign(args) => sign::sign(args),
        Command::Send(args) => send::send(args),
        Command::Explain(args) => explain::explain(args),
        Command::Doctor(args) => doctor::doctor(args),
        Command::Health(args) => health::health(args),
        Command::Schema => Ok(print::schema(&schemars::schema_for!(RawConfig))?),
        Command::Completions { shell } => Ok(print::completions(&mut Cli::command(), *shell)?),
        Command::Man { folder } => Ok(print::man(Cli::command(), folder)?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_of_every_help_text_is_valid() {
        for command in Cli::command().get_subcommands() {
            let name = command.get_name();
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let start = format!("  gatekeeper {name}");
            let examples: Vec<&str> =
                help.lines().filter(|line| line.starts_with(&start)).collect();
            assert_eq!(examples.len(), 2, "{name}: {help}");
            for example in examples {
                let words = example.split(['|', '>']).next().unwrap().split_whitespace();
                assert!(Cli::try_parse_from(words).is_ok(), "{example}");
            }
        }
    }
}
