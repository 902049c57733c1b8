//! A PostgreSQL server to be frozen, stopped and broken, and a PgBouncer in front of it.

use std::{
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection};
use tempfile::TempDir;

use super::{
    disk::{is_root, skipped},
    free_port,
    sql::scalar,
    time::within,
};

/// A server with data of its own.
pub struct PostgresServer {
    directory: TempDir,
    programs: PathBuf,
    port: u16,
    server: Option<Child>,
}

/// Where `initdb` and `postgres` are.
fn programs() -> Option<PathBuf> {
    let configured = Command::new("pg_config").arg("--bindir").output().ok();
    let configured = configured.map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let mut found: Vec<_> = versions.map(|version| version.unwrap().path().join("bin")).collect();
    found.sort();
    found.extend(configured);
    found.into_iter().rev().find(|programs| programs.join("initdb").exists() && programs.join("postgres").exists())
}

/// A command that does not run as root, which both servers refuse.
fn unprivileged(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]).arg(program);
    command
}

/// A directory that an unprivileged server may write to.
fn directory() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    if is_root() {
        let given = Command::new("chown").arg("postgres:postgres").arg(directory.path()).status().unwrap();
        assert!(given.success(), "there is no user postgres");
    }
    directory
}

impl PostgresServer {
    /// Creates and starts one; `None` where PostgreSQL is not installed.
    pub async fn start() -> Option<Self> {
        let Some(programs) = programs() else {
            skipped("PostgreSQL is not installed");
            return None;
        };
        let directory = directory();
        let made = unprivileged(&programs.join("initdb"))
            .args(["--auth=trust", "--username=postgres", "--no-sync", "--no-instructions", "--encoding=UTF8", "-D"])
            .arg(directory.path().join("data"))
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(made.success(), "initdb fails");
        let mut server = Self { directory, programs, port: free_port(), server: None };
        server.boot().await;
        Some(server)
    }

    /// Copies this server, and starts the copy as a standby that follows it under this name.
    pub async fn standby(&self, name: &str) -> Self {
        let directory = directory();
        let primary = format!("host=127.0.0.1 port={} user=postgres application_name={name}", self.port);
        let made = unprivileged(&self.programs.join("pg_basebackup"))
            .args([
                "--checkpoint=fast",
                "--wal-method=stream",
                "--write-recovery-conf",
                "--no-sync",
                "-d",
                &primary,
                "-D",
            ])
            .arg(directory.path().join("data"))
            .status()
            .unwrap();
        assert!(made.success(), "pg_basebackup fails");
        let mut standby = Self { directory, programs: self.programs.clone(), port: free_port(), server: None };
        standby.boot().await;
        standby
    }

    /// A standby stops replaying what it receives, or goes on.
    pub async fn pause_replay(&self, on: bool) {
        self.run(&[if on { "SELECT pg_wal_replay_pause()" } else { "SELECT pg_wal_replay_resume()" }]).await;
        let state = "SELECT pg_get_wal_replay_pause_state()";
        within(10, "replay stops or goes on", async || {
            let session = self.session().await;
            let shown: String = scalar(&session, state).await;
            session.close().await.unwrap();
            shown == if on { "paused" } else { "not paused" }
        })
        .await;
    }

    /// A standby becomes a primary.
    pub async fn promote(&self) {
        self.run(&["SELECT pg_promote()"]).await;
    }

    /// Ends all its processes at once, as a loss of power does.
    pub fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            let mut all = children(server.id());
            all.push(server.id());
            signal("-KILL", &all);
            server.wait().unwrap();
        }
    }

    /// Starts the server and waits until it accepts connections.
    pub async fn boot(&mut self) {
        let log = std::fs::File::create(self.directory.path().join("log")).unwrap();
        let server = unprivileged(&self.programs.join("postgres"))
            .arg("-D")
            .arg(self.directory.path().join("data"))
            .args(["-c", "listen_addresses=127.0.0.1", "-c", "shared_buffers=16MB", "-c", "max_connections=100"])
            .args(["-c", "fsync=on", "-c", &format!("port={}", self.port)])
            .args(["-c", &format!("unix_socket_directories={}", self.directory.path().display())])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.server = Some(server);
        within(60, "PostgreSQL accepts connections", async || self.try_connect().await.is_some()).await;
    }

    /// Stops it as `pg_ctl stop` does: it closes connections and rolls back their transactions.
    pub fn shut_down(&mut self) {
        if let Some(mut server) = self.server.take() {
            signal("-INT", &[server.id()]);
            server.wait().unwrap();
        }
    }

    fn pid(&self) -> u32 {
        self.server.as_ref().unwrap().id()
    }

    /// Suspends all its processes: it neither answers nor closes connections.
    pub fn freeze(&self) {
        signal("-STOP", &[self.pid()]);
        signal("-STOP", &children(self.pid()));
    }

    pub fn thaw(&self) {
        signal("-CONT", &children(self.pid()));
        signal("-CONT", &[self.pid()]);
    }

    /// `host:port`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn url(&self) -> String {
        self.url_through(self.port)
    }

    /// The URL of a proxy in front of it.
    pub fn url_through(&self, port: u16) -> String {
        url_as("postgres", port)
    }

    /// The URL for another role.
    pub fn url_as(&self, role: &str) -> String {
        url_as(role, self.port)
    }

    async fn try_connect(&self) -> Option<DatabaseConnection> {
        let mut options = ConnectOptions::new(self.url());
        options.max_connections(1).idle_timeout(None).max_lifetime(None).sqlx_logging(false);
        options.connect_timeout(Duration::from_secs(5)).acquire_timeout(Duration::from_secs(5));
        Database::connect(options).await.ok()
    }

    pub async fn session(&self) -> DatabaseConnection {
        self.try_connect().await.expect("PostgreSQL accepts a connection")
    }

    /// A session whose transaction stays open after this statement, with the locks it took.
    pub async fn hold(&self, statement: &str) -> DatabaseConnection {
        let session = self.session().await;
        session.execute_unprepared("BEGIN").await.unwrap();
        session.execute_unprepared(statement).await.unwrap();
        session
    }

    /// Runs statements, each in a transaction of its own.
    pub async fn run(&self, statements: &[&str]) {
        let session = self.session().await;
        for statement in statements {
            session.execute_unprepared(statement).await.unwrap();
        }
        session.close().await.unwrap();
    }

    /// Makes new transactions read-only, or no longer: also those of present sessions.
    pub async fn read_only(&self, on: bool) {
        let setting = if on { "on" } else { "off" };
        // A read-only transaction could not run it.
        let alter = format!("ALTER SYSTEM SET default_transaction_read_only = {setting}");
        self.run(&["SET default_transaction_read_only = off", &alter, "SELECT pg_reload_conf()"]).await;
        within(10, "the setting is in effect", async || {
            let session = self.session().await;
            let shown: bool = scalar(&session, "SELECT current_setting('transaction_read_only') = 'on'").await;
            session.close().await.unwrap();
            shown == on
        })
        .await;
    }

    /// Terminates all other sessions, as an administrator can.
    pub async fn terminate_all(&self) {
        let session = self.session().await;
        let others = "pid <> pg_backend_pid() AND backend_type = 'client backend'";
        let pids = format!("CREATE TEMP TABLE others AS SELECT pid FROM pg_stat_activity WHERE {others}");
        session.execute_unprepared(&pids).await.unwrap();
        assert!(scalar::<i64>(&session, "SELECT COUNT(*) FROM others").await > 0, "nobody is connected");
        session.execute_unprepared("SELECT pg_terminate_backend(pid) FROM others").await.unwrap();
        let left = "SELECT COUNT(*) FROM pg_stat_activity JOIN others USING (pid)";
        within(10, "the sessions end", async || scalar::<i64>(&session, left).await == 0).await;
        session.close().await.unwrap();
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            let mut all = children(server.id());
            all.push(server.id());
            signal("-CONT", &all);
            signal("-QUIT", &[server.id()]);
            let _reaped = server.wait();
        }
    }
}

/// The URL of what listens on this port, for a role.
pub fn url_as(role: &str, port: u16) -> String {
    format!("postgres://{role}@127.0.0.1:{port}/postgres")
}

/// Sends a signal to those of the processes that still run.
fn signal(signal: &str, pids: &[u32]) {
    let pids = pids.iter().map(ToString::to_string);
    let _gone = Command::new("kill").arg(signal).args(pids).stderr(Stdio::null()).status().unwrap();
}

fn children(parent: u32) -> Vec<u32> {
    let mut children = Vec::new();
    for process in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(stat) = std::fs::read_to_string(process.path().join("stat")) else { continue };
        // `pid (name) state ppid …`: the name may contain spaces and parentheses.
        let its_parent = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse::<u32>().ok());
        if its_parent == Some(parent) {
            children.extend(process.file_name().to_string_lossy().parse::<u32>());
        }
    }
    children
}

/// A connection pooler in front of a server.
pub struct PgBouncer {
    _directory: TempDir,
    process: Child,
    port: u16,
}

impl PgBouncer {
    /// Starts one that lends each session (`session`) or each transaction (`transaction`) one of few connections;
    /// `None` where PgBouncer is not installed.
    pub async fn start(server: &PostgresServer, mode: &str) -> Option<Self> {
        let program = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"].map(Path::new).into_iter().find(|p| p.exists());
        let Some(program) = program else {
            skipped("PgBouncer is not installed");
            return None;
        };
        let (directory, port) = (directory(), free_port());
        let settings = directory.path().join("pgbouncer.ini");
        let text = format!(
            "[databases]\npostgres = host=127.0.0.1 port={} user=postgres\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n\
             pool_mode = {mode}\ndefault_pool_size = 5\nmax_client_conn = 200\n",
            server.port
        );
        std::fs::write(&settings, text).unwrap();
        let process =
            unprivileged(program).arg("-q").arg(&settings).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let bouncer = Self { _directory: directory, process, port };
        within(30, "PgBouncer listens", async || TcpStream::connect(("127.0.0.1", port)).is_ok()).await;
        Some(bouncer)
    }

    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let _ended = self.process.kill();
        let _reaped = self.process.wait();
    }
}
