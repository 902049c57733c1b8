//! The address of the broker. It may hold a password, so no message repeats a part of it whose place is not certain.

use std::str::FromStr;

use lapin::uri::{AMQPScheme, AMQPUri};

use super::{
    ca_file::CaFile,
    secret::{Masked, Secret},
};

/// Where the broker is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventsUrl {
    /// RabbitMQ.
    Amqp(AmqpAddress),
    /// Kafka.
    #[cfg(feature = "kafka")]
    Kafka(KafkaAddress),
}

/// RabbitMQ, at an AMQP 0-9-1 address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AmqpAddress {
    /// `amqp://` or `amqps://`; it may hold a password.
    pub url: Secret,
    /// Whose certificates are trusted; `None` for the system's.
    pub ca_file: Option<CaFile>,
}

/// Kafka, at its first brokers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaAddress {
    /// `host:port,…`
    pub brokers: String,
    /// How connections are encrypted, if they are.
    pub tls: Option<KafkaTls>,
}

/// Encrypted connections to Kafka.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KafkaTls {
    /// Whose certificates are trusted; `None` for the system's.
    pub ca_file: Option<CaFile>,
    /// Who logs in, by SASL, if anybody does.
    pub login: Option<KafkaLogin>,
}

/// A user of Kafka.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaLogin {
    /// The user's name.
    pub user: String,
    /// The user's password.
    pub password: Secret,
    /// The name of the SASL mechanism.
    pub mechanism: &'static str,
}

impl From<String> for KafkaAddress {
    /// Brokers that are spoken to without TLS.
    fn from(brokers: String) -> Self {
        Self { brokers, tls: None }
    }
}

/// The message for an address that cannot be read.
const EXPECTED: &str = "must be amqp://USER:PASSWORD@HOST:PORT/VHOST, kafka://HOST:PORT,… or, with TLS, amqps://… or \
                        kafka+ssl://USER:PASSWORD@HOST:PORT,…; in user, password and vhost these characters must be \
                        percent-encoded: @ : / ? # [ ] %";

/// The parameters of an AMQP address that lapin knows. It ignores others.
const PARAMETERS: [&str; 5] = ["auth_mechanism", "channel_max", "connection_timeout", "frame_max", "heartbeat"];

impl EventsUrl {
    /// Whether connections are encrypted.
    pub(super) fn is_encrypted(&self) -> bool {
        match self {
            Self::Amqp(address) => address.url.reveal().starts_with("amqps:"),
            #[cfg(feature = "kafka")]
            Self::Kafka(address) => address.tls.is_some(),
        }
    }

    /// The same broker, trusted by the certificates in this file.
    pub(super) fn trusting(mut self, trusted: Option<CaFile>) -> Self {
        match &mut self {
            Self::Amqp(address) => address.ca_file = trusted,
            #[cfg(feature = "kafka")]
            Self::Kafka(address) => {
                if let Some(tls) = &mut address.tls {
                    tls.ca_file = trusted;
                }
            }
        }
        self
    }
}

impl Masked for EventsUrl {
    /// The address, without parameters.
    fn masked(&self) -> String {
        match self {
            Self::Amqp(address) => match address.url.reveal().parse::<AMQPUri>() {
                Ok(AMQPUri { scheme, authority, vhost, .. }) => {
                    let scheme = if scheme == AMQPScheme::AMQPS { "amqps" } else { "amqp" };
                    let (user, host, port) = (authority.userinfo.username, authority.host, authority.port);
                    format!("{scheme}://{user}:***@{host}:{port}/{vhost}")
                }
                Err(_) => "amqp://***".to_owned(),
            },
            #[cfg(feature = "kafka")]
            Self::Kafka(KafkaAddress { brokers, tls }) => match tls.as_ref().map(|tls| &tls.login) {
                None => format!("kafka://{brokers}"),
                Some(None) => format!("kafka+ssl://{brokers}"),
                Some(Some(login)) => format!("kafka+ssl://{}:***@{brokers}", login.user),
            },
        }
    }
}

impl FromStr for EventsUrl {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        match url.split_once("://") {
            Some(("amqp" | "amqps", address)) => {
                check_amqp(url, address)?;
                Ok(Self::Amqp(AmqpAddress { url: Secret::new(url.to_owned()), ca_file: None }))
            }
            #[cfg(feature = "kafka")]
            Some(("kafka", address)) if address.contains('@') => {
                Err("a user and a password are sent with TLS alone: kafka+ssl://".to_owned())
            }
            #[cfg(feature = "kafka")]
            Some(("kafka", brokers)) => Ok(Self::Kafka(kafka::brokers(brokers)?.into())),
            #[cfg(feature = "kafka-tls")]
            Some(("kafka+ssl", address)) => kafka::encrypted(address).map(Self::Kafka),
            #[cfg(not(feature = "kafka"))]
            Some(("kafka" | "kafka+ssl", _)) => Err("this program was built without the feature kafka".to_owned()),
            #[cfg(all(feature = "kafka", not(feature = "kafka-tls")))]
            Some(("kafka+ssl", _)) => Err("this program was built without the feature kafka-tls".to_owned()),
            _ => Err(EXPECTED.to_owned()),
        }
    }
}

/// Refuses an address that cannot be read, and one that would be misread: where a password is not percent-encoded, its rest
/// would be taken for the vhost, a parameter or a fragment.
fn check_amqp(url: &str, address: &str) -> Result<(), String> {
    let rest = address.find(['/', '?']).map_or("", |at| address.split_at(at).1);
    if address.contains('#') || rest.contains('@') {
        return Err(EXPECTED.to_owned());
    }
    // The library would connect to localhost.
    if address.contains("@[") || address.starts_with('[') {
        return Err("must give the host by name or as an IPv4 address".to_owned());
    }
    let query = rest.split_once('?').map_or("", |(_, query)| query);
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        let key = parameter.split('=').next().unwrap_or_default();
        let is_name = key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        match PARAMETERS.contains(&key) {
            true => {}
            false if key == "cacertfile" => return Err("names its certificates in CRM_EVENTS_CA_FILE".to_owned()),
            false if is_name => return Err(format!("the parameter {key} is not known")),
            false => return Err(EXPECTED.to_owned()),
        }
    }
    match url.parse::<AMQPUri>() {
        Ok(AMQPUri { scheme: AMQPScheme::AMQP | AMQPScheme::AMQPS, .. }) => Ok(()),
        // The library's error is not repeated: it may hold a password.
        Err(_) => Err(EXPECTED.to_owned()),
    }
}

#[cfg(feature = "kafka")]
mod kafka {
    use super::EXPECTED;

    /// Addresses, `host:port,…`.
    pub(super) fn brokers(text: &str) -> Result<String, String> {
        match text.split(',').all(is_address) {
            true => Ok(text.to_owned()),
            false => Err(EXPECTED.to_owned()),
        }
    }

    fn is_address(text: &str) -> bool {
        let parts = text.rsplit_once(':');
        let unexpected = ['/', '@', '?', '#'];
        parts.is_some_and(|(host, port)| !host.is_empty() && !host.contains(unexpected) && port.parse::<u16>().is_ok())
    }

    /// `[USER:PASSWORD@]HOST:PORT,…[?sasl=MECHANISM]`.
    #[cfg(feature = "kafka-tls")]
    pub(super) fn encrypted(address: &str) -> Result<super::KafkaAddress, String> {
        use super::{KafkaAddress, KafkaLogin, KafkaTls, Secret};

        let (address, query) =
            address.split_once('?').map_or((address, None), |(address, query)| (address, Some(query)));
        let (user, hosts) = address.rsplit_once('@').map_or((None, address), |(user, hosts)| (Some(user), hosts));
        let brokers = brokers(hosts)?;
        let mechanism = match query {
            None | Some("sasl=scram-sha-512") => "SCRAM-SHA-512",
            Some("sasl=scram-sha-256") => "SCRAM-SHA-256",
            Some("sasl=plain") => "PLAIN",
            Some(_) => return Err("?sasl= must be plain, scram-sha-256 or scram-sha-512 (the default)".to_owned()),
        };
        let login = match user {
            None if query.is_some() => return Err("?sasl= needs USER:PASSWORD@".to_owned()),
            None => None,
            Some(user) => {
                let (user, password) = user.split_once(':').ok_or(EXPECTED)?;
                let plain = |text: &str| match text.is_empty() || text.contains([':', '/', '#', '[', ']']) {
                    true => Err(EXPECTED.to_owned()),
                    false => percent_encoding::percent_decode_str(text)
                        .decode_utf8()
                        .map(std::borrow::Cow::into_owned)
                        .map_err(|_| EXPECTED.to_owned()),
                };
                Some(KafkaLogin { user: plain(user)?, password: Secret::new(plain(password)?), mechanism })
            }
        };
        Ok(KafkaAddress { brokers, tls: Some(KafkaTls { ca_file: None, login }) })
    }
}
