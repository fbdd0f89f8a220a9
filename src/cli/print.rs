//! What the commands print.

use std::{
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

use clap_complete::Shell;

use super::CliError;

/// A line on standard output.
pub(super) fn line(text: &str) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{text}")
}

/// A text on standard error; where even that fails there is nobody left to tell.
pub(super) fn error(text: &str) {
    let _unheard = writeln!(io::stderr().lock(), "{}", text.trim_end());
}

pub(super) fn schema(schema: &schemars::Schema) -> Result<ExitCode, CliError> {
    line(&serde_json::to_string_pretty(schema).map_err(io::Error::other)?)?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn completions(command: &mut clap::Command, shell: Shell) -> Result<ExitCode, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(shell, command, "gatekeeper", &mut script);
    io::stdout().lock().write_all(&script)?;
    Ok(ExitCode::SUCCESS)
}

/// One man page for the program and one for each of its commands.
pub(super) fn man(command: clap::Command, folder: &Path) -> Result<ExitCode, CliError> {
    clap_mangen::generate_to(command, folder)?;
    Ok(ExitCode::SUCCESS)
}

/// A table with its columns in line, the first row its head.
pub(super) fn table(rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = Vec::new();
    for row in rows {
        widths.resize(widths.len().max(row.len()), 0);
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let lines = rows.iter().map(|row| {
        let cells = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}
