//! Under a service manager such as systemd: a socket that stays open over restarts, and what the manager is told.

use std::{
    net::{SocketAddr, TcpListener},
    os::unix::net::UnixDatagram,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::net::TcpStream;

use super::restarts::{Instance, Outcome, WORKERS};
use crate::harness::{AMPLE, Process, TestDatabase, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restarts_on_a_socket_that_stays_open_refuse_no_connection() {
    let database = Arc::new(TestDatabase::new().await);
    let socket = Arc::new(TcpListener::bind("127.0.0.1:0").unwrap());
    let address = socket.local_addr().unwrap();
    let start = async || {
        let (database, socket) = (Arc::clone(&database), Arc::clone(&socket));
        tokio::task::spawn_blocking(move || Process::handed_over(&socket, &database, &[])).await.unwrap()
    };
    let mut process = start().await;
    // It serves there, and not at the port that it is configured for.
    assert_eq!(process.address.parse(), Ok::<SocketAddr, _>(address));
    let instance = || Instance { port: address.port(), healthy: AtomicBool::new(true) };
    let (instances, outcome) = (Arc::new([instance(), instance()]), Arc::new(Outcome::default()));
    let workers: Vec<_> =
        (0..WORKERS).map(|worker| tokio::spawn(Arc::clone(&outcome).send(worker, Arc::clone(&instances)))).collect();
    for _ in 0..5 {
        let before = outcome.answered.load(Ordering::SeqCst);
        within(60, "requests", async || outcome.answered.load(Ordering::SeqCst) >= before + 100).await;
        assert_eq!(process.stop().await, Some(0));
        // Nobody accepts it now.
        let waiting = TcpStream::connect(address).await.unwrap();
        process = start().await;
        drop(waiting);
    }
    let before = outcome.answered.load(Ordering::SeqCst);
    within(60, "requests", async || outcome.answered.load(Ordering::SeqCst) >= before + 100).await;
    outcome.stop.store(true, Ordering::SeqCst);
    for worker in workers {
        worker.await.unwrap();
    }
    let failures = outcome.failures.lock().unwrap();
    assert!(failures.is_empty(), "{} failed: {:#?}", failures.len(), &failures[..failures.len().min(20)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_manager_is_told_that_the_service_is_ready_alive_and_stopping() {
    let (database, directory) = (TestDatabase::new().await, tempfile::tempdir().unwrap());
    let path = directory.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(AMPLE)).unwrap();
    let variables = [("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "100000")];
    let process = Process::with("serve", "serving", &database, &variables);
    let next = || {
        let mut buffer = [0; 256];
        let length = manager.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    };
    let next_but = |known: &str| std::iter::repeat_with(next).find(|message| message != known).unwrap();
    // Patience, while a start may have much to migrate.
    assert_eq!(next(), "EXTEND_TIMEOUT_USEC=60000000\n");
    assert_eq!(next_but("EXTEND_TIMEOUT_USEC=60000000\n"), "READY=1\n");
    assert_eq!(next(), "WATCHDOG=1\n");
    assert_eq!(next(), "WATCHDOG=1\n");
    process.signal("-TERM");
    assert_eq!(next_but("WATCHDOG=1\n"), "STOPPING=1\n");
    assert_eq!(process.stop().await, Some(0));
}

#[tokio::test]
async fn what_is_handed_over_must_be_a_tcp_listener() {
    let database = TestDatabase::new().await;
    let directory = tempfile::tempdir().unwrap();
    let other = std::os::unix::net::UnixListener::bind(directory.path().join("other")).unwrap();
    let log = Process::try_handed_over(other.into(), &database, &[]).err().unwrap();
    assert!(log.contains("not the socket of a TCP listener"), "{log}");
}
