//! Where the events are found: brokers, channels, operations.

use serde_json::{Map, Value, json};

use super::message::{Message, capital, reference};
use crate::broker;

/// The brokers. Which one there is, and where, the operator configures.
pub(super) fn servers() -> Value {
    let server = |protocol: &str, version: &str, port: u16, name: &str| {
        json!({
            "host": format!("{{host}}:{port}"),
            "protocol": protocol,
            "protocolVersion": version,
            "description": format!("{name}, where the service is configured for it (`CRM_EVENTS_URL`)."),
            "variables": { "host": { "default": "broker.example.com", "description": "The broker's host" } },
        })
    };
    json!({
        "rabbitmq": server("amqps", "0.9.1", 5671, "RabbitMQ"),
        "kafka": server("kafka-secure", "3.0", 9093, "Kafka"),
    })
}

/// The channels: one out on both brokers; in, an exchange on RabbitMQ and a topic for each sender on Kafka.
pub(super) fn channels(published: &[Message], consumed: &[Message]) -> Value {
    let exchange = |name: &str| {
        let exchange = json!({ "name": name, "type": "topic", "durable": true, "vhost": "/" });
        json!({ "is": "routingKey", "exchange": exchange, "bindingVersion": "0.3.0" })
    };
    let topic = |name: &str| json!({ "topic": name, "bindingVersion": "0.5.0" });
    let mut channels = json!({
        "events": channel(
            broker::EVENTS,
            "All events of this service. On RabbitMQ, a topic exchange; the routing key is the event's type. On Kafka, a topic.",
            &["rabbitmq", "kafka"],
            &json!({ "amqp": exchange(broker::EVENTS), "kafka": topic(broker::EVENTS) }),
            published,
        ),
        "platform": channel(
            broker::PLATFORM,
            &format!("The platform's events, on RabbitMQ. {}", consumption()),
            &["rabbitmq"],
            &json!({ "amqp": exchange(broker::PLATFORM) }),
            consumed,
        ),
    });
    for name in broker::PLATFORM_TOPICS {
        let sender = name.split('.').next().unwrap_or_default();
        let description =
            format!("The events of `{sender}`, on Kafka. What is said of the channel `platform` holds here too.");
        let own = consumed.iter().filter(|message| message.event_type.split('.').next() == Some(sender));
        let channel = channel(name, &description, &["kafka"], &json!({ "kafka": topic(name) }), own);
        if let Some(channels) = channels.as_object_mut() {
            channels.insert(format!("{sender}Events"), channel);
        }
    }
    channels
}

fn consumption() -> String {
    format!(
        "This service consumes the ones below from the durable queue `{}`. The sender of an event is the first part of its \
         type, and must be that of its routing key. Each `eventId` is applied once for each tenant and sender, and part of a \
         sender, if its `source` names one; one that comes again with another type or other data cannot be applied. An event \
         that names a resource which is not there yet is tried again for a minute. An event that cannot be applied goes to \
         the queue `{}`, with the reason, which quotes nothing of it, in the header `{}`, and the time in `{}`.",
        broker::INBOUND,
        broker::DEAD_LETTERS,
        broker::REASON,
        broker::DEAD_SINCE
    )
}

fn channel<'m>(
    address: &str,
    description: &str,
    servers: &[&str],
    bindings: &Value,
    messages: impl IntoIterator<Item = &'m Message>,
) -> Value {
    let messages: Map<String, Value> = messages
        .into_iter()
        .map(|message| (message.name.clone(), reference("components/messages", &message.name)))
        .collect();
    json!({
        "address": address,
        "description": description,
        "servers": servers.iter().map(|server| reference("servers", server)).collect::<Vec<_>>(),
        "messages": messages,
        "bindings": bindings,
    })
}

/// What this service does in the channels.
pub(super) fn operations(published: &[Message], consumed: &[Message]) -> Value {
    let mut operations = json!({
        "publishEvents": operation("send", "events", "Publishes what happened.", published),
        "consumeEvents": operation("receive", "platform", "Acts on what happened elsewhere.", consumed),
    });
    for name in broker::PLATFORM_TOPICS {
        let sender = name.split('.').next().unwrap_or_default();
        let own = consumed.iter().filter(|message| message.event_type.split('.').next() == Some(sender));
        let summary = format!("Acts on what happened in `{sender}`.");
        if let Some(operations) = operations.as_object_mut() {
            let consumes = format!("consume{}Events", capital(sender));
            operations.insert(consumes, operation("receive", &format!("{sender}Events"), &summary, own));
        }
    }
    operations
}

fn operation<'m>(action: &str, channel: &str, summary: &str, messages: impl IntoIterator<Item = &'m Message>) -> Value {
    let of_channel = format!("channels/{channel}/messages");
    let messages: Vec<Value> = messages.into_iter().map(|message| reference(&of_channel, &message.name)).collect();
    json!({ "action": action, "channel": reference("channels", channel), "summary": summary, "messages": messages })
}
