//! Connections to RabbitMQ: with heartbeats, and with TLS where the address asks for it; and how long its answers may take.

use std::{
    io,
    net::{Shutdown, TcpStream},
    os::fd::AsFd,
    time::Duration,
};

use lapin::{
    AsyncTcpStream, Connection, ConnectionProperties,
    runtime::default_runtime,
    tcp::{RustlsConnector, RustlsConnectorConfig},
    uri::{AMQPScheme, AMQPUri},
};
use tokio::{sync::watch, time::timeout};

use crate::{
    broker::interface::Down,
    config::{CaFile, Secret},
};

/// How many seconds the broker may be silent before it is asked for a sign of life. After twice that it counts as gone, so a
/// longer time in the address is cut short.
const HEARTBEAT: u16 = 10;
/// How long the broker may take to answer anything, and to confirm a message.
pub(super) const ANSWER: Duration = Duration::from_secs(10);
/// The `delivery_mode` of messages that survive a restart of the broker.
pub(super) const PERSISTENT: u8 = 2;

/// What the work comes to, if that does not take longer than this.
pub(super) async fn in_time<T>(limit: Duration, work: impl Future<Output = T>) -> Result<T, Down> {
    timeout(limit, work).await.map_err(|_| Down("the broker did not answer in time".to_owned()))
}

/// The broker's answer, if there is one in time that is not an error.
pub(super) async fn answered<T>(work: impl Future<Output = lapin::Result<T>>) -> Result<T, Down> {
    in_time(ANSWER, work).await?.map_err(down)
}

#[expect(clippy::needless_pass_by_value, reason = "it is passed to `map_err`")]
pub(super) fn down(error: lapin::Error) -> Down {
    Down(error.to_string())
}

/// Connects. Whoever drops this before it is done leaves neither a socket nor a thread behind.
pub(super) async fn open(url: &Secret, ca_file: Option<&CaFile>) -> lapin::Result<Connection> {
    // The library's error may hold the address.
    let mut uri: AMQPUri = url.reveal().parse().map_err(|_| io::Error::other("the address cannot be read"))?;
    uri.query.heartbeat = match uri.query.heartbeat {
        Some(seconds @ 1..HEARTBEAT) => Some(seconds),
        _ => Some(HEARTBEAT),
    };
    let tls = match uri.scheme {
        AMQPScheme::AMQP => None,
        AMQPScheme::AMQPS => Some(connector(ca_file)?),
    };
    let (established, wanted) = watch::channel(false);
    let properties = ConnectionProperties::default().with_connection_name("crm".into());
    let connection = Connection::connector(
        uri,
        default_runtime()?,
        async move |uri, runtime| {
            let address = runtime.to_socket_addrs((uri.authority.host.clone(), uri.authority.port));
            let dial = async {
                let stream = AsyncTcpStream::connect(&runtime, address).await?;
                if let AsyncTcpStream::Plain(socket) = &stream {
                    let socket = socket.get_ref().as_fd().try_clone_to_owned()?;
                    tokio::spawn(close_unless_established(socket.into(), wanted.clone()));
                }
                match &tls {
                    Some(tls) => stream.into_rustls(tls, &uri.authority.host).await,
                    None => Ok(stream),
                }
            };
            tokio::select! {
                stream = dial => Ok(stream?),
                () = given_up(wanted.clone()) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
            }
        },
        properties,
    )
    .await?;
    established.send_replace(true);
    Ok(connection)
}

/// What encrypts, and trusts either the certificates in the file or the system's.
fn connector(ca_file: Option<&CaFile>) -> io::Result<RustlsConnector> {
    let config = match ca_file {
        Some(file) => RustlsConnectorConfig::default().with_parsable_certificates(file.certificates()?),
        None => RustlsConnectorConfig::new_with_native_certs()?,
    };
    config.connector_with_no_client_auth()
}

/// The library's thread waits without limit for a broker that accepts connections and says nothing: it ends with the socket.
async fn close_unless_established(socket: TcpStream, mut wanted: watch::Receiver<bool>) {
    if wanted.wait_for(|established| *established).await.is_err() {
        let _closed_already = socket.shutdown(Shutdown::Both);
    }
}

/// Ends once nobody waits for the connection any more; never, if it was established before.
async fn given_up(mut wanted: watch::Receiver<bool>) {
    if wanted.wait_for(|established| *established).await.is_ok() {
        std::future::pending::<()>().await;
    }
}
