//! Which connections are closed for new ones.

use std::{
    future::pending,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use crm::{
    http::{limits::Limits, server},
    service::service as endpoint,
};
use http_body_util::Empty;
use hyper::{Request, body::Bytes, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    time::{Instant, timeout},
};

use crate::harness::{Service, within};

/// Only a connection that is never closed or served takes longer.
const LIMIT: Duration = Duration::from_secs(30);

/// Serves so many connections at once, those of 127.0.0.9 as a gateway's.
async fn serve(service: &Service, connections: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let trusted_proxies = vec![IpAddr::from([127, 0, 0, 9]).into()];
    let time = 2 * LIMIT;
    let limits = Limits { connections, trusted_proxies, keep_alive: time, reply_time: time, ..Limits::default() };
    let (stopping, metrics) = (service.app.stopping().clone(), Arc::clone(service.app.metrics()));
    tokio::spawn(server::serve(listener, endpoint(&service.app), stopping, pending(), limits, metrics));
    address
}

/// Connects from 127.0.0.N.
async fn connect(address: SocketAddr, from: u8) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, from], 0))).unwrap();
    socket.connect(address).await.unwrap()
}

/// Whether the service has not closed it.
fn is_open(connection: &TcpStream) -> bool {
    connection.try_read(&mut [0]).is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
}

#[tokio::test]
async fn room_is_made_by_peers_with_many_connections_not_by_the_gateway() {
    let service = Service::start().await;
    let address = serve(&service, 6).await;
    let metrics = service.app.metrics();
    let mut open = Vec::new();
    // The gateway's wait longest.
    for (number, from) in [9, 9, 1, 2, 2].into_iter().enumerate() {
        open.push(connect(address, from).await);
        within(30, "it is accepted", async || metrics.http.connections.get() == i64::try_from(number + 1).unwrap())
            .await;
    }
    // By then all of these have waited long enough to be closed.
    tokio::time::sleep(Duration::from_millis(600)).await;
    open.push(connect(address, 2).await);
    within(30, "one is closed", async || open.iter().any(|connection| !is_open(connection))).await;
    assert_eq!(open.iter().map(is_open).collect::<Vec<_>>(), [true, true, true, false, true, true]);
    open.push(connect(address, 1).await);
    within(30, "another is closed", async || open.iter().filter(|connection| !is_open(connection)).count() == 2).await;
    assert!(open.iter().take(2).all(is_open), "the gateway's are closed");
}

#[tokio::test]
async fn connections_whose_replies_nobody_reads_are_closed_for_others() {
    let service = Service::start().await;
    let address = serve(&service, 3).await;
    let mut readers = Vec::new();
    for _ in 0..3 {
        let mut client = http2::Builder::new(TokioExecutor::new());
        client.initial_stream_window_size(0);
        let (mut sender, connection) = client.handshake(TokioIo::new(connect(address, 1).await)).await.unwrap();
        tokio::spawn(connection);
        let request = Request::get("http://crm/customers").body(Empty::<Bytes>::new()).unwrap();
        let reply = sender.send_request(request).await.unwrap();
        assert_eq!(reply.status(), 401);
        readers.push((sender, reply));
    }
    let asked = Instant::now();
    let mut late = connect(address, 2).await;
    late.write_all(b"GET /livez HTTP/1.1\r\nHost: crm\r\n\r\n").await.unwrap();
    let mut received = [0; 12];
    timeout(LIMIT, late.read_exact(&mut received)).await.expect("no answer").unwrap();
    assert_eq!(&received, b"HTTP/1.1 200", "after {:?}", asked.elapsed());
    within(30, "one is closed", async || readers.iter().any(|(sender, _)| sender.is_closed())).await;
}
