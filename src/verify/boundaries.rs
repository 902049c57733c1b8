//! Section 4.1: the cell stands by itself.

use serde_json::Value;

use super::{
    client::Client,
    line::{Found, Trouble, ensure},
    operations::all,
    sample::Sample,
    target::Target,
};
use crate::{
    config::DatabaseUrl,
    values::build::{FOREIGN_PACKAGES, PACKAGES},
};

/// How long an event of a change may take, in the feed's own seconds of waiting.
const EVENT_WAIT: &str = "10";
/// How many pages of events are looked at.
const PAGES: usize = 20;
/// What every event has.
const EVENT: [&str; 5] = ["eventId", "eventType", "timestamp", "source", "traceId"];

/// No code of the platform: nothing of it is built in, and the contract stands without it.
pub(super) async fn platform_code(client: &Client, target: &Target, contract: &Value) -> Found {
    let references = all(contract, "$ref");
    if let Some(outside) = references.iter().find(|reference| !reference.starts_with("#/")) {
        return Err(format!("the contract refers to {outside}, outside of itself").into());
    }
    let mut evidence = format!("the contract refers {} times, always to itself", references.len());
    if target.own.is_some() {
        ensure(FOREIGN_PACKAGES.is_empty(), || {
            format!("it is built of packages that are of no registry: {FOREIGN_PACKAGES}")
        })?;
        client.get("/readyz").send().await?.expect(&[200])?;
        evidence = format!(
            "{evidence}; of the {PACKAGES} packages that it is built of, all but its own are of the registry; an instance without \
             any address of the platform serves"
        );
    }
    Ok(evidence)
}

/// A database of its own: an instance that was given an empty one shows nothing, until something is written.
pub(super) async fn own_database(client: &Client, target: &Target, before: &[(String, Value)]) -> Found {
    let Some(own) = &target.own else {
        let why = "which database is behind a running service cannot be seen from here: `crm doctor` there shows it";
        return Err(Trouble::NotChecked(why.to_owned()));
    };
    if let Some((list, total)) = before.iter().find(|(_, total)| total.as_u64() != Some(0)) {
        return Err(format!("{list} of an empty database has the total {total}").into());
    }
    let lists = before.len();
    let after = client.get("/customers").by(&target.caller).send().await?.expect(&[200])?;
    let total = after.body.get("total").cloned().unwrap_or_default();
    ensure(total.as_u64().is_some_and(|total| total > 0), || {
        format!("GET /customers after one was made has the total {total}")
    })?;
    let kind = match own.database {
        DatabaseUrl::Sqlite(_) => "SQLite",
        DatabaseUrl::Postgres(_) => "PostgreSQL",
    };
    Ok(format!("on a {kind} database made for it, {lists} lists were empty, and then had what was written"))
}

/// The totals of all lists, before anything is written.
pub(super) async fn totals(client: &Client, target: &Target) -> Result<Vec<(String, Value)>, String> {
    let mut totals = Vec::new();
    for list in ["/customers", "/contacts", "/opportunities", "/follow-ups"] {
        let reply = client.get(list).by(&target.caller).send().await?.expect(&[200])?;
        totals.push((format!("GET {list}"), reply.body.get("total").cloned().unwrap_or_default()));
    }
    Ok(totals)
}

/// Other cells learn of changes by events, and of no address of another cell.
pub(super) async fn only_events(client: &Client, target: &Target, contract: &Value, sample: Option<&Sample>) -> Found {
    let servers = contract.get("servers").map(|servers| all(servers, "url")).unwrap_or_default();
    if let Some(other) = servers.iter().find(|server| server.contains("://")) {
        return Err(format!("the contract names the server {other}").into());
    }
    let (mut cursor, mut seen, mut found, mut is_end) = (None::<String>, 0_usize, false, false);
    for _ in 0..PAGES {
        let after = cursor.as_ref().map(|cursor| format!("&after={cursor}")).unwrap_or_default();
        let wait = if sample.is_some() && !found { EVENT_WAIT } else { "0" };
        let path = format!("/events?limit=1000&wait={wait}{after}");
        let page = client.get(&path).by(&target.caller).send().await?.expect(&[200])?;
        for event in page.items() {
            judge(event)?;
            found |= sample.is_some_and(|sample| event.to_string().contains(&sample.id));
        }
        seen += page.items().len();
        cursor = page.field("cursor").map(str::to_owned);
        is_end = page.items().is_empty();
        if is_end || found || sample.is_none() {
            break;
        }
    }
    if !found && sample.is_some() && !is_end {
        let why = format!("the tenant has more than {seen} events: take one that has fewer");
        return Err(Trouble::NotChecked(why));
    }
    ensure(found || sample.is_none(), || "GET /events does not tell of the customer that was made".to_owned())?;
    let how = if found { "one tells of the customer that was made" } else { "nothing was written to see one more" };
    Ok(format!("events seen: {seen}, in the form of the platform's and of the source crm; {how}"))
}

/// Whether an event has the form of the platform's.
fn judge(event: &Value) -> Result<(), String> {
    let text = |field: &str| event.get(field).and_then(Value::as_str).unwrap_or_default();
    if let Some(field) = EVENT.into_iter().find(|field| text(field).is_empty()) {
        return Err(format!("an event has no {field}"));
    }
    ensure(event.get("data").is_some_and(Value::is_object), || "an event has no data".to_owned())?;
    let (kind, source) = (text("eventType"), text("source"));
    let parts: Vec<&str> = kind.split('.').collect();
    let is_ours =
        source == "crm" && matches!(parts[..], ["crm", entity, action] if !entity.is_empty() && !action.is_empty());
    ensure(is_ours, || format!("an event is {kind} of the source {source}, and not crm.ENTITY.ACTION of crm"))
}
