//! Prints the output of the commands.

use std::{
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

use clap_complete::Shell;

/// Prints a line on standard output.
pub(super) fn line(text: &str) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{text}")
}

/// Prints text on standard error. A failure is ignored: there is nowhere else to report it.
pub(super) fn error(text: &str) {
    let _failed = writeln!(io::stderr().lock(), "{}", text.trim_end());
}

/// Prints the JSON Schema of the configuration.
pub(super) fn schema(schema: &schemars::Schema) -> io::Result<ExitCode> {
    line(&serde_json::to_string_pretty(schema).map_err(io::Error::other)?)?;
    Ok(ExitCode::SUCCESS)
}

/// Prints a completion script.
pub(super) fn completions(command: &mut clap::Command, shell: Shell) -> io::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(shell, command, "gatekeeper", &mut script);
    io::stdout().lock().write_all(&script)?;
    Ok(ExitCode::SUCCESS)
}

/// Writes a man page for the program and one for each command.
pub(super) fn man(command: clap::Command, folder: &Path) -> io::Result<ExitCode> {
    clap_mangen::generate_to(command, folder)?;
    Ok(ExitCode::SUCCESS)
}

/// Formats rows as a table with aligned columns; the first row is the header.
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
