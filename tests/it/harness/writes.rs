//! Writes under faults: the history of what clients sent and how it was answered, and many clients that write at once.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::process::{Answer, Client, Process};

/// A request, as it is sent and sent again. Its text begins with the request id, so that the row names the request.
#[derive(Debug, Clone)]
pub struct Write {
    pub method: &'static str,
    pub path: String,
    pub body: Value,
}

impl Write {
    pub fn customer(request_id: &str) -> Self {
        Self { method: "POST", path: "/customers".to_owned(), body: json!({ "name": request_id }) }
    }

    pub fn follow_up(request_id: &str, length: usize) -> Self {
        let content = format!("{request_id} {}", "x".repeat(length));
        Self { method: "POST", path: "/follow-ups".to_owned(), body: json!({ "content": content }) }
    }

    pub fn rename(customer: &str, request_id: &str) -> Self {
        Self { method: "PATCH", path: format!("/customers/{customer}"), body: json!({ "name": request_id }) }
    }
}

/// Every request that clients sent, by its id. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct WriteHistory(Arc<Mutex<Entries>>);

#[derive(Debug, Default)]
pub struct Entries {
    request_ids: usize,
    /// With the path of the resource.
    pub acknowledged: HashMap<String, (Write, String)>,
    /// Answered 503 or not at all: done or not.
    pub unconfirmed: HashMap<String, Write>,
    /// Answers by status, since the last [`WriteHistory::reset_counts`].
    pub statuses: BTreeMap<u16, usize>,
    pub broken_connections: usize,
    pub slowest: Duration,
}

impl WriteHistory {
    pub fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// How many writes were acknowledged.
    pub fn acknowledged(&self) -> usize {
        self.entries().acknowledged.len()
    }

    /// How many answers had this status since the last [`WriteHistory::reset_counts`].
    pub fn count(&self, status: u16) -> usize {
        self.entries().statuses.get(&status).copied().unwrap_or_default()
    }

    pub fn summary(&self) -> String {
        let Entries { acknowledged, unconfirmed, statuses, slowest, .. } = &*self.entries();
        let (acknowledged, unconfirmed) = (acknowledged.len(), unconfirmed.len());
        format!("{acknowledged} acknowledged, {unconfirmed} unconfirmed; recently {statuses:?}, slowest {slowest:?}")
    }

    pub fn reset_counts(&self) {
        let mut entries = self.entries();
        entries.statuses.clear();
        entries.slowest = Duration::ZERO;
    }

    pub fn new_request_id(&self) -> String {
        let mut entries = self.entries();
        entries.request_ids += 1;
        format!("w-{}", entries.request_ids)
    }

    /// Sends a write and records the outcome; `None` where the connection broke.
    pub async fn send(&self, client: &mut Client, request_id: &str, write: Write) -> Option<Answer> {
        let was_sent = self.entries().unconfirmed.insert(request_id.to_owned(), write.clone()).is_some();
        let answer = client.ask(write.method, &write.path, request_id, &write.body).await;
        let Some(answer) = answer else {
            self.entries().broken_connections += 1;
            return None;
        };
        let mut entries = self.entries();
        entries.slowest = entries.slowest.max(answer.took);
        *entries.statuses.entry(answer.status).or_default() += 1;
        drop(entries);
        let answer = answer.checked();
        let resource = match answer.status {
            201 => path(&answer),
            200 => write.path.clone(),
            // The first attempt succeeded, although it was answered 503 or not at all.
            409 if was_sent => path(&answer),
            503 => return Some(answer),
            other => panic!("{} {} is answered {other} {}", write.method, write.path, answer.body),
        };
        let mut entries = self.entries();
        entries.unconfirmed.remove(request_id);
        entries.acknowledged.insert(request_id.to_owned(), (write, resource));
        drop(entries);
        Some(answer)
    }

    /// Creates a customer, or a follow-up of `length` characters if that is not 0, and returns the status.
    pub async fn write(&self, client: &mut Client, length: usize) -> u16 {
        let id = self.new_request_id();
        let write = if length == 0 { Write::customer(&id) } else { Write::follow_up(&id, length) };
        self.send(client, &id, write).await.expect("the connection broke").status
    }
}

/// The path in `Location`, without the gateway's prefix.
fn path(answer: &Answer) -> String {
    let location = answer.headers["Location"].to_str().unwrap();
    location.strip_prefix("/api/v1/crm").unwrap_or(location).to_owned()
}

/// Clients that create customers and follow-ups and rename their own customers until they are stopped. They send half
/// of what is answered 503 again, under the same request id.
pub struct Load {
    history: WriteHistory,
    stopped: Arc<AtomicBool>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    pub fn start(process: &Process, history: &WriteHistory, clients: usize) -> Self {
        let stopped = Arc::new(AtomicBool::new(false));
        let clients = (0..clients).map(|number| {
            let (history, stopped, address) = (history.clone(), Arc::clone(&stopped), process.address.clone());
            tokio::spawn(write_until_stopped(history, stopped, address, number))
        });
        let clients = clients.collect();
        Self { history: history.clone(), stopped, clients }
    }

    /// Waits until `more` writes are acknowledged.
    pub async fn until_acknowledged(&self, more: usize) {
        let enough = self.history.acknowledged() + more;
        for _ in 0..12_000 {
            if self.history.acknowledged() >= enough {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("too few writes are acknowledged: {}", self.history.summary());
    }

    /// Lets each client finish its last request; fails unless every request was answered.
    pub async fn stop(self) {
        let history = self.history.clone();
        self.wait().await;
        assert_eq!(history.entries().broken_connections, 0, "connections broke");
    }

    /// Kills the service under its clients; fails unless every request before was answered.
    pub async fn kill(self, process: Process) {
        assert_eq!(self.history.entries().broken_connections, 0, "connections broke");
        process.signal("-KILL");
        let history = self.history.clone();
        self.wait().await;
        history.entries().broken_connections = 0;
    }

    async fn wait(self) {
        self.stopped.store(true, Ordering::SeqCst);
        for client in self.clients {
            client.await.unwrap();
        }
    }
}

async fn write_until_stopped(history: WriteHistory, stopped: Arc<AtomicBool>, address: String, number: usize) {
    let Some(mut client) = Client::connect(&address).await else { return };
    let mut own: Option<String> = None;
    let mut again: Option<(String, Write)> = None;
    for turn in number.. {
        if stopped.load(Ordering::SeqCst) {
            return;
        }
        let (id, write) = again.take().unwrap_or_else(|| {
            let id = history.new_request_id();
            let write = match (turn % 3, &own) {
                (0, _) => Write::follow_up(&id, turn % 7 * 300),
                (1, Some(customer)) => Write::rename(customer, &id),
                _ => Write::customer(&id),
            };
            (id, write)
        });
        let Some(answer) = history.send(&mut client, &id, write.clone()).await else {
            match Client::connect(&address).await {
                Some(other) => client = other,
                None => return,
            }
            continue;
        };
        if answer.status == 201 && write.path == "/customers" {
            own = answer.body["customerId"].as_str().map(ToOwned::to_owned);
        }
        if answer.status == 503 {
            tokio::time::sleep(Duration::from_millis(20)).await;
            again = (turn % 2 == 0).then_some((id, write));
        }
    }
}
