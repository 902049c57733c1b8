//! An upgrade with everything at once, under load: the release before and this one, two instances behind nginx on PostgreSQL, the
//! schema migrated, the keys of tokens and those of personal data changed. Run by `make upgrade`.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rcgen::KeyPair;
use serde_json::json;
use tokio::task::JoinHandle;

use super::upgrades::previous_release;
use crate::harness::{Client, FAR_FUTURE, PII_KEYS, Process, TestDatabase, free_port, on_postgres, run_crm, within};

/// A second key for personal data.
const NEW_PII_KEY: &str = "new:QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY=";
/// How many requests are sent at once.
const CLIENTS: usize = 6;

/// nginx in front of two instances: a request that could not be sent to one of them is sent to the other. It ends its clients'
/// connections with each reply, so that none is idle when it reads its configuration anew.
struct Nginx {
    process: Child,
    port: u16,
    directory: PathBuf,
}

impl Nginx {
    fn start(directory: &Path, instances: &[u16]) -> Self {
        let (port, directory) = (free_port(), directory.to_owned());
        let file = directory.join("nginx.conf");
        fs::write(&file, Self::configuration(&directory, port, instances)).unwrap();
        let process = Command::new("nginx").arg("-c").arg(&file).arg("-e").arg("stderr").spawn();
        Self { process: process.expect("nginx is missing: apt-get install nginx"), port, directory }
    }

    fn configuration(directory: &Path, port: u16, instances: &[u16]) -> String {
        let mut servers = String::new();
        for instance in instances {
            let _infallible = write!(servers, "server 127.0.0.1:{instance} max_fails=0; ");
        }
        format!(
            "pid {own}/nginx.pid; error_log {own}/nginx.log error; daemon off; worker_processes 1;
             events {{ worker_connections 256; }}
             http {{ access_log off; client_body_temp_path {own}/body; proxy_temp_path {own}/proxy; fastcgi_temp_path {own}/f;
               uwsgi_temp_path {own}/u; scgi_temp_path {own}/s; keepalive_timeout 0;
               upstream crm {{ {servers} keepalive 16; }}
               server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://crm; proxy_http_version 1.1;
                 proxy_set_header Connection \"\"; }} }} }}",
            own = directory.display(),
        )
    }

    /// Passes requests on to these instances alone from now on.
    fn pass_to(&self, instances: &[u16]) {
        fs::write(self.directory.join("nginx.conf"), Self::configuration(&self.directory, self.port, instances))
            .unwrap();
        let told = Command::new("kill").args(["-HUP", &self.process.id().to_string()]).status().unwrap();
        assert!(told.success());
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// What it told of instances that did not answer.
    fn told(&self) -> String {
        fs::read_to_string(self.directory.join("nginx.log")).unwrap_or_default()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ended = Command::new("kill").arg(self.process.id().to_string()).status();
        let _reaped = self.process.wait();
    }
}

/// A key for tokens, in the form of PEM.
struct TokenKey {
    private: EncodingKey,
    public: String,
}

impl TokenKey {
    fn new() -> Self {
        let pair = KeyPair::generate().unwrap();
        let private = EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap();
        Self { private, public: pair.public_key_pem() }
    }

    fn token(&self) -> String {
        let claims = json!({ "exp": FAR_FUTURE, "scope": "crm:read crm:write crm:pii:read" });
        encode(&Header::new(Algorithm::ES256), &claims, &self.private).unwrap()
    }
}

/// What the load came to.
struct Outcome {
    token: Mutex<String>,
    answered: AtomicUsize,
    failures: Mutex<Vec<String>>,
    stopped: AtomicBool,
}

/// Creates, changes and reads customers until it is stopped; none of it is sent twice.
async fn send(outcome: Arc<Outcome>, address: String, number: usize) {
    let mut created = 0;
    while !outcome.stopped.load(Ordering::SeqCst) {
        let token = outcome.token.lock().unwrap().clone();
        let client = async || Client::connect(&address).await.unwrap().with_token(&token);
        created += 1;
        let (label, phone) = (format!("w{number}-{created}"), format!("138{:08}", number * 1_000_000 + created));
        let body = json!({ "name": label, "contactPhone": phone });
        let check = |what: &str, expected: u16, answer: Option<(u16, serde_json::Value)>| {
            outcome.answered.fetch_add(1, Ordering::SeqCst);
            match answer {
                Some((status, body)) if status == expected => Some(body),
                other => {
                    outcome.failures.lock().unwrap().push(format!("{what} {label}: {other:?}"));
                    None
                }
            }
        };
        let answer = client().await.send("POST", "/customers", &label, body).await;
        let Some(customer) = check("POST", 201, answer) else { continue };
        let path = format!("/customers/{}", customer["customerId"].as_str().unwrap());
        let answer = client().await.send("PATCH", &path, &format!("{label}-patch"), json!({ "name": "changed" })).await;
        check("PATCH", 200, answer);
        let answer = client().await.send("GET", &path, &format!("{label}-get"), serde_json::Value::Null).await;
        let Some(read) = check("GET", 200, answer) else { continue };
        if read["contactPhone"] != json!(phone) {
            outcome.failures.lock().unwrap().push(format!("{label}: {read}"));
        }
        let answer = client()
            .await
            .send("GET", "/customers?pageSize=3", &format!("{label}-list"), serde_json::Value::Null)
            .await;
        check("LIST", 200, answer);
    }
}

/// The two instances.
struct Fleet {
    url: String,
    ports: [u16; 2],
    instances: Vec<Option<Process>>,
    outcome: Arc<Outcome>,
    nginx: Option<Nginx>,
    /// Whether they are of the previous release: when that ends, it resets connections that wait in the kernel, so it is taken
    /// out of the gateway before.
    are_previous: bool,
}

impl Fleet {
    /// Ends each instance and starts it as this release with this configuration, one after the other.
    async fn roll(&mut self, program: Option<&str>, key_file: &Path, pii_keys: &str) {
        for number in 0..2 {
            let out_of = self.nginx.as_ref().filter(|_| self.are_previous);
            if let Some(nginx) = out_of {
                nginx.pass_to(&[self.ports[1 - number]]);
                self.more_requests().await;
            }
            if let Some(process) = self.instances[number].take() {
                assert_eq!(process.stop().await, Some(0));
            }
            let (url, port, started) =
                (self.url.clone(), self.ports[number].to_string(), program.map(ToOwned::to_owned));
            let (key_file, pii_keys) = (key_file.display().to_string(), pii_keys.to_owned());
            let start = move || {
                let variables = [
                    ("CRM_PORT", port.as_str()),
                    ("CRM_LAME_DUCK", "1s"),
                    ("CRM_MIGRATE", "check"),
                    ("CRM_JWT_SECRET", ""),
                    ("CRM_JWT_PUBLIC_KEY_FILE", &key_file),
                    ("CRM_PII_KEYS", &pii_keys),
                ];
                match started {
                    Some(program) => Process::of_release_with(&program, &url, &variables),
                    None => Process::at(&url, &variables),
                }
            };
            self.instances[number] = Some(tokio::task::spawn_blocking(start).await.unwrap());
            if let Some(nginx) = out_of {
                nginx.pass_to(&self.ports);
            }
            self.more_requests().await;
        }
        self.are_previous = program.is_some();
    }

    /// Waits for some more requests.
    async fn more_requests(&self) {
        let before = self.outcome.answered.load(Ordering::SeqCst);
        let is_idle = self.outcome.token.lock().unwrap().is_empty();
        within(60, "requests", async || is_idle || self.outcome.answered.load(Ordering::SeqCst) >= before + 100).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the previous release and nginx: run `make upgrade`"]
async fn an_upgrade_with_new_keys_under_load_fails_no_request() {
    if !on_postgres() {
        return;
    }
    let (previous, database, directory) = (previous_release(), TestDatabase::new().await, tempfile::tempdir().unwrap());
    let url = database.url();
    let keys = [TokenKey::new(), TokenKey::new()];
    let [old_key, both_keys, new_key] =
        ["old", "both", "new"].map(|name| directory.path().join(name).with_extension("pem"));
    fs::write(&old_key, &keys[0].public).unwrap();
    fs::write(&both_keys, format!("{}{}", keys[0].public, keys[1].public)).unwrap();
    fs::write(&new_key, &keys[1].public).unwrap();
    let variables = [("CRM_DATABASE_URL", url.as_str()), ("CRM_PII_KEYS", PII_KEYS)];
    let migrated = crate::harness::run(&previous, &["migrate", "up"], &variables);
    assert_eq!(migrated.code, Some(0), "{migrated:?}");

    let ports = [free_port(), free_port()];
    let outcome = Arc::new(Outcome {
        token: Mutex::default(),
        answered: AtomicUsize::default(),
        failures: Mutex::default(),
        stopped: AtomicBool::default(),
    });
    let (url_of_all, load) = (url.clone(), Arc::clone(&outcome));
    let mut fleet =
        Fleet { url: url_of_all, ports, instances: vec![None, None], outcome: load, nginx: None, are_previous: false };
    fleet.roll(Some(&previous), &old_key, PII_KEYS).await;
    let nginx = Nginx::start(directory.path(), &ports);
    let address = nginx.address();
    within(30, "nginx listens", async || Client::connect(&address).await.is_some()).await;
    fleet.nginx = Some(nginx);
    *outcome.token.lock().unwrap() = keys[0].token();
    let clients: Vec<JoinHandle<()>> =
        (0..CLIENTS).map(|number| tokio::spawn(send(Arc::clone(&outcome), address.clone(), number))).collect();
    fleet.more_requests().await;

    // The schema first; then the release, which also opens with the new key for personal data and takes tokens of both keys.
    let migrated = run_crm(&["migrate", "up"], &variables);
    assert_eq!(migrated.code, Some(0), "{migrated:?}");
    fleet.more_requests().await;
    fleet.roll(None, &both_keys, &format!("{PII_KEYS},{NEW_PII_KEY}")).await;
    *outcome.token.lock().unwrap() = keys[1].token();
    fleet.more_requests().await;
    // It seals with the new key, and takes no tokens of the old one.
    let new_first = format!("{NEW_PII_KEY},{PII_KEYS}");
    fleet.roll(None, &new_key, &new_first).await;
    let rotated = tokio::task::spawn_blocking(move || {
        run_crm(&["keys", "rotate"], &[("CRM_DATABASE_URL", &url), ("CRM_PII_KEYS", &new_first)])
    });
    let rotated = rotated.await.unwrap();
    assert_eq!(rotated.code, Some(0), "{rotated:?}");
    fleet.roll(None, &new_key, NEW_PII_KEY).await;

    outcome.stopped.store(true, Ordering::SeqCst);
    for client in clients {
        client.await.unwrap();
    }
    let (answered, failures) = (outcome.answered.load(Ordering::SeqCst), outcome.failures.lock().unwrap());
    let some = &failures[..failures.len().min(20)];
    assert!(failures.is_empty(), "{} of {answered} failed: {some:#?}\n{}", failures.len(), fleet.nginx.unwrap().told());
    assert!(answered > 1000, "only {answered} requests");
}
