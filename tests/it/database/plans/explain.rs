//! What is wrong with a statement's plan, and whose it is to be forgiven.

use std::{collections::BTreeSet, fmt};

use sea_orm::Value;
use uuid::Uuid;

use super::{
    data::{LARGE, is_small},
    exceptions::Exception,
    watch::Seen,
};

/// The most rows that a part of a plan may visit: what a list walks, and a little.
pub const BOUND: f64 = 10_500.0;

/// What is wrong with a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A table, or an index of it, is read from its beginning, not from a key.
    Scan,
    /// An index is made for this one execution.
    AutomaticIndex,
    /// More rows than the bound are sorted.
    Sort,
    /// More rows than the bound are visited.
    Visits,
    /// In a tenant of four times the size it does more work.
    Grows,
}

/// What is wrong with a statement.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    pub fault: Fault,
    pub what: String,
}

impl Finding {
    pub fn new(fault: Fault, what: impl fmt::Display) -> Self {
        Self { fault, what: what.to_string() }
    }
}

/// What a database says of a statement.
pub struct Explained {
    pub plan: String,
    pub findings: BTreeSet<Finding>,
}

/// Whether it is a fault to read all of this table.
pub fn grows(tables: &[String], table: &str) -> bool {
    tables.iter().any(|known| known == table) && !is_small(table)
}

/// The values, as another tenant would bind them, about the resources that have much.
pub fn bound_for(tenant: &str, values: &[Value], hubs: &[(Uuid, Uuid)]) -> Vec<Value> {
    let bind = |value: &Value| match value {
        Value::String(Some(text)) if *text == LARGE => tenant.into(),
        Value::Uuid(Some(id)) => {
            let hub = hubs.iter().find(|(resource, _)| resource == id);
            hub.map_or(*id, |(_, hub)| *hub).into()
        }
        other => other.clone(),
    };
    values.iter().map(bind).collect()
}

/// Whether commands of operators alone run it: most of them go through all that there is, and take their time.
pub fn is_of_commands(seen: &Seen) -> bool {
    seen.during.keys().all(|during| during.starts_with("crm "))
}

/// The lines that are to be shown where statements have faults; notes which exceptions were needed.
pub fn complaint(
    seen: &Seen,
    explained: &Explained,
    exceptions: &[Exception],
    needed: &mut BTreeSet<usize>,
) -> Option<String> {
    let mut findings = explained.findings.clone();
    if is_of_commands(seen) {
        findings.retain(|finding| finding.fault == Fault::AutomaticIndex);
    }
    for (number, exception) in exceptions.iter().enumerate() {
        let before = findings.len();
        findings.retain(|finding| !exception.forgives(&seen.sql, finding.fault));
        if findings.len() < before {
            needed.insert(number);
        }
    }
    if findings.is_empty() {
        return None;
    }
    let findings: Vec<_> = findings.iter().map(|finding| format!("  {:?}: {}", finding.fault, finding.what)).collect();
    let during: Vec<_> = seen.during.keys().take(4).map(String::as_str).collect();
    let line = seen.lines.iter().find(|(file, _)| !file.starts_with("database/"));
    let line = line.map(|(file, line)| format!(" (src/{file}:{line})")).unwrap_or_default();
    Some(format!(
        "{}\n{}\n  during {}{line}\n{}",
        seen.sql,
        findings.join("\n"),
        during.join(", "),
        explained.plan.lines().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
    ))
}
