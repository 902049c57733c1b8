//! What clients were told about their writes, and many clients that write at once.

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

/// A write, as it is sent and sent again. What it makes or changes begins with its request id.
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

    /// A follow-up of about so many characters.
    pub fn follow_up(request_id: &str, length: usize) -> Self {
        let content = format!("{request_id} {}", "x".repeat(length));
        Self { method: "POST", path: "/follow-ups".to_owned(), body: json!({ "content": content }) }
    }

    pub fn rename(customer: &str, request_id: &str) -> Self {
        Self { method: "PATCH", path: format!("/customers/{customer}"), body: json!({ "name": request_id }) }
    }
}

/// What clients were told, by the ids of their requests.
#[derive(Debug, Clone, Default)]
pub struct Told(Arc<Mutex<Noted>>);

#[derive(Debug, Default)]
pub struct Noted {
    numbers: usize,
    /// What was acknowledged, with the path of the resource.
    pub acknowledged: HashMap<String, (Write, String)>,
    /// What was refused or not answered: it may have been done or not.
    pub open: HashMap<String, Write>,
    /// How many answers had which status.
    pub statuses: BTreeMap<u16, usize>,
    /// How many requests were not answered, because the connection broke.
    pub broken: usize,
    pub slowest: Duration,
}

impl Told {
    pub fn noted(&self) -> MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// How many writes were acknowledged.
    pub fn acknowledged(&self) -> usize {
        self.noted().acknowledged.len()
    }

    /// How many answers had this status since the last [`Told::forget_statuses`].
    pub fn count(&self, status: u16) -> usize {
        self.noted().statuses.get(&status).copied().unwrap_or_default()
    }

    /// What was answered since then, in words.
    pub fn summary(&self) -> String {
        let Noted { acknowledged, open, statuses, slowest, .. } = &*self.noted();
        let (acknowledged, open) = (acknowledged.len(), open.len());
        format!("{acknowledged} acknowledged, {open} open; lately {statuses:?}, the slowest after {slowest:?}")
    }

    /// Begins to count anew.
    pub fn forget_statuses(&self) {
        let mut noted = self.noted();
        noted.statuses.clear();
        noted.slowest = Duration::ZERO;
    }

    pub fn new_id(&self) -> String {
        let mut noted = self.noted();
        noted.numbers += 1;
        format!("w-{}", noted.numbers)
    }

    /// Sends a write and notes what becomes of it; `None` where the connection broke.
    pub async fn send(&self, client: &mut Client, request_id: &str, write: Write) -> Option<Answer> {
        let was_open = self.noted().open.insert(request_id.to_owned(), write.clone()).is_some();
        let answer = client.ask(write.method, &write.path, request_id, &write.body).await;
        let Some(answer) = answer else {
            self.noted().broken += 1;
            return None;
        };
        let mut noted = self.noted();
        noted.slowest = noted.slowest.max(answer.took);
        *noted.statuses.entry(answer.status).or_default() += 1;
        drop(noted);
        let answer = answer.promised();
        let resource = match answer.status {
            201 => path(&answer),
            200 => write.path.clone(),
            // The first one was done although its answer said 503, or never came.
            409 if was_open => path(&answer),
            503 => return Some(answer),
            other => panic!("{} {} is answered {other} {}", write.method, write.path, answer.body),
        };
        let mut noted = self.noted();
        noted.open.remove(request_id);
        noted.acknowledged.insert(request_id.to_owned(), (write, resource));
        drop(noted);
        Some(answer)
    }

    /// The status of one more customer, or follow-up of so many characters.
    pub async fn write(&self, client: &mut Client, length: usize) -> u16 {
        let id = self.new_id();
        let write = if length == 0 { Write::customer(&id) } else { Write::follow_up(&id, length) };
        self.send(client, &id, write).await.expect("the connection broke").status
    }
}

/// The path in `Location`, without the gateway's prefix.
fn path(answer: &Answer) -> String {
    let location = answer.headers["Location"].to_str().unwrap();
    location.strip_prefix("/api/v1/crm").unwrap_or(location).to_owned()
}

/// Clients that write for as long as it is wanted: customers, follow-ups and new names of their own customers. Half of what
/// is answered 503 is sent again under its id.
pub struct Load {
    told: Told,
    ended: Arc<AtomicBool>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    pub fn start(process: &Process, told: &Told, clients: usize) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let clients = (0..clients).map(|number| {
            let (told, ended, address) = (told.clone(), Arc::clone(&ended), process.address.clone());
            tokio::spawn(write_until(told, ended, address, number))
        });
        let clients = clients.collect();
        Self { told: told.clone(), ended, clients }
    }

    /// Waits until so many more writes are acknowledged.
    pub async fn until_acknowledged(&self, more: usize) {
        let enough = self.told.acknowledged() + more;
        for _ in 0..12_000 {
            if self.told.acknowledged() >= enough {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("too little is written: {}", self.told.summary());
    }

    /// Lets each client finish its last request, and fails unless every one of them was answered.
    pub async fn end(self) {
        let told = self.told.clone();
        self.wait().await;
        assert_eq!(told.noted().broken, 0, "connections broke");
    }

    /// Kills the service under its clients; until then every request was answered.
    pub async fn kill(self, process: Process) {
        assert_eq!(self.told.noted().broken, 0, "connections broke");
        process.signal("-KILL");
        let told = self.told.clone();
        self.wait().await;
        told.noted().broken = 0;
    }

    async fn wait(self) {
        self.ended.store(true, Ordering::SeqCst);
        for client in self.clients {
            client.await.unwrap();
        }
    }
}

async fn write_until(told: Told, ended: Arc<AtomicBool>, address: String, number: usize) {
    let Some(mut client) = Client::connect(&address).await else { return };
    let mut own: Option<String> = None;
    let mut again: Option<(String, Write)> = None;
    for turn in number.. {
        if ended.load(Ordering::SeqCst) {
            return;
        }
        let (id, write) = again.take().unwrap_or_else(|| {
            let id = told.new_id();
            let write = match (turn % 3, &own) {
                (0, _) => Write::follow_up(&id, turn % 7 * 300),
                (1, Some(customer)) => Write::rename(customer, &id),
                _ => Write::customer(&id),
            };
            (id, write)
        });
        let Some(answer) = told.send(&mut client, &id, write.clone()).await else {
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

/// Waits until it is so, and fails where it is not after so many seconds.
pub async fn within(seconds: u64, what: &str, mut so: impl AsyncFnMut() -> bool) {
    let begun = tokio::time::Instant::now();
    while !so().await {
        assert!(begun.elapsed() < Duration::from_secs(seconds), "{what}: not within {seconds} s");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
