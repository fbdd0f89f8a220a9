//! Explains the refusal of a request that was sent, if the gate's configuration can be read.

use super::{Exchanged, SendArgs};
use crate::cli::{
    error::CliError,
    explain::{self, Sent},
    print,
};
use crate::config::{Config, Secret};

/// The statuses of refusals that say something about the request, unless others are configured.
const REFUSALS: [u16; 3] = [400, 403, 418];

/// Prints to standard error why the gate refused, as `gatekeeper explain` would.
pub(super) fn explain(
    args: &SendArgs,
    exchanged: &Exchanged,
    token: Option<&Secret>,
) -> Result<(), CliError> {
    let Some(file) = args.file.path() else {
        if REFUSALS.contains(&exchanged.status) {
            print::error("\nTo see why a gate refused it, name its configuration with -c.");
        }
        return Ok(());
    };
    let config = explain::load_file(&file)?;
    if !is_refusal(exchanged.status, &config) {
        return Ok(());
    }
    let (bytes, url) = (&exchanged.request[..], args.url.as_str());
    let explanation = Sent { bytes, url, token, peer: None }.explain(&config)?;
    print::error(&explanation.map_or_else(
        || {
            format!(
                "\nA gate with {} would let it pass: the answer is the app's, that of something in \
                 between, or of a gate with another configuration.",
                file.display()
            )
        },
        |text| format!("\n{text}"),
    ));
    Ok(())
}

fn is_refusal(status: u16, config: &Config) -> bool {
    let routes = config.table.routes().iter().map(|route| route.statuses);
    let mut statuses = routes.chain([config.table.statuses()]);
    REFUSALS.contains(&status)
        || statuses.any(|own| own.missing == status || own.mismatch == status)
}
