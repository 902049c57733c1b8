//! The broker that events are published to and consumed from.

use super::{
    ca_file::CaFile,
    events_url::EventsUrl,
    variables::{FILE, SecretName, Variables, on_or_off},
};

/// As read: `None` after a mistake.
pub(super) struct Events {
    /// Also `None` where it is not set.
    pub(super) url: Option<EventsUrl>,
    pub(super) relay: Option<bool>,
}

impl Events {
    pub(super) fn read(env: &mut Variables<'_>) -> Self {
        env.about("Broker");
        let url = env.secret(
            SecretName { name: "CRM_EVENTS_URL", file: "CRM_EVENTS_URL_FILE" },
            (
                "broker to publish to and consume from: `amqp://USER:PASSWORD@HOST:PORT/VHOST` or `kafka://HOST:PORT,…`; with \
                 TLS `amqps://…` or `kafka+ssl://USER:PASSWORD@HOST:PORT,…`",
                FILE,
            ),
            str::parse::<EventsUrl>,
        );
        let ca_file = env.optional(
            "CRM_EVENTS_CA_FILE",
            "PEM file with the certificates by which the broker's is trusted, in place of the system's; only with TLS",
            CaFile::parse,
        );
        if env.is_set("CRM_EVENTS_CA_FILE") && url.as_ref().is_some_and(|url| !url.is_encrypted()) {
            env.mistake("CRM_EVENTS_CA_FILE: is of no use where CRM_EVENTS_URL asks for no TLS");
        }
        Self {
            url: url.map(|url| url.trusting(ca_file)),
            relay: env.value(
                "CRM_EVENTS_RELAY",
                "on",
                "`crm serve` talks to the broker (`on`), or leaves that to `crm relay` (`off`)",
                on_or_off,
            ),
        }
    }
}
