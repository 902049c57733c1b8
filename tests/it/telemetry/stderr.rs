//! Standard error that cannot be written, or that nobody reads.

use std::{
    fs::OpenOptions,
    io::{self, BufRead, Read, Write},
    net::{TcpListener, TcpStream},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::harness::{PII_KEYS, Process, SERVER, TestDatabase, command, free_port, metrics::Scrape, run_crm, signal};

/// What takes longer is blocked by its log.
const LIMIT: Duration = Duration::from_secs(10);

/// `crm serve` at this port and log level.
fn serve(database: &TestDatabase, port: u16, level: &str) -> Command {
    let mut command = command(&["serve"], &SERVER);
    command.env("CRM_PII_KEYS", PII_KEYS).env("CRM_LOG", level);
    command.env("CRM_DATABASE_URL", database.url()).env("CRM_PORT", port.to_string());
    command
}

#[tokio::test]
async fn an_unwritable_log_is_dropped_and_requests_are_served() {
    let database = TestDatabase::new().await;
    let port = free_port();
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut child = serve(&database, port, "trace").stderr(full).spawn().unwrap();
    let mut answered = 0;
    while answered < 3 {
        assert_eq!(child.try_wait().unwrap(), None, "it died");
        if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) {
            stream.write_all(b"GET /customers HTTP/1.1\r\nHost: crm\r\nConnection: close\r\n\r\n").unwrap();
            let mut reply = String::new();
            stream.read_to_string(&mut reply).unwrap();
            assert!(reply.starts_with("HTTP/1.1 401 "), "{reply}");
            answered += 1;
        } else {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    signal("-TERM", child.id());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// A service whose standard error is a pipe that only the test may read.
fn unread(database: &TestDatabase, port: u16) -> Process {
    let child = serve(database, port, "info").stderr(Stdio::piped()).spawn().unwrap();
    Process { child, address: String::new(), private: String::new() }
}

/// Sends requests on one connection; fails unless each is answered in time.
fn send_requests(port: u16, requests: usize) {
    const PIPELINED: usize = 50;
    let mut stream = loop {
        match TcpStream::connect(("127.0.0.1", port)) {
            Ok(stream) => break stream,
            Err(_) => thread::sleep(Duration::from_millis(10)),
        }
    };
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let mut replies = io::BufReader::new(stream.try_clone().unwrap());
    for _ in 0..requests / PIPELINED {
        stream.write_all("GET /nowhere HTTP/1.1\r\nHost: crm\r\n\r\n".repeat(PIPELINED).as_bytes()).unwrap();
        for _ in 0..PIPELINED {
            let (mut length, mut line) = (0, String::new());
            while line != "\r\n" {
                line.clear();
                assert!(replies.read_line(&mut line).unwrap() > 0, "the connection was closed");
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length: ") {
                    length = value.trim().parse().unwrap();
                }
            }
            replies.read_exact(&mut vec![0; length]).unwrap();
        }
    }
}

/// Stops it, and returns its exit code.
async fn stop(process: Process) -> Option<i32> {
    tokio::time::timeout(LIMIT, process.stop()).await.expect("it does not stop")
}

#[tokio::test]
async fn an_unread_log_blocks_neither_requests_nor_shutdown() {
    let database = TestDatabase::new().await;
    let port = free_port();
    let process = unread(&database, port);
    send_requests(port, 2000);
    assert_eq!(stop(process).await, Some(0));
}

#[tokio::test]
async fn log_lines_that_do_not_fit_are_counted_and_the_rest_is_in_order() {
    const REQUESTS: usize = 10_000;
    let database = TestDatabase::new().await;
    let port = free_port();
    let private = format!("127.0.0.1:{}", free_port());
    let child =
        serve(&database, port, "info").env("CRM_METRICS_ADDR", &private).stderr(Stdio::piped()).spawn().unwrap();
    let mut process = Process { child, address: String::new(), private };
    send_requests(port, REQUESTS);
    let counted = Scrape::from(&process.private).await.unwrap().sum("crm_log_lines_dropped_total", &[]);
    let mut log = io::BufReader::new(process.child.stderr.take().unwrap());
    let (mut text, mut dropped) = (String::new(), None);
    while dropped.is_none() {
        assert!(log.read_line(&mut text).unwrap() > 0, "the number of dropped lines is not logged");
        let line: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        if line["message"].as_str().unwrap().starts_with("lines of the log were dropped") {
            dropped = line["lines"].as_u64();
        }
    }
    assert_eq!(dropped, Some(counted as u64));
    assert_eq!(stop(process).await, Some(0));
    log.read_to_string(&mut text).unwrap();
    let answered = text.lines().filter(|line| line.contains("\"answered\"")).count();
    assert_eq!(answered + usize::try_from(dropped.unwrap()).unwrap(), REQUESTS);
    assert!(text.lines().last().unwrap().contains("\"stopped\""), "{}", text.lines().last().unwrap());
}

#[test]
fn log_lines_before_a_startup_error_are_written_before_it() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let (directory, port) = (tempfile::tempdir().unwrap(), other.local_addr().unwrap().port().to_string());
    let data = directory.path().to_str().unwrap();
    for _ in 0..20 {
        let variables = [("CRM_PORT", port.as_str()), ("CRM_DATA_DIR", data), ("CRM_METRICS_ADDR", "off")];
        let output = run_crm(&["serve"], &variables);
        let lines: Vec<_> = output.stderr.lines().collect();
        assert_eq!((output.code, lines.len()), (Some(1), 2), "{output:?}");
        assert!(
            lines[0].contains("development secret") && output.error().starts_with("cannot listen on "),
            "{output:?}"
        );
    }
}

#[test]
fn an_unread_error_does_not_keep_the_process_alive() {
    let (_unread, mut full) = io::pipe().unwrap();
    // The capacity of a pipe: the next byte blocks.
    full.write_all(&vec![b'x'; 65_536]).unwrap();
    for arguments in [&["serve"][..], &["audit", "verify"]] {
        let mut child = command(arguments, &[("CRM_PORT", "none")]).stderr(full.try_clone().unwrap()).spawn().unwrap();
        let start = Instant::now();
        while child.try_wait().unwrap().is_none() {
            assert!(start.elapsed() < LIMIT, "it does not end");
            thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(child.wait().unwrap().code(), Some(1));
    }
}

/// The log of a start that fails, as text on a terminal of its own; `script` (util-linux) makes one.
fn on_a_terminal(variables: &[(&str, &str)]) -> String {
    let data = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let crm = format!("{} serve", env!("CARGO_BIN_EXE_crm"));
    let own = [
        ("CRM_LOG_FORMAT", "text"),
        ("CRM_PORT", port.as_str()),
        ("CRM_DATA_DIR", data.path().to_str().unwrap()),
        ("PATH", "/usr/bin:/bin"),
    ];
    let mut terminal = Command::new("/usr/bin/script");
    terminal.args(["-qec", &crm, "/dev/null"]).env_clear().envs(own).envs(variables.iter().copied());
    String::from_utf8(terminal.stdin(Stdio::null()).output().unwrap().stdout).unwrap()
}

#[test]
fn text_on_a_terminal_is_in_colour_unless_no_color_is_set() {
    let (coloured, plain) = (on_a_terminal(&[]), on_a_terminal(&[("NO_COLOR", "1")]));
    assert!(coloured.contains("\u{1b}[33m WARN") && coloured.contains("cannot listen on"), "{coloured:?}");
    assert!(plain.contains(" WARN crm::") && !plain.contains('\u{1b}'), "{plain:?}");
}

#[test]
fn what_ends_the_process_is_told_in_the_format_of_the_log() {
    let wrong =
        |arguments: &[&str], format: &[(&str, &str)]| run_crm(arguments, &[&[("CRM_PORT", "x")], format].concat());
    let json = [("CRM_LOG_FORMAT", "json")];
    // The service logs JSON unless it is told otherwise; other commands are run by people.
    for (arguments, format) in [(["serve"], &[][..]), (["relay"], &[]), (["token"], &json), (["healthcheck"], &json)] {
        let output = wrong(&arguments, format);
        let lines = output.log();
        assert_eq!((output.code, lines.len(), output.stderr.lines().count()), (Some(1), 1, 1), "{output:?}");
        assert_eq!((&lines[0]["level"], &lines[0]["target"]), (&"ERROR".into(), &"crm::cli".into()), "{output:?}");
        assert!(lines[0]["cause"].as_str().unwrap().contains("\n  CRM_PORT: must be a port"), "{output:?}");
    }
    for (arguments, format) in [(["serve"], &[("CRM_LOG_FORMAT", "text")][..]), (["token"], &[])] {
        let output = wrong(&arguments, format);
        assert!(output.stderr.starts_with("crm: the environment is not valid:\n  CRM_PORT: "), "{output:?}");
    }
    // Whatever else is filtered out.
    let silenced = wrong(&["serve"], &[("CRM_LOG", "off")]);
    assert_eq!(silenced.log().len(), 1, "{silenced:?}");
}

/// Colours are for terminals.
#[test]
fn text_that_goes_into_a_file_has_no_escape_sequences() {
    let data = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let directory = data.path().to_str().unwrap();
    let variables = [("CRM_LOG_FORMAT", "text"), ("CRM_PORT", port.as_str()), ("CRM_DATA_DIR", directory)];
    let output = run_crm(&["serve"], &variables);
    assert!(output.stderr.contains(" WARN crm::"), "{output:?}");
    assert!(!output.stderr.contains('\u{1b}'), "{output:?}");
}
