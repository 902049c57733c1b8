//! Whether acknowledged writes are durable: none lost, none done twice, none done in part.

use std::collections::{HashMap, HashSet};

use sea_orm::{Database, DatabaseConnection, DbBackend, QueryResult};
use serde_json::Value;
use uuid::Uuid;

use super::{
    PII_KEYS,
    process::{Client, Process, run_crm},
    sql::{rows, scalar},
    writes::WriteHistory,
};

/// Fails unless the database at `url` and the service agree with the history. Unconfirmed requests may have been done
/// or not: each is sent again, and must then have been done exactly once.
pub async fn assert_durable(history: &WriteHistory, process: &Process, url: &str) {
    let connection = Database::connect(url).await.unwrap();
    assert_consistent(history, &connection).await;
    let mut client = process.client().await;
    read_acknowledged(history, &mut client).await;
    send_again(history, &mut client).await;
    let stored = StoredWrites::read(&connection).await;
    stored.assert_matches(history);
    assert!(history.entries().unconfirmed.is_empty());
    assert_eq!(stored.claims.len(), history.acknowledged(), "claims without a request");
    assert_totals_right(url);
    if connection.get_database_backend() == DbBackend::Sqlite {
        assert_eq!(scalar::<String>(&connection, "PRAGMA integrity_check").await, "ok");
    }
    connection.close().await.unwrap();
}

/// Fails unless the totals of all lists, which are kept, say what counting says.
pub fn assert_totals_right(url: &str) {
    let checked = run_crm(&["doctor", "counts"], &[("CRM_DATABASE_URL", url), ("CRM_PII_KEYS", PII_KEYS)]);
    assert_eq!(checked.code, Some(0), "{checked:?}");
}

/// Fails unless the tables agree with each other and with the history.
pub async fn assert_consistent(history: &WriteHistory, connection: &DatabaseConnection) {
    StoredWrites::read(connection).await.assert_matches(history);
}

/// Fails unless every acknowledged resource can be read. A follow-up still names the request that created it.
async fn read_acknowledged(history: &WriteHistory, client: &mut Client) {
    let acknowledged = history.entries().acknowledged.clone();
    let mut lost = Vec::new();
    for (request_id, (write, path)) in &acknowledged {
        let answer = client.get(path).await;
        let of_this_request = |text: &Value| text.as_str().is_some_and(|text| first_word(text) == request_id);
        if answer.status != 200 || (path.starts_with("/follow-ups") && !of_this_request(&answer.body["content"])) {
            lost.push(format!("{request_id}: {} {path}: {} {}", write.method, answer.status, answer.body));
        }
    }
    assert!(lost.is_empty(), "{} of {} are lost, as {:?}", lost.len(), acknowledged.len(), lost.first());
}

/// Sends every request again: the acknowledged ones must be duplicates, the others succeed.
async fn send_again(history: &WriteHistory, client: &mut Client) {
    let acknowledged = history.entries().acknowledged.clone();
    for (request_id, (write, _)) in &acknowledged {
        let answer = client.call(write.method, &write.path, request_id, &write.body).await;
        assert_eq!(answer.status, 409, "{request_id}: {write:?} was acknowledged, and is done again");
    }
    let unconfirmed = history.entries().unconfirmed.clone();
    for (request_id, write) in &unconfirmed {
        let answer = history.send(client, request_id, write.clone()).await.expect("the connection broke");
        assert_ne!(answer.status, 503, "{request_id}: {}", answer.body);
    }
}

fn first_word(text: &str) -> &str {
    text.split(' ').next().unwrap_or_default()
}

/// What the tables say about the writes.
struct StoredWrites {
    /// Request id → the resource.
    claims: HashMap<String, Uuid>,
    /// Resource → the request that its text names, and its version.
    rows: HashMap<Uuid, (String, i64)>,
    /// Trace → the request and the resource of each audit entry.
    entries: HashMap<String, Vec<(String, Uuid)>>,
    /// Trace, resource and version of each event.
    events: Vec<(String, Uuid, i64)>,
}

impl StoredWrites {
    async fn read(connection: &DatabaseConnection) -> Self {
        let text = |row: &QueryResult, at| row.try_get_by_index::<String>(at).unwrap();
        let uuid = |row: &QueryResult, at| row.try_get_by_index::<Uuid>(at).unwrap();
        let number = |row: &QueryResult, at| row.try_get_by_index::<i64>(at).unwrap();
        let claims = rows(connection, "SELECT request_id, resource_id FROM idempotent").await;
        let claims = claims.iter().map(|row| (text(row, 0), uuid(row, 1))).collect();
        let customers = rows(connection, "SELECT customer_id, name, version FROM customers").await;
        let follow_ups = rows(connection, "SELECT follow_up_id, substr(content, 1, 40), version FROM follow_ups").await;
        let found = customers.iter().chain(&follow_ups);
        let found = found.map(|row| (uuid(row, 0), (first_word(&text(row, 1)).to_owned(), number(row, 2)))).collect();
        let mut entries = HashMap::<_, Vec<_>>::new();
        let trail = "SELECT trace_id, request_id, resource_id FROM audit_logs WHERE action IN ('create', 'update')";
        for row in rows(connection, trail).await {
            entries.entry(text(&row, 0)).or_default().push((text(&row, 1), uuid(&row, 2)));
        }
        let events = rows(connection, "SELECT trace_id, aggregate_id, version FROM outbox").await;
        let events = events.iter().map(|row| (text(row, 0), uuid(row, 1), number(row, 2))).collect();
        Self { claims, rows: found, entries, events }
    }

    fn assert_matches(&self, history: &WriteHistory) {
        let history = history.entries();
        let acknowledged = &history.acknowledged;
        let lost: Vec<_> = acknowledged.keys().filter(|id| !self.claims.contains_key(*id)).collect();
        assert!(lost.is_empty(), "{} of {} are lost, as {:?}", lost.len(), acknowledged.len(), lost[0]);
        for (request_id, (_, path)) in acknowledged {
            assert!(path.ends_with(&self.claims[request_id].to_string()), "{request_id} is not {path}");
        }
        for request_id in self.claims.keys() {
            let sent = acknowledged.contains_key(request_id) || history.unconfirmed.contains_key(request_id);
            assert!(sent, "nobody sent the claimed request {request_id}");
        }
        // One audit entry and one event for each claim, about the same resource, and no others.
        let mut done = HashMap::new();
        for (trace, entries) in &self.entries {
            assert_eq!(entries.len(), 1, "{entries:?} in one request");
            let (request_id, resource) = &entries[0];
            assert!(done.insert(request_id, trace).is_none(), "{request_id} is done twice");
            assert_eq!(self.claims.get(request_id), Some(resource), "{request_id}: an audit entry without its claim");
        }
        let without: Vec<_> = self.claims.keys().filter(|id| !done.contains_key(id)).collect();
        assert!(without.is_empty(), "claims without an audit entry: {without:?}");
        let mut traces = HashSet::new();
        let mut versions = HashMap::<Uuid, Vec<(i64, &str)>>::new();
        for (trace, resource, version) in &self.events {
            assert!(traces.insert(trace), "two events in one request");
            let entries = self.entries.get(trace);
            let entry = &entries.unwrap_or_else(|| panic!("an event of {resource} without an audit entry"))[0];
            assert_eq!(entry.1, *resource);
            versions.entry(*resource).or_default().push((*version, &entry.0));
        }
        assert_eq!(traces.len(), self.entries.len(), "audit entries without an event");
        // Each row is as the request of its last event left it; every row has events, and all events a row.
        assert_eq!(versions.keys().collect::<HashSet<_>>(), self.rows.keys().collect::<HashSet<_>>());
        for (resource, mut versions) in versions {
            versions.sort_unstable();
            assert!(versions.iter().map(|(version, _)| *version).eq(1..=versions.len() as i64), "{versions:?}");
            let (text, version) = &self.rows[&resource];
            assert_eq!(Some((*version, text.as_str())), versions.last().copied(), "{resource}");
        }
    }
}
