//! The verdict on one point, with its cure.

use std::fmt;

use serde_json::{Value, json};

/// Width of the column of grades, and of that of checks.
const COLUMNS: (usize, usize) = (6, 15);

/// A verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grade {
    Ok,
    /// It may be meant, or could not be checked.
    Warn,
    /// Twilio's requests would not pass, or others would.
    Fail,
}

/// One line of the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) grade: Grade,
    /// The name of the check.
    pub(super) check: &'static str,
    pub(super) says: String,
    /// The cure; it may have several lines.
    pub(super) cure: Option<String>,
}

impl Finding {
    pub(super) fn ok(check: &'static str, says: impl Into<String>) -> Self {
        Self { grade: Grade::Ok, check, says: says.into(), cure: None }
    }

    pub(super) fn warn(
        check: &'static str,
        says: impl Into<String>,
        cure: impl Into<String>,
    ) -> Self {
        Self { grade: Grade::Warn, check, says: says.into(), cure: Some(cure.into()) }
    }

    pub(super) fn fail(
        check: &'static str,
        says: impl Into<String>,
        cure: impl Into<String>,
    ) -> Self {
        Self { grade: Grade::Fail, check, says: says.into(), cure: Some(cure.into()) }
    }

    pub(super) fn is_fail(&self) -> bool {
        self.grade == Grade::Fail
    }

    pub(super) fn json(&self) -> Value {
        let Self { check, says, cure, .. } = self;
        json!({ "verdict": self.grade.name(), "check": check, "says": says, "cure": cure })
    }
}

impl Grade {
    const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
        }
    }
}

/// Prints one line, and its cure on the lines below. Text from the network cannot act on a terminal.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, second) = COLUMNS;
        write!(f, "{:first$}{:second$}{}", self.grade.name(), self.check, plain(&self.says))?;
        let indent = first.saturating_add(second);
        for (number, line) in self.cure.iter().flat_map(|cure| cure.lines()).enumerate() {
            let label = if number == 0 { "cure: " } else { "      " };
            write!(f, "\n{:indent$}{label}{}", "", plain(line))?;
        }
        Ok(())
    }
}

fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_one_aligned_line_and_its_cure_below() {
        let ok = Finding::ok("upstream", "a\u{1b}[31m");
        assert_eq!(ok.to_string(), "ok    upstream       a\u{fffd}[31m");
        let fail = Finding::fail("gate", "gone", "add:\n[admin]");
        let lines = "FAIL  gate           gone\n                     cure: add:\n                           [admin]";
        assert_eq!(fail.to_string(), lines);
        assert_eq!(fail.json()["verdict"], "FAIL");
    }
}
