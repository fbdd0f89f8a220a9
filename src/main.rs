//! The `gatekeeper` binary. Everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    gatekeeper::cli::main()
}
