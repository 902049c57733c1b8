//! Reports as pictures (SVG 1.1), with a title and a description for those who have them read aloud.

use super::figures::{Funnel, Idle};
use crate::opportunities::OpportunityStatus;

const WIDTH: i64 = 720;
/// Where bars begin, and how long they may be.
const BARS: i64 = 150;
const LONGEST: i64 = 330;
const ROW: i64 = 26;
const HEAD: i64 = 40;

/// A text as XML takes it: what XML does not allow is replaced.
fn text(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

fn picture(title: &str, description: &str, height: i64, body: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" aria-labelledby=\"title description\" \
         viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <title id=\"title\">{}</title>\n<desc id=\"description\">{}</desc>\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>\n{body}</svg>\n",
        text(title),
        text(description)
    )
}

/// A line of a picture: a name, a bar and what it says.
fn row(y: i64, name: &str, (length, colour): (i64, &str), said: &str) -> String {
    let (middle, end) = (y + 17, BARS + length + 8);
    format!(
        "<text x=\"{}\" y=\"{middle}\" text-anchor=\"end\">{}</text>\n\
         <rect x=\"{BARS}\" y=\"{}\" width=\"{length}\" height=\"{}\" fill=\"{colour}\"/>\n\
         <text x=\"{end}\" y=\"{middle}\">{}</text>\n",
        BARS - 8,
        text(name),
        y + 4,
        ROW - 8,
        text(said)
    )
}

fn heading(y: i64, said: &str) -> String {
    format!("<text x=\"16\" y=\"{}\" font-weight=\"bold\">{}</text>\n", y + 25, text(said))
}

/// The length of a bar.
fn length(count: i64, largest: i64) -> i64 {
    let long = i128::from(count) * i128::from(LONGEST) / i128::from(largest.max(1));
    i64::try_from(long).unwrap_or_default().max(i64::from(count > 0))
}

pub(super) fn funnels(funnels: &[Funnel]) -> String {
    let (mut body, mut y) = (String::new(), 0);
    let mut described = Vec::new();
    for funnel in funnels {
        body += &heading(y, &format!("{} (amounts in the minor unit)", funnel.currency));
        y += HEAD;
        for stage in &funnel.stages {
            let colour = match stage.stage.kind() {
                OpportunityStatus::Open => "#1f6f8b",
                OpportunityStatus::Won => "#2e7d32",
                OpportunityStatus::Lost => "#9e3a2f",
            };
            let bar = (length(stage.count, funnel.largest()), colour);
            body += &row(y, &stage.name(), bar, &format!("{} · {}", stage.count, stage.amount));
            y += ROW;
        }
        let stages = funnel.stages.iter().map(|stage| format!("{} {}", stage.name(), stage.count));
        described.push(format!("{}: {}", funnel.currency, stages.collect::<Vec<_>>().join(", ")));
        y += 10;
    }
    let described = if described.is_empty() { "There are no opportunities.".to_owned() } else { described.join(". ") };
    picture("Opportunities by stage", &described, y.max(HEAD), &body)
}

pub(super) fn idle(rows: &[Idle]) -> String {
    let largest = rows.iter().map(|row| row.days).max().unwrap_or_default();
    let mut body = heading(0, "Days without a move or a follow-up");
    let mut y = HEAD;
    for one in rows {
        let title: String = one.title.chars().take(30).collect();
        let bar = (length(one.days, largest), "#b26a00");
        body += &row(y, &format!("{:?}", one.stage), bar, &format!("{} · {title}", one.days));
        y += ROW;
    }
    let described = match rows.first() {
        None => "Nothing is stalled.".to_owned(),
        Some(first) => {
            format!("{} open opportunities; the longest for {} days: {}", rows.len(), first.days, first.title)
        }
    };
    picture("Stalled opportunities", &described, y + 10, &body)
}

#[cfg(test)]
mod tests {
    use super::{length, text};

    #[test]
    fn a_text_is_what_xml_takes() {
        assert_eq!(text("<a href=\"x\">&'"), "&lt;a href=&quot;x&quot;&gt;&amp;&apos;");
        assert_eq!(text("a\u{0}b\u{1b}\u{ffff}"), "a\u{fffd}b\u{fffd}\u{fffd}");
    }

    #[test]
    fn a_bar_is_as_long_as_its_share() {
        assert_eq!((length(10, 10), length(5, 10), length(0, 10), length(1, i64::MAX)), (330, 165, 0, 1));
        assert_eq!(length(i64::MAX, i64::MAX), 330);
    }
}
