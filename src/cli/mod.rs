//! The commands. Sole user of clap; with `config/secret`, sole reader of the environment.

mod check;
mod connect;
mod demo;
mod health;
mod print;
mod run;
mod send;
mod sign;
mod webhook;

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use crate::config::{RawConfig, Sources};

/// Run-time failure.
const FAILURE: u8 = 1;
/// Wrong usage (sysexits.h `EX_USAGE`).
const USAGE: u8 = 64;
/// Wrong configuration (sysexits.h `EX_CONFIG`).
const CONFIG: u8 = 78;

/// Lets a webhook through only when Twilio signed exactly this URL and exactly this body.
#[derive(Debug, Parser)]
#[command(name = "gatekeeper", version = env!("GATEKEEPER_VERSION"), max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Stand in front of an app: the main job
    Run(RunArgs),
    /// Show the real gatekeeper at work in front of a weather hotline
    Demo(demo::DemoArgs),
    /// Read the configuration as `run` would; print the routes, or every fault
    Check(RunArgs),
    /// Print the X-Twilio-Signature of a request
    Sign(sign::SignArgs),
    /// Sign a request and really send it
    Send(send::SendArgs),
    /// Ask the admin listener whether the gate is ready: exit 0 or 1
    Health(health::HealthArgs),
    /// Print the JSON Schema of the configuration
    Schema,
    /// Print completions for a shell
    Completions {
        /// bash, elvish, fish, powershell or zsh
        shell: Shell,
    },
    /// Write the man pages into a folder
    #[command(hide = true)]
    Man {
        /// The folder, which must be there
        folder: PathBuf,
    },
}

/// Where the configuration is.
#[derive(Debug, Args)]
struct FileArgs {
    /// The configuration file [default: gatekeeper.toml, if it is there]
    #[arg(short, long, value_name = "FILE", env = "GATEKEEPER_CONFIG")]
    config: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct RunArgs {
    #[command(flatten)]
    file: FileArgs,
    /// Where to listen, as 0.0.0.0:8080
    #[arg(long, value_name = "ADDR", env = "GATEKEEPER_LISTEN")]
    listen: Option<String>,
    /// What Twilio has on file, as https://hooks.example.com
    #[arg(long, value_name = "URL", env = "GATEKEEPER_PUBLIC_URL")]
    public_url: Option<String>,
    /// Where the app listens, as http://127.0.0.1:3030
    #[arg(long, value_name = "URL", env = "GATEKEEPER_UPSTREAM")]
    upstream: Option<String>,
}

impl FileArgs {
    /// The named file, or the one that lies here.
    fn path(&self) -> Option<PathBuf> {
        let here = PathBuf::from("gatekeeper.toml");
        self.config.clone().or_else(|| here.exists().then_some(here))
    }
}

impl RunArgs {
    fn sources(&self) -> Sources {
        Sources {
            file: self.file.path(),
            listen: self.listen.clone(),
            public_url: self.public_url.clone(),
            upstream: self.upstream.clone(),
        }
    }
}

/// Reads the arguments and does as they say.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { USAGE } else { 0 };
            return error.print().map_or(ExitCode::from(FAILURE), |()| ExitCode::from(code));
        }
    };
    let done = match &cli.command {
        Command::Run(args) => run::run(&args.sources()),
        Command::Demo(args) => demo::demo(args),
        Command::Check(args) => check::check(&args.sources()),
        Command::Sign(args) => sign::sign(args),
        Command::Send(args) => send::send(args),
        Command::Health(args) => health::health(args),
        Command::Schema => print::schema(&schemars::schema_for!(RawConfig)),
        Command::Completions { shell } => print::completions(&mut Cli::command(), *shell),
        Command::Man { folder } => print::man(Cli::command(), folder),
    };
    done.unwrap_or_else(|failed| failed.tell())
}

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
enum CliError {
    /// Something went wrong at run time.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The configuration is faulty.
    #[error("{0}")]
    Config(#[from] crate::config::Faults),
    /// The arguments contradict each other or name nothing.
    #[error("{0}")]
    Usage(&'static str),
}

impl CliError {
    fn tell(&self) -> ExitCode {
        let (code, text) = match self {
            Self::Io(error) => (FAILURE, format!("gatekeeper: {error}")),
            Self::Config(faults) => (CONFIG, faults.to_string()),
            Self::Usage(what) => (USAGE, format!("gatekeeper: {what}")),
        };
        print::error(&text);
        ExitCode::from(code)
    }
}
