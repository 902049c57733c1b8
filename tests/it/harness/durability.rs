//! Whether the service kept what it told its clients: nothing lost, nothing doubled, nothing half done.

use std::collections::{HashMap, HashSet};

use sea_orm::{ConnectionTrait, Database, DatabaseConnection, DbBackend, QueryResult, Statement};
use serde_json::Value;
use uuid::Uuid;

use super::{
    process::{Client, Process},
    writes::Told,
};

/// Fails unless everything acknowledged is there, nothing was done twice and nothing in part: looked at in the database at
/// `url` and asked of the service. What was not acknowledged may have been done or not; each such request is sent again,
/// and is then done exactly once.
pub async fn kept(told: &Told, process: &Process, url: &str) {
    let connection = Database::connect(url).await.unwrap();
    Stored::look(&connection).await.holds(told);
    let mut client = process.client().await;
    ask_for_everything(told, &mut client).await;
    send_again(told, &mut client).await;
    let stored = Stored::look(&connection).await;
    stored.holds(told);
    assert!(told.noted().open.is_empty());
    assert_eq!(stored.claims.len(), told.acknowledged(), "claims without a request");
    if connection.get_database_backend() == DbBackend::Sqlite {
        let check = rows(&connection, "PRAGMA integrity_check").await;
        assert_eq!(check[0].try_get_by_index::<String>(0).unwrap(), "ok");
    }
    connection.close().await.unwrap();
}

/// Fails unless what the database holds agrees with itself and with what clients were told.
pub async fn agrees(told: &Told, connection: &DatabaseConnection) {
    Stored::look(connection).await.holds(told);
}

/// Every acknowledged resource is answered, and what was created says by which request.
async fn ask_for_everything(told: &Told, client: &mut Client) {
    let acknowledged = told.noted().acknowledged.clone();
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

/// Every request, sent again under its id: the acknowledged ones are duplicates, the others are done, if they were not.
async fn send_again(told: &Told, client: &mut Client) {
    let acknowledged = told.noted().acknowledged.clone();
    for (request_id, (write, _)) in &acknowledged {
        let answer = client.ask(write.method, &write.path, request_id, &write.body).await;
        let answer = answer.expect("the connection broke").promised();
        assert_eq!(answer.status, 409, "{request_id}: {write:?} was acknowledged, and is done again");
    }
    let open = told.noted().open.clone();
    for (request_id, write) in &open {
        let answer = told.send(client, request_id, write.clone()).await.expect("the connection broke");
        assert_ne!(answer.status, 503, "{request_id}: {}", answer.body);
    }
}

fn first_word(text: &str) -> &str {
    text.split(' ').next().unwrap_or_default()
}

async fn rows(connection: &DatabaseConnection, sql: &str) -> Vec<QueryResult> {
    let statement = Statement::from_string(connection.get_database_backend(), sql);
    connection.query_all_raw(statement).await.unwrap()
}

/// What the database holds of writes: the claims, the rows, the trail and the events.
struct Stored {
    /// Request id → the resource.
    claims: HashMap<String, Uuid>,
    /// Resource → the request that its text names, and its version.
    rows: HashMap<Uuid, (String, i64)>,
    /// Trace → the request and the resource of each entry.
    entries: HashMap<String, Vec<(String, Uuid)>>,
    /// Trace, resource and version of each event.
    events: Vec<(String, Uuid, i64)>,
}

impl Stored {
    async fn look(connection: &DatabaseConnection) -> Self {
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

    /// Fails unless all of this agrees with itself and with what was told.
    fn holds(&self, told: &Told) {
        let noted = told.noted();
        let lost: Vec<_> = noted.acknowledged.keys().filter(|id| !self.claims.contains_key(*id)).collect();
        assert!(lost.is_empty(), "{} of {} are lost, as {:?}", lost.len(), noted.acknowledged.len(), lost[0]);
        for (request_id, (_, path)) in &noted.acknowledged {
            assert!(path.ends_with(&self.claims[request_id].to_string()), "{request_id} is not {path}");
        }
        for request_id in self.claims.keys() {
            let sent = noted.acknowledged.contains_key(request_id) || noted.open.contains_key(request_id);
            assert!(sent, "the claim {request_id} comes from nobody");
        }
        // One entry and one event of each claim, about the same resource, and no others.
        let mut done = HashMap::new();
        for (trace, entries) in &self.entries {
            assert_eq!(entries.len(), 1, "{entries:?} in one request");
            let (request_id, resource) = &entries[0];
            assert!(done.insert(request_id, trace).is_none(), "{request_id} is done twice");
            assert_eq!(self.claims.get(request_id), Some(resource), "{request_id}: an entry without its claim");
        }
        let without: Vec<_> = self.claims.keys().filter(|id| !done.contains_key(id)).collect();
        assert!(without.is_empty(), "claims without an entry: {without:?}");
        let mut traces = HashSet::new();
        let mut versions = HashMap::<Uuid, Vec<(i64, &str)>>::new();
        for (trace, resource, version) in &self.events {
            assert!(traces.insert(trace), "two events in one request");
            let entry =
                &self.entries.get(trace).unwrap_or_else(|| panic!("an event of {resource} without an entry"))[0];
            assert_eq!(entry.1, *resource);
            versions.entry(*resource).or_default().push((*version, &entry.0));
        }
        assert_eq!(traces.len(), self.entries.len(), "entries without an event");
        // Each row is as its last event's request made it; none is there without one, or gone.
        assert_eq!(versions.keys().collect::<HashSet<_>>(), self.rows.keys().collect::<HashSet<_>>());
        for (resource, mut versions) in versions {
            versions.sort_unstable();
            assert!(versions.iter().map(|(version, _)| *version).eq(1..=versions.len() as i64), "{versions:?}");
            let (text, version) = &self.rows[&resource];
            assert_eq!(Some((*version, text.as_str())), versions.last().copied(), "{resource}");
        }
    }
}
