//! A server behind a gateway that notes what arrives, and answers as it is told.

use std::{
    convert::Infallible,
    io,
    sync::{Arc, Mutex},
};

use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    client::conn::http1 as client,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// What it does with a request, once it has read it.
#[derive(Debug, Clone)]
pub enum Answer {
    /// Answers with this status, these headers and this body.
    With(u16, Vec<(&'static str, String)>, String),
    /// Closes the connection without an answer.
    Lost,
    /// Has the service at this address answer, and closes the connection without passing that on; the first time. From then on
    /// passes it on.
    FirstLost(String),
    /// Never answers.
    Never,
}

/// A request that has arrived.
#[derive(Debug, Clone)]
pub struct Arrived {
    pub method: String,
    pub path: String,
    pub headers: hyper::HeaderMap,
    pub body: Bytes,
}

#[derive(Clone)]
struct State {
    answer: Answer,
    arrived: Arc<Mutex<Vec<Arrived>>>,
}

pub struct Recorder {
    pub address: String,
    arrived: Arc<Mutex<Vec<Arrived>>>,
    listener: JoinHandle<()>,
}

impl Recorder {
    pub async fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = State { answer, arrived: Arc::default() };
        let arrived = Arc::clone(&state.arrived);
        let listener = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = state.clone();
                tokio::spawn(async move {
                    let answer = service_fn(|request| reply(state.clone(), request));
                    let _closed = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
                });
            }
        });
        Self { address, arrived, listener }
    }

    /// What has arrived with this id, but for probes.
    pub fn arrived(&self, request_id: &str) -> Vec<Arrived> {
        let arrived = self.arrived.lock().unwrap();
        let has_it = |request: &&Arrived| request.headers.get("X-Request-ID").is_some_and(|id| id == request_id);
        arrived.iter().filter(has_it).cloned().collect()
    }

    /// What has arrived last, but for probes.
    pub fn last(&self) -> Arrived {
        self.arrived.lock().unwrap().last().unwrap().clone()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

async fn reply(state: State, request: Request<Incoming>) -> io::Result<Response<Full<Bytes>>> {
    if request.uri().path().ends_with("/readyz") {
        return Ok(Response::new(Full::default()));
    }
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let path = head.uri.path_and_query().unwrap().to_string();
    let id = head.headers.get("X-Request-ID").cloned();
    let arrived = Arrived { method: head.method.to_string(), path, headers: head.headers, body };
    let is_first = {
        let mut all = state.arrived.lock().unwrap();
        let is_first = !all.iter().any(|request| request.headers.get("X-Request-ID") == id.as_ref());
        all.push(arrived.clone());
        is_first
    };
    match state.answer {
        Answer::With(status, headers, body) => {
            let mut response = Response::builder().status(status);
            for (name, value) in headers {
                response = response.header(name, value);
            }
            Ok(response.body(Full::from(body)).unwrap())
        }
        Answer::Lost => Err(io::Error::other("lost")),
        Answer::FirstLost(service) => {
            let response = forward(&service, arrived).await?;
            if is_first { Err(io::Error::other("lost")) } else { Ok(response) }
        }
        Answer::Never => {
            let never: Infallible = std::future::pending().await;
            match never {}
        }
    }
}

/// Sends a request on, and returns the whole answer.
async fn forward(service: &str, arrived: Arrived) -> io::Result<Response<Full<Bytes>>> {
    let stream = TcpStream::connect(service).await?;
    let (mut sender, connection) = client::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    tokio::spawn(connection);
    let mut request = Request::builder().method(arrived.method.as_str()).uri(arrived.path);
    *request.headers_mut().unwrap() = arrived.headers;
    let request = request.body(Full::new(arrived.body)).map_err(io::Error::other)?;
    let (head, body) = sender.send_request(request).await.map_err(io::Error::other)?.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    Ok(Response::from_parts(head, Full::new(body)))
}
