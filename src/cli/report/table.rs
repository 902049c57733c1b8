//! Reports as text, for a terminal.

use console::{Alignment, Style as Colour, Term, colors_enabled, pad_str};

use super::figures::{Funnel, Idle};
use crate::opportunities::OpportunityStatus;

/// Width where there is no terminal.
const WIDTH: usize = 80;
/// The longest bar.
const BAR: usize = 60;
/// Bars in eighths of a character.
const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

/// How text is shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Style {
    pub width: usize,
    pub is_coloured: bool,
}

impl Style {
    /// As the terminal shows it, if there is one: without colour where `NO_COLOR` is set.
    pub fn of_terminal() -> Self {
        let width = Term::stdout().size_checked().map_or(WIDTH, |(_, width)| usize::from(width));
        Self { width: width.max(40), is_coloured: colors_enabled() }
    }

    fn colour(self, text: &str, colour: &Colour) -> String {
        match self.is_coloured {
            true => colour.clone().force_styling(true).apply_to(text).to_string(),
            false => text.to_owned(),
        }
    }
}

/// What is to be shown as itself: a title may hold what a terminal obeys.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

pub(super) fn funnels(funnels: &[Funnel], style: Style) -> String {
    if funnels.is_empty() {
        return "no opportunities".to_owned();
    }
    let mut lines = Vec::new();
    for funnel in funnels {
        lines.push(style.colour(&funnel.currency, &Colour::new().bold()));
        let rows: Vec<[String; 4]> = funnel
            .stages
            .iter()
            .map(|one| [one.name(), one.count.to_string(), one.amount.to_string(), one.weighted().to_string()])
            .collect();
        let widths = widths(&rows, ["stage", "count", "amount", "weighted"]);
        let taken: usize = widths.iter().map(|width| width + 2).sum();
        let room = style.width.saturating_sub(taken).min(BAR);
        lines.push(line(["stage", "count", "amount", "weighted"].map(str::to_owned), widths));
        for (row, stage) in rows.into_iter().zip(&funnel.stages) {
            let colour = match stage.stage.kind() {
                OpportunityStatus::Open => Colour::new().cyan(),
                OpportunityStatus::Won => Colour::new().green(),
                OpportunityStatus::Lost => Colour::new().red(),
            };
            let bar = bar(stage.count, funnel.largest(), room);
            lines.push(format!("{}  {}", line(row, widths), style.colour(&bar, &colour)).trim_end().to_owned());
        }
        lines.push(String::new());
    }
    lines.push("amounts are in the currency's minor unit".to_owned());
    lines.join("\n")
}

pub(super) fn idle(rows: &[Idle], style: Style) -> String {
    if rows.is_empty() {
        return "nothing is stalled".to_owned();
    }
    const HEAD: [&str; 5] = ["days", "tenant", "stage", "currency", "amount"];
    let cells: Vec<[String; 5]> = rows
        .iter()
        .map(|row| {
            let stage = format!("{:?}", row.stage);
            [row.days.to_string(), row.tenant.clone(), stage, row.currency.clone(), row.amount.to_string()]
        })
        .collect();
    let widths = widths(&cells, HEAD);
    let taken: usize = widths.iter().map(|width| width + 2).sum();
    let room = style.width.saturating_sub(taken).max(10);
    let mut lines = vec![format!("{}  title", line(HEAD.map(str::to_owned), widths))];
    for (cells, row) in cells.into_iter().zip(rows) {
        let title = console::truncate_str(&plain(&row.title), room, "…").into_owned();
        lines.push(format!("{}  {title}", line(cells, widths)));
    }
    lines.join("\n")
}

fn widths<const N: usize>(rows: &[[String; N]], head: [&str; N]) -> [usize; N] {
    let mut widths = head.map(console::measure_text_width);
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(console::measure_text_width(cell));
        }
    }
    widths
}

/// Numbers to the right, texts to the left.
fn line<const N: usize>(cells: [String; N], widths: [usize; N]) -> String {
    let cell = |(cell, width): (String, usize)| {
        let is_number = cell.bytes().all(|byte| byte.is_ascii_digit());
        let side = if is_number { Alignment::Right } else { Alignment::Left };
        pad_str(&cell, width, side, None).into_owned()
    };
    cells.into_iter().zip(widths).map(cell).collect::<Vec<_>>().join("  ")
}

/// A bar as long as `count` is of `largest`, of at most so many characters; none that counts anything is empty.
fn bar(count: i64, largest: i64, room: usize) -> String {
    let (count, largest) = (u128::from(count.unsigned_abs()), u128::from(largest.unsigned_abs().max(1)));
    let eighths = usize::try_from(count * (room as u128) * 8 / largest).unwrap_or_default();
    let eighths = if count > 0 { eighths.max(1) } else { 0 };
    let rest = EIGHTHS.get(eighths % 8).copied().unwrap_or_default();
    format!("{}{rest}", "█".repeat(eighths / 8))
}

#[cfg(test)]
mod tests {
    use super::{super::figures::Stage, Funnel, Style, bar, funnels};
    use crate::{opportunities::OpportunityStage, values::integer_enum::IntegerEnum};

    #[test]
    fn a_bar_is_as_long_as_its_share_and_never_empty_for_something() {
        assert_eq!((bar(8, 8, 4), bar(4, 8, 4), bar(0, 8, 4)), ("████".to_owned(), "██".to_owned(), String::new()));
        assert_eq!((bar(1, 1_000_000, 4), bar(i64::MAX, i64::MAX, 2)), ("▏".to_owned(), "██".to_owned()));
    }

    #[test]
    fn a_funnel_fits_its_width_and_has_colour_only_where_that_is_wanted() {
        let stage = |stage: &OpportunityStage| Stage { stage: *stage, count: 5, amount: 1 << 70 };
        let funnel = Funnel { currency: "EUR".to_owned(), stages: OpportunityStage::ALL.iter().map(stage).collect() };
        let plain = funnels(std::slice::from_ref(&funnel), Style { width: 100, is_coloured: false });
        assert!(plain.lines().all(|line| console::measure_text_width(line) <= 100), "{plain}");
        assert!(plain.contains("Negotiation") && !plain.contains('\u{1b}'), "{plain}");
        assert!(funnels(&[funnel], Style { width: 100, is_coloured: true }).contains('\u{1b}'));
    }
}
