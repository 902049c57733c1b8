//! Where the service listens, and what it accepts.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use ipnet::IpNet;

use super::variables::{Variables, duration};

const MAX_LAME_DUCK: Duration = Duration::from_secs(600);
const MAX_KEEP_ALIVE: Duration = Duration::from_secs(3600);

/// What Kubernetes sets `CRM_PORT` to where a Service is named `crm`, in its namespace's containers: a link, not a port.
const SERVICE_LINKS: [&str; 3] = ["tcp://", "udp://", "sctp://"];

const LINK: &str = "counts as not set: it is what Kubernetes sets for a Service named crm (enableServiceLinks: false leaves \
                    it out, another name too)";

/// Where the service listens for requests, as read: `None` after a mistake.
pub(super) struct Endpoint {
    pub(super) host: Option<IpAddr>,
    pub(super) port: Option<u16>,
}

impl Endpoint {
    pub(super) fn read(env: &mut Variables<'_>) -> Self {
        env.about("Where it listens");
        let host = env.value("CRM_HOST", "127.0.0.1", "address to listen on", host);
        let is_link = |text: &str| SERVICE_LINKS.iter().any(|scheme| text.starts_with(scheme));
        env.ignore_if("CRM_PORT", is_link, LINK);
        let fallback = env.optional("PORT", "port to listen on where `CRM_PORT` is not set", port_number);
        let default = fallback.unwrap_or(8080).to_string();
        let port = env.value("CRM_PORT", &default, "port to listen on", port_number);
        if fallback.is_some() {
            env.default_from("PORT");
        }
        Self { host, port }
    }
}

/// As read: `None` after a mistake.
pub(super) struct Server {
    pub(super) metrics_addr: Option<Option<SocketAddr>>,
    pub(super) lame_duck: Option<Duration>,
    pub(super) keep_alive: Option<Duration>,
    pub(super) connections_per_peer: Option<usize>,
    pub(super) trusted_proxies: Option<Vec<IpNet>>,
    pub(super) requests_in_flight: Option<usize>,
}

impl Server {
    pub(super) fn read(env: &mut Variables<'_>) -> Self {
        Self {
            metrics_addr: env.value(
                "CRM_METRICS_ADDR",
                "127.0.0.1:9464",
                "address of the private listener (probes and metrics), `HOST:PORT`, or `off`; where it is in use, the log says \
                 so and the service runs without",
                private_address,
            ),
            lame_duck: env.value(
                "CRM_LAME_DUCK",
                "0s",
                "how long the service keeps serving, no longer ready, after a stop signal; at most `10m`",
                |text| duration(text, MAX_LAME_DUCK),
            ),
            keep_alive: env.value(
                "CRM_KEEP_ALIVE",
                "75s",
                "how long a connection is kept between requests, `1s` to `1h`: longer than the load balancer in front keeps it",
                keep_alive,
            ),
            connections_per_peer: env.optional(
                "CRM_CONNECTIONS_PER_PEER",
                "maximum connections of one address (a /64 of IPv6); where it is not set, an eighth of all, at least 64",
                |text| at_least_one(text, 1_000_000),
            ),
            trusted_proxies: env.value(
                "CRM_TRUSTED_PROXIES",
                "",
                "addresses and networks without that limit, `10.0.0.7,10.1.0.0/16`: the gateway's",
                networks,
            ),
            requests_in_flight: env.value(
                "CRM_REQUESTS_IN_FLIGHT",
                "4096",
                "maximum requests answered at once, 1 to 65536; further ones get 503, and of one tenant, of more than half, 429",
                |text| at_least_one(text, 65_536),
            ),
        }
    }
}

/// In bytes.
pub(super) fn body_limit(env: &mut Variables<'_>) -> Option<usize> {
    let meaning = "maximum request body in bytes, 1024 to 16777216";
    env.value("CRM_BODY_LIMIT", "131072", meaning, |text| match text.parse() {
        Ok(limit @ 1024..=16_777_216) => Ok(limit),
        _ => Err("must be 1024 to 16777216 bytes".to_owned()),
    })
}

fn keep_alive(text: &str) -> Result<Duration, String> {
    match duration(text, MAX_KEEP_ALIVE) {
        Ok(time) if time < Duration::from_secs(1) => Err("must be at least 1s".to_owned()),
        time => time,
    }
}

fn at_least_one(text: &str, most: usize) -> Result<usize, String> {
    text.parse().ok().filter(|count| (1..=most).contains(count)).ok_or_else(|| format!("must be 1 to {most}"))
}

fn networks(text: &str) -> Result<Vec<IpNet>, String> {
    let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
    let network = |name: &str| name.parse().ok().or_else(|| Some(IpNet::from(name.parse::<IpAddr>().ok()?)));
    let networks: Option<Vec<IpNet>> = names.map(network).collect();
    networks.ok_or_else(|| "must be IP addresses or networks like 10.0.0.0/8, separated by commas".to_owned())
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
