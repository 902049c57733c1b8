//! Whether a contract may take the place of another: [`compare`] lists what differs, and says what each difference means for
//! clients of the older one. `crm contract` uses it; `openapi/README.md` has the rules as a table.
//!
//! In reading order: [`notation`] what is the same however it is written · [`difference`] words and places · [`comparison`]
//! following references in two documents · [`document`] what stands beside the operations · [`operation`] · [`schema`] ·
//! [`keyword`] · [`version`] how far it has to rise · [`events`] AsyncAPI by the same rules · [`second_opinion`] what a library
//! finds · [`baseline`] contracts in files.
//!
//! The rules allow by name. A difference that no rule knows is breaking, so that what nobody thought of is not let through.

pub mod baseline;
mod comparison;
mod difference;
mod document;
mod events;
mod keyword;
mod notation;
mod operation;
mod schema;
mod second_opinion;
mod version;

use serde::Serialize;
use serde_json::Value;

use comparison::Comparison;
pub use difference::{Difference, Effect, Verdict};

/// What comes of a comparison.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// The word for all differences.
    pub verdict: Verdict,
    /// Whether the newer contract needs a higher version.
    pub version_is_due: bool,
    /// Each difference, the worst first.
    pub differences: Vec<Difference>,
}

/// Compares two contracts, both OpenAPI 3.0 or both AsyncAPI 3: whether clients of the older one can live with the newer.
#[must_use]
pub fn compare(old: &Value, new: &Value) -> Outcome {
    let (old, new) = (&notation::normalized(old), &notation::normalized(new));
    let mut differences = Vec::new();
    let mut version_is_due = false;
    if old != new {
        differences = if is_asyncapi(old) && is_asyncapi(new) {
            let (old_messages, new_messages) = (events::as_openapi(old), events::as_openapi(new));
            let mut found = of_documents(&old_messages, &new_messages);
            found = found.into_iter().map(events::named).collect();
            found.extend(events::channels(old, new));
            found
        } else {
            of_documents(old, new)
        };
        let (difference, is_due) = version::judge(old, new, &differences);
        version_is_due = is_due;
        differences.extend(difference);
        if differences.is_empty() {
            differences.push(Difference::unknown());
        }
    }
    differences.sort_by_key(|difference| std::cmp::Reverse(difference.effect));
    Outcome { verdict: Verdict::on(&differences), version_is_due, differences }
}

fn of_documents(old: &Value, new: &Value) -> Vec<Difference> {
    let mut comparison = Comparison::new(old, new);
    comparison.documents();
    let mut found = comparison.into_found();
    let unexplained = second_opinion::unexplained(old, new, &found);
    found.extend(unexplained);
    found
}

fn is_asyncapi(document: &Value) -> bool {
    document.get("asyncapi").is_some()
}
