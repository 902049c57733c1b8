//! The lines as a table, for a terminal.

use console::{Alignment, Term, measure_text_width, pad_str};

use crate::verify::Line;

/// Width where there is no terminal, and the least.
const WIDTH: usize = 140;
const NARROWEST: usize = 100;
/// The width of all columns but the last one, which takes the rest.
const COLUMNS: [usize; 4] = [6, 22, 36, 11];
const HEADINGS: [&str; 5] = ["", "check", "standard", "result", "evidence"];

/// The table, with long texts in several lines.
pub(super) fn table(lines: &[Line]) -> String {
    let width = Term::stdout().size_checked().map_or(WIDTH, |(_, width)| usize::from(width)).max(NARROWEST);
    let taken: usize = COLUMNS.iter().map(|width| width + 2).sum();
    let evidence = width.saturating_sub(taken);
    let mut rows = row(HEADINGS.map(str::to_owned), evidence);
    for Line { number, check, standard, result, evidence: seen } in lines {
        let cells = [*number, check, standard, &result.to_string(), &plain(seen)].map(str::to_owned);
        rows.push(String::new());
        rows.extend(row(cells, evidence));
    }
    rows.join("\n")
}

/// What is to be shown as itself: a reply may hold what a terminal obeys.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// The lines of one row.
fn row(cells: [String; 5], evidence: usize) -> Vec<String> {
    let widths = COLUMNS.into_iter().chain([evidence]);
    let columns: Vec<(usize, Vec<String>)> =
        widths.zip(&cells).map(|(width, text)| (width, wrapped(text, width))).collect();
    let height = columns.iter().map(|(_, lines)| lines.len()).max().unwrap_or_default();
    let line = |at: usize| {
        let cell = |(width, lines): &(usize, Vec<String>)| {
            pad_str(lines.get(at).map_or("", String::as_str), *width, Alignment::Left, None).into_owned()
        };
        columns.iter().map(cell).collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    (0..height).map(line).collect()
}

/// A text in lines of this width; only a word that is longer is a line by itself.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if measure_text_width(line) + 1 + measure_text_width(word) <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
