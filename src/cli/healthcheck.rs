//! `crm healthcheck`: the health check of the container, so that the image needs no other program.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use http_body_util::Empty;
use hyper::{Request, StatusCode, body::Bytes, client::conn::http1, header::HOST};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::context::ExitOutcome;

const PATIENCE: Duration = Duration::from_secs(5);

/// Asks the service that listens there. It needs no key, no database and no other variable to be right.
pub(super) async fn run(endpoint: SocketAddr) -> ExitOutcome {
    let host = match endpoint.ip() {
        IpAddr::V4(all) if all.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(all) if all.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        host => host,
    };
    let address = SocketAddr::new(host, endpoint.port());
    match tokio::time::timeout(PATIENCE, status(address)).await {
        Ok(Ok(StatusCode::OK)) => Ok(()),
        Ok(Ok(status)) => Err(format!("{address} answered {status}").into()),
        Ok(Err(error)) => Err(format!("{address}: {error}").into()),
        Err(_) => Err(format!("{address} did not answer in time").into()),
    }
}

async fn status(address: SocketAddr) -> Result<StatusCode, Box<dyn std::error::Error + Send + Sync>> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let request = Request::get("/health").header(HOST, address.to_string()).body(Empty::<Bytes>::new())?;
    let status = sender.send_request(request).await?.status();
    connection.abort();
    Ok(status)
}
