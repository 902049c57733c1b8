//! Where the service listens, and what it accepts.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use super::variables::{Variables, duration};

const MAX_LAME_DUCK: Duration = Duration::from_secs(600);

/// As read: `None` after a mistake.
pub(super) struct Server {
    pub(super) host: Option<IpAddr>,
    pub(super) port: Option<u16>,
    pub(super) metrics_addr: Option<Option<SocketAddr>>,
    pub(super) lame_duck: Option<Duration>,
}

impl Server {
    pub(super) fn read(env: &mut Variables<'_>) -> Self {
        let host = env.value("CRM_HOST", "127.0.0.1", "address to listen on", host);
        let port = env.optional("PORT", "port to listen on where CRM_PORT is not set", port_number);
        Self {
            host,
            port: env.value("CRM_PORT", &port.unwrap_or(8080).to_string(), "port to listen on", port_number),
            metrics_addr: env.value(
                "CRM_METRICS_ADDR",
                "127.0.0.1:9464",
                "private address of probes and metrics, HOST:PORT, or off",
                private_address,
            ),
            lame_duck: env.value(
                "CRM_LAME_DUCK",
                "0s",
                "how long to go on serving, no longer ready, once told to stop",
                |text| duration(text, MAX_LAME_DUCK),
            ),
        }
    }
}

/// In bytes.
pub(super) fn body_limit(env: &mut Variables<'_>) -> Option<usize> {
    env.value("CRM_BODY_LIMIT", "131072", "largest request body in bytes", |text| match text.parse() {
        Ok(limit @ 1024..=16_777_216) => Ok(limit),
        _ => Err("must be 1024 to 16777216 bytes".to_owned()),
    })
}

fn host(text: &str) -> Result<IpAddr, String> {
    match text {
        "localhost" => Ok(Ipv4Addr::LOCALHOST.into()),
        text => text.parse().map_err(|_| "must be an IP address or localhost".to_owned()),
    }
}

fn port_number(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| "must be a port, 0 to 65535".to_owned())
}

/// `off`, or where to listen.
fn private_address(text: &str) -> Result<Option<SocketAddr>, String> {
    if text == "off" {
        return Ok(None);
    }
    let parts = text.rsplit_once(':').and_then(|(name, port)| {
        let name = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        Some(SocketAddr::new(host(name).ok()?, port.parse().ok()?))
    });
    parts.map(Some).ok_or_else(|| "must be HOST:PORT, where HOST is an IP address or localhost, or off".to_owned())
}
