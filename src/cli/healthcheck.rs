//! `crm healthcheck`: the health check of the container, so that the image needs no other program.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use http_body_util::Empty;
use hyper::{Request, StatusCode, body::Bytes, client::conn::http1, header::HOST};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::context::ExitOutcome;
use crate::config::Config;

const PATIENCE: Duration = Duration::from_secs(5);

pub(super) async fn run(config: &Config) -> ExitOutcome {
    let host = if config.host.is_unspecified() { IpAddr::from(Ipv4Addr::LOCALHOST) } else { config.host };
    let address = SocketAddr::new(host, config.port);
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
