//! Prints an explanation, for people and as JSON.

use std::io;

use serde_json::{Value, json};

use super::judge::Judgement;
use crate::cli::print;
use crate::config::Lines;
use crate::explain::{Explanation, Mistake};
use crate::telemetry::cure_line;

pub(super) fn print(
    judgement: &Judgement,
    explanation: Option<&Explanation>,
    lines: &Lines,
    as_json: bool,
) -> io::Result<()> {
    if as_json {
        let value = json(judgement, explanation, lines);
        return print::line(&serde_json::to_string_pretty(&value).map_err(io::Error::other)?);
    }
    print::line(&text(judgement, explanation, lines))
}

fn json(judgement: &Judgement, explanation: Option<&Explanation>, lines: &Lines) -> Value {
    let mistake = |mistake: &Mistake, route| {
        let line = cure_line(mistake, route, lines);
        json!({
            "mistake": mistake.label.name(),
            "proven": mistake.proven,
            "says": mistake.says,
            "cure": mistake.cure,
            "where": line.map(|line| json!({ "file": lines.file, "line": line })),
            "signed": mistake.signed,
        })
    };
    let mistakes: Vec<Value> = explanation
        .map(|found| found.mistakes.iter().map(|m| mistake(m, found.route)).collect())
        .unwrap_or_default();
    json!({
        "verdict": judgement.verdict(),
        "reason": judgement.reason(),
        "mistakes": mistakes,
        "macs": explanation.map_or(0, |found| found.macs),
    })
}

/// Formats it for people.
pub(super) fn text(
    judgement: &Judgement,
    explanation: Option<&Explanation>,
    lines: &Lines,
) -> String {
    let Some(found) = explanation else {
        return match judgement {
            Judgement::Admitted(Some(key)) => {
                format!("It would pass: the key \"{key}\" signed it.")
            }
            _ => "It would pass: the route is public.".to_owned(),
        };
    };
    let mut text = format!("{}: {}\n", judgement.verdict(), judgement.reason().unwrap_or_default());
    for (mistake, number) in found.mistakes.iter().zip(1..) {
        let proof = if mistake.proven { "proven" } else { "a hint, not proven" };
        let Mistake { label, says, cure, signed, .. } = mistake;
        text.push_str(&format!(
            "\n{number}. {} ({proof})\n   {says}\n   cure: {cure}\n",
            label.name()
        ));
        if let Some(line) = cure_line(mistake, found.route, lines) {
            text.push_str(&format!("   where: {}:{line}\n", lines.file));
        }
        if let Some(signed) = signed {
            text.push_str(&format!("   signed: {signed}\n"));
        }
    }
    if found.mistakes.is_empty() {
        text.push_str("\nNo mistake found.\n");
    }
    text + &format!("\n{} MACs tried", found.macs)
}
