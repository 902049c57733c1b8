//! Reports as comma-separated values (RFC 4180), for spreadsheets.

use super::figures::{Funnel, Idle};

/// A value in quotes where it needs them. What a spreadsheet would take for a formula is marked as text.
fn field(text: &str) -> String {
    let text = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text.to_owned() };
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text,
    }
}

fn line(fields: &[&str]) -> String {
    let mut line = fields.iter().map(|text| field(text)).collect::<Vec<_>>().join(",");
    line.push_str("\r\n");
    line
}

pub(super) fn funnels(funnels: &[Funnel]) -> String {
    let mut text = line(&["currency", "stage", "name", "count", "amountCents", "weightedCents"]);
    for funnel in funnels {
        for (number, stage) in funnel.stages.iter().enumerate() {
            let (count, amount, weighted) =
                (stage.count.to_string(), stage.amount.to_string(), stage.weighted().to_string());
            text += &line(&[&funnel.currency, &number.to_string(), &stage.name(), &count, &amount, &weighted]);
        }
    }
    text
}

pub(super) fn idle(rows: &[Idle]) -> String {
    let mut text =
        line(&["tenant", "opportunityId", "title", "stage", "currency", "amountCents", "idleSince", "idleDays"]);
    for row in rows {
        let since = row.since.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
        let (stage, amount, days) = (format!("{:?}", row.stage), row.amount.to_string(), row.days.to_string());
        text += &line(&[&row.tenant, &row.id, &row.title, &stage, &row.currency, &amount, &since, &days]);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::field;

    #[test]
    fn a_value_is_quoted_where_it_needs_to_be_and_is_never_a_formula() {
        for (text, written) in [
            ("plain", "plain"),
            ("a,b", "\"a,b\""),
            ("say \"x\"", "\"say \"\"x\"\"\""),
            ("two\nlines", "\"two\nlines\""),
            ("=1+1", "'=1+1"),
            ("@x,y", "\"'@x,y\""),
            ("", ""),
        ] {
            assert_eq!(field(text), written, "{text:?}");
        }
    }
}
