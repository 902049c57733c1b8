//! The names that events are found by at the broker. They are part of the events' contract (`openapi/events.yaml`).

/// Where events are published: an exchange, or a topic.
pub const EVENTS: &str = "crm.events";
/// The exchange that the platform publishes its events to.
pub const PLATFORM: &str = "platform.events";
/// The same on Kafka: topics. What stands before the first dot is the sender whose events they hold.
pub const PLATFORM_TOPICS: [&str; 2] = ["erp.events", "oa.events"];
/// The queue of the platform's events for this service; also its name as a consumer, in the inbox and to Kafka.
pub const INBOUND: &str = "crm.inbound";
/// Where events go that cannot be applied: a queue, or a topic.
pub const DEAD_LETTERS: &str = "crm.inbound.dlq";
/// The queue where events wait to be tried again. Kafka has none: there they wait in memory, and their offsets with them.
pub const RETRIES: &str = "crm.inbound.retry";
/// The header of a dead letter that says why it is one.
pub const REASON: &str = "x-reason";
/// The header of a dead letter that says since when it is one.
pub const DEAD_SINCE: &str = "x-dead-since";
/// The header of an event that was delayed or set apart: the routing key, or the topic, under which its sender published it.
pub const ORIGIN: &str = "x-origin";
/// The header that counts how often an event was delayed.
pub const ATTEMPTS: &str = "x-attempts";
/// The header that names the tenant.
pub const TENANT: &str = "x-tenant-id";
