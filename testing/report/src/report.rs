//! One table for people, one line for the history.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use serde::Serialize;
use serde_json::json;

/// What a figure has to reach.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case", tag = "bound", content = "value")]
pub enum Goal {
    AtMost(f64),
    AtLeast(f64),
}

impl Goal {
    fn met(self, value: f64) -> bool {
        match self {
            Self::AtMost(bound) => value <= bound,
            Self::AtLeast(bound) => value >= bound,
        }
    }
}

/// One line of the table.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    pub figure: String,
    pub measured: f64,
    pub unit: &'static str,
    /// In the same unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub floor: Option<f64>,
    /// Judged against the ratio where there is a floor, else against the measured value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub goal: Option<Goal>,
}

impl Row {
    pub fn new(figure: impl Into<String>, measured: f64, unit: &'static str) -> Self {
        Self { figure: figure.into(), measured, unit, floor: None, goal: None }
    }
    pub fn floor(self, floor: f64) -> Self {
        Self { floor: Some(floor), ..self }
    }
    pub fn goal(self, goal: Goal) -> Self {
        Self { goal: Some(goal), ..self }
    }

    pub fn ratio(&self) -> Option<f64> {
        self.floor.map(|floor| self.measured / floor)
    }
    pub fn met(&self) -> Option<bool> {
        self.goal.map(|goal| goal.met(self.ratio().unwrap_or(self.measured)))
    }
}

/// Everything one run found.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Seconds since 1970.
    pub at: u64,
    pub quick: bool,
    pub cores: usize,
    pub rows: Vec<Row>,
    /// What a reader should know about the conditions.
    pub notes: Vec<String>,
}

impl Report {
    /// Of a run that ends now.
    pub fn now(quick: bool, cores: usize, rows: Vec<Row>, notes: Vec<String>) -> Self {
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        Self { at, quick, cores, notes, rows }
    }

    /// How many goals are missed; a quick run misses none.
    pub fn missed(&self) -> usize {
        self.rows.iter().filter(|row| !self.quick && row.met() == Some(false)).count()
    }

    pub fn print_table(&self) {
        println!("{}", self.table());
    }

    fn table(&self) -> String {
        let mut lines = vec![["figure", "measured", "floor", "ratio", "goal", "met"].map(String::from)];
        for row in &self.rows {
            let goal = row.goal.map_or(String::new(), |goal| match goal {
                Goal::AtMost(bound) => format!("<= {}", number(bound)),
                Goal::AtLeast(bound) => format!(">= {}", number(bound)),
            });
            let met = match row.met() {
                None => "",
                Some(_) if self.quick => "not judged",
                Some(true) => "yes",
                Some(false) => "NO",
            };
            lines.push([
                row.figure.clone(),
                format!("{} {}", number(row.measured), row.unit).trim_end().to_owned(),
                row.floor.map_or(String::new(), number),
                row.ratio().map_or(String::new(), |ratio| format!("{ratio:.2}")),
                goal,
                met.to_owned(),
            ]);
        }
        let mut widths = [0; 6];
        for line in &lines {
            for (width, cell) in widths.iter_mut().zip(line) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let mut text = String::new();
        for (i, line) in lines.iter().enumerate() {
            for (column, (cell, width)) in line.iter().zip(widths).enumerate() {
                let gap = if column == 0 { "" } else { "  " };
                // Words to the left, numbers to the right.
                let _ = if matches!(column, 1..=3) {
                    write!(text, "{gap}{cell:>width$}")
                } else {
                    write!(text, "{gap}{cell:<width$}")
                };
            }
            text.truncate(text.trim_end().len());
            text.push('\n');
            if i == 0 {
                text.push_str(&"-".repeat(widths.iter().sum::<usize>() + 10));
                text.push('\n');
            }
        }
        for note in &self.notes {
            let _ = writeln!(text, "note: {note}");
        }
        text
    }

    /// Prints the report as JSON and appends it as one line to `history`.
    pub fn print_json(&self, history: &Path) -> Result<()> {
        let rows = self.rows.iter().map(|row| {
            let mut value = json!(row);
            value["ratio"] = json!(row.ratio());
            value["met"] = if self.quick { json!(null) } else { json!(row.met()) };
            value
        });
        let rows: Vec<_> = rows.collect();
        let line = json!({ "at": self.at, "quick": self.quick, "cores": self.cores, "rows": rows, "notes": self.notes });
        println!("{line:#}");
        if let Some(folder) = history.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let file = std::fs::OpenOptions::new().create(true).append(true).open(history);
        writeln!(file.context("opening the history")?, "{line}").context("writing the history")
    }
}

/// Says on standard error what is being measured.
pub fn progress(what: &str) {
    eprintln!("bench: {what}");
}

/// As many digits as say something.
fn number(value: f64) -> String {
    match value.abs() {
        v if v >= 1_000.0 => format!("{value:.0}"),
        v if v >= 100.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_judges_the_ratio_where_there_is_a_floor() {
        let row = Row::new("x", 30.0, "us").floor(20.0).goal(Goal::AtMost(1.5));
        assert_eq!((row.ratio(), row.met()), (Some(1.5), Some(true)));
        assert_eq!(Row::new("x", 0.89, "").goal(Goal::AtLeast(0.9)).met(), Some(false));
        assert_eq!(Row::new("x", 1.0, "").met(), None);
    }

    #[test]
    fn the_table_lines_up() {
        let rows = vec![
            Row::new("one", 12.345, "us").floor(10.0).goal(Goal::AtMost(1.5)),
            Row::new("another", 54_321.0, "events/s"),
        ];
        let report = Report { at: 0, quick: false, cores: 2, rows, notes: vec!["alone".into()] };
        assert_eq!(
            report.table(),
            "\
figure         measured  floor  ratio  goal     met
---------------------------------------------------
one            12.35 us  10.00   1.23  <= 1.50  yes
another  54321 events/s
note: alone
"
        );
    }
}
