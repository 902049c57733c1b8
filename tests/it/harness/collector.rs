//! A stand-in for a collector of traces: it takes OTLP over HTTP and decodes it, or fails as it is told.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, KeyValue, any_value},
    trace::v1::{Span, span::SpanKind, status::StatusCode},
};
use prost::Message;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use super::within;

/// A span that arrived.
#[derive(Debug, Clone)]
pub struct Arrived {
    pub name: String,
    pub kind: SpanKind,
    pub trace: String,
    pub id: String,
    /// Empty where it has none.
    pub parent: String,
    pub attributes: BTreeMap<String, Value>,
    pub failed: bool,
    /// In nanoseconds since 1970.
    pub begin: u64,
    pub end: u64,
    /// What was said of the service.
    pub resource: BTreeMap<String, Value>,
}

/// How it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Taken,
    /// With this status line.
    Status(&'static str),
    Never,
}

/// The stand-in, until it is dropped.
pub struct Collector {
    address: String,
    state: Arc<State>,
    running: JoinHandle<()>,
}

struct State {
    answer: Mutex<Answer>,
    connections: AtomicUsize,
    heads: Mutex<Vec<String>>,
    spans: Mutex<Vec<Arrived>>,
}

impl Collector {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = Arc::new(State {
            answer: Mutex::new(Answer::Taken),
            connections: AtomicUsize::new(0),
            heads: Mutex::default(),
            spans: Mutex::default(),
        });
        let shared = Arc::clone(&state);
        let running = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                shared.connections.fetch_add(1, Ordering::SeqCst);
                let state = Arc::clone(&shared);
                connections.spawn(async move { serve(stream, &state).await });
            }
        });
        Self { address, state, running }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Answers so from now on.
    pub fn answer(&self, answer: Answer) {
        *self.state.answer.lock().unwrap() = answer;
    }

    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    /// The heads of the requests so far.
    pub fn heads(&self) -> Vec<String> {
        self.state.heads.lock().unwrap().clone()
    }

    /// The spans that were taken so far.
    pub fn spans(&self) -> Vec<Arrived> {
        self.state.spans.lock().unwrap().clone()
    }

    /// The spans with this name so far.
    pub fn named(&self, name: &str) -> Vec<Arrived> {
        self.spans().into_iter().filter(|span| span.name == name).collect()
    }

    /// The one span with this name, which is waited for.
    pub async fn span(&self, name: &str) -> Arrived {
        within(20, &format!("no span {name:?}"), async || !self.named(name).is_empty()).await;
        let mut spans = self.named(name);
        assert_eq!(spans.len(), 1, "{spans:?}");
        spans.pop().unwrap()
    }

    /// Forgets what arrived.
    pub fn clear(&self) {
        self.state.spans.lock().unwrap().clear();
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.running.abort();
    }
}

async fn serve(mut stream: TcpStream, state: &State) -> Option<()> {
    let mut bytes = Vec::new();
    loop {
        let (head, body) = read(&mut stream, &mut bytes).await?;
        let is_traces = head.starts_with("POST /v1/traces ") && head.contains("application/x-protobuf");
        state.heads.lock().unwrap().push(head);
        let answer = *state.answer.lock().unwrap();
        let status = match answer {
            Answer::Never => {
                tokio::time::sleep(Duration::from_secs(3600)).await;
                return None;
            }
            Answer::Status(status) => status,
            Answer::Taken if is_traces => {
                let arrived = ExportTraceServiceRequest::decode(body.as_slice()).unwrap();
                state.spans.lock().unwrap().extend(spans(arrived));
                "200 OK"
            }
            Answer::Taken => "404 Not Found",
        };
        let reply = format!("HTTP/1.1 {status}\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n");
        stream.write_all(reply.as_bytes()).await.ok()?;
    }
}

/// The next request: its head, in lower case but for the first line, and its body.
async fn read(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<(String, Vec<u8>)> {
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
            let length =
                head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
            let whole = end + 4 + length.unwrap_or(0_usize);
            if bytes.len() >= whole {
                let body = bytes[end + 4..whole].to_vec();
                bytes.drain(..whole);
                return Some((head, body));
            }
        }
        let mut more = [0; 65_536];
        match stream.read(&mut more).await.ok()? {
            0 => return None,
            count => bytes.extend(&more[..count]),
        }
    }
}

fn spans(request: ExportTraceServiceRequest) -> Vec<Arrived> {
    let mut arrived = Vec::new();
    for of_service in request.resource_spans {
        let resource = attributes(of_service.resource.unwrap_or_default().attributes);
        let spans = of_service.scope_spans.into_iter().flat_map(|of_scope| of_scope.spans);
        arrived.extend(spans.map(|span| read_span(span, resource.clone())));
    }
    arrived
}

fn read_span(span: Span, resource: BTreeMap<String, Value>) -> Arrived {
    let hex = |id: &[u8]| id.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    Arrived {
        kind: span.kind(),
        trace: hex(&span.trace_id),
        id: hex(&span.span_id),
        parent: hex(&span.parent_span_id),
        failed: span.status.as_ref().is_some_and(|status| status.code() == StatusCode::Error),
        begin: span.start_time_unix_nano,
        end: span.end_time_unix_nano,
        attributes: attributes(span.attributes),
        name: span.name,
        resource,
    }
}

fn attributes(list: Vec<KeyValue>) -> BTreeMap<String, Value> {
    let value = |value: Option<AnyValue>| match value.and_then(|value| value.value) {
        Some(any_value::Value::StringValue(text)) => json!(text),
        Some(any_value::Value::IntValue(number)) => json!(number),
        other => panic!("an attribute of another type: {other:?}"),
    };
    list.into_iter().map(|attribute| (attribute.key, value(attribute.value))).collect()
}
