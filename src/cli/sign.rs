//! `gatekeeper sign`: prints the signature of a request.

use std::{fs, path::PathBuf, process::ExitCode};

use clap::Args;

use super::{
    error::CliError,
    print,
    signing_key::{self, SigningKey},
    webhook::{Webhook, encode_form, key_from_token},
};
use crate::config::{Secret, TOKEN_VARIABLE};

#[derive(Debug, Args)]
pub(super) struct SignArgs {
    /// The URL as configured at Twilio, with its query
    #[arg(required_unless_present_any = ["new_sendgrid_key", "sendgrid_key"])]
    url: Option<String>,
    /// A form parameter; may be repeated. Without any, the request is a GET
    #[arg(short = 'd', long = "data", value_name = "K=V")]
    data: Vec<String>,
    /// A file with a URL-encoded form body
    #[arg(long, value_name = "FILE", conflicts_with_all = ["data", "body"])]
    form: Option<PathBuf>,
    /// A file with a body that is not a form; bodySHA256 is added to the URL
    #[arg(long, value_name = "FILE", conflicts_with = "data")]
    body: Option<PathBuf>,
    /// Print a curl command instead
    #[arg(long, conflicts_with = "sendgrid_key")]
    curl: bool,
    /// Make a key pair for tests: the private key goes into this new file, or with - to standard
    /// output; the line for the configuration is printed
    #[arg(long, value_name = "FILE", conflicts_with_all = ["url", "data", "form", "body", "curl"])]
    new_sendgrid_key: Option<PathBuf>,
    /// Sign --body as SendGrid does, with the private key in this file; prints both header fields
    #[arg(long, value_name = "FILE", requires = "body", conflicts_with_all = ["data", "form"])]
    sendgrid_key: Option<PathBuf>,
}

pub(super) fn sign(args: &SignArgs) -> Result<ExitCode, CliError> {
    if let Some(file) = &args.new_sendgrid_key {
        signing_key::write_new(file)?;
        return Ok(ExitCode::SUCCESS);
    }
    if let (Some(key), Some(body)) = (&args.sendgrid_key, &args.body) {
        let key = SigningKey::load(Some(key))?;
        for (name, value) in key.fields(&signing_key::now(), &fs::read(body)?)? {
            print::line(&format!("{name}: {value}"))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let webhook = webhook(args, args.url.as_deref().unwrap_or_default())?;
    let signature = webhook.signature(&key_from_token(&token_from_env()?)?);
    if args.curl {
        print::line(&webhook.to_curl(&signature, None))?;
    } else {
        if args.body.is_some() {
            print::error(&format!("send it to {}", webhook.url));
        }
        print::line(&signature)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn webhook(args: &SignArgs, url: &str) -> Result<Webhook, CliError> {
    Ok(match (&args.form, &args.body) {
        (Some(file), _) => Webhook::form(url, fs::read(file)?),
        (None, Some(file)) => Webhook::hashed(url, fs::read(file)?),
        (None, None) => from_data(url, &args.data)?,
    })
}

/// Builds a form POST from `K=V` arguments, or a GET without any.
pub(super) fn from_data(url: &str, data: &[String]) -> Result<Webhook, CliError> {
    let pairs = pairs(data)?;
    Ok(if pairs.is_empty() { Webhook::get(url) } else { Webhook::form(url, encode_form(pairs)) })
}

/// Splits `K=V` arguments.
pub(super) fn pairs(data: &[String]) -> Result<Vec<(&str, &str)>, CliError> {
    let pairs: Option<Vec<_>> = data.iter().map(|pair| pair.split_once('=')).collect();
    pairs.ok_or(CliError::Usage("-d takes NAME=VALUE"))
}

/// Reads the token from the environment. There is no flag for it: arguments show in the process list.
pub(super) fn token_from_env() -> Result<Secret, CliError> {
    match Secret::from_env(TOKEN_VARIABLE) {
        Ok(secret) if secret.bytes().is_empty() => Err(CliError::Usage(
            "TWILIO_AUTH_TOKEN is empty: set it to the auth token to sign with",
        )),
        Ok(secret) => Ok(secret),
        Err(_) => Err(CliError::Usage(
            "TWILIO_AUTH_TOKEN is not set: set it to the auth token to sign with",
        )),
    }
}
