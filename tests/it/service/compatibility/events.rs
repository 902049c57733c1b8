//! The contract of the events.

use crm::service::{
    asyncapi,
    compatibility::{
        Verdict::{self, Breaking, Compatible, Identical},
        compare,
    },
};
use serde_json::{Map, json};

use super::{Mutation, api, assert_word, at, drop_key, pull, push, put, rename, schema};

#[test]
fn events_are_judged_by_the_same_rules() {
    let rows: &[(&str, Mutation, Verdict)] = &[
        (
            "new event",
            |d| {
                let message = at(d, "/components/messages/ContactCreated").clone();
                put(d, "/components/messages/ContactMerged", message);
                put(d, "/components/messages/ContactMerged/name", json!("ContactMerged"));
                let reference = json!({ "$ref": "#/components/messages/ContactMerged" });
                put(d, "/channels/events/messages/ContactMerged", reference);
                let reference = json!({ "$ref": "#/channels/events/messages/ContactMerged" });
                push(d, "/operations/publishEvents/messages", reference);
            },
            Compatible,
        ),
        ("new field", |d| put(d, &schema("Contact/properties/x"), json!({ "type": "string" })), Compatible),
        ("new channel", |d| put(d, "/channels/more", json!({ "address": "more" })), Compatible),
        ("another AsyncAPI 3", |d| put(d, "/asyncapi", json!("3.1.0")), Compatible),
        ("AsyncAPI 2", |d| put(d, "/asyncapi", json!("2.6.0")), Breaking),
        (
            "another order",
            |d| at(d, "/operations/publishEvents/messages").as_array_mut().unwrap().reverse(),
            Compatible,
        ),
        ("description", |d| put(d, "/channels/events/description", json!("Other.")), Compatible),
        ("open enum gets a value", |d| push(d, &schema("OpportunityStage/enum"), json!(7)), Compatible),
        (
            "optional field of a consumed event",
            |d| {
                put(d, &schema("ErpContractSignedData/properties/x"), json!({ "type": "string" }));
            },
            Compatible,
        ),
        (
            "event removed",
            |d| {
                let gone = json!({ "$ref": "#/channels/events/messages/ContactCreated" });
                pull(d, "/operations/publishEvents/messages", &gone);
            },
            Breaking,
        ),
        ("operation removed", |d| drop(drop_key(d, "/operations/consumeEvents")), Breaking),
        ("direction changed", |d| put(d, "/operations/publishEvents/action", json!("receive")), Breaking),
        ("channel removed", |d| drop(drop_key(d, "/channels/platform")), Breaking),
        ("address changed", |d| put(d, "/channels/events/address", json!("crm.more")), Breaking),
        ("exchange changed", |d| put(d, "/channels/events/bindings/amqp/exchange/type", json!("fanout")), Breaking),
        ("field removed", |d| drop(drop_key(d, &schema("Contact/properties/name"))), Breaking),
        (
            "field may be null",
            |d| {
                put(d, &schema("Contact/properties/name/type"), json!(["string", "null"]));
            },
            Breaking,
        ),
        ("type changed", |d| put(d, &schema("Contact/properties/name/type"), json!("integer")), Breaking),
        (
            "field of the envelope removed",
            |d| {
                drop_key(d, &schema("ContactCreated/properties/traceId"));
            },
            Breaking,
        ),
        (
            "constant changed",
            |d| {
                put(d, &schema("CrmSource/const"), json!("other"));
            },
            Breaking,
        ),
        (
            "consumed event needs more",
            |d| {
                push(d, &schema("ErpContractSigned/required"), json!("traceId"));
            },
            Breaking,
        ),
        (
            "consumed event of another type",
            |d| {
                put(d, &schema("OaTaskCompleted/properties/timestamp/type"), json!("integer"));
            },
            Breaking,
        ),
        (
            "content type changed",
            |d| {
                put(d, "/components/messages/ContactCreated/contentType", json!("application/xml"));
            },
            Breaking,
        ),
        (
            "header removed",
            |d| {
                drop_key(d, &schema("MessageHeaders/properties/traceparent"));
            },
            Breaking,
        ),
        (
            "message renamed",
            |d| {
                put(d, "/components/messages/ContactCreated/name", json!("ContactMade"));
            },
            Breaking,
        ),
    ];
    for (name, mutation, word) in rows {
        assert_word(name, &asyncapi::document(), *mutation, *word);
    }
    assert_eq!(compare(&asyncapi::document(), &api()).verdict, Breaking, "another kind of document");
}

#[test]
fn headers_of_messages_are_judged_by_their_direction() {
    const HEADERS: &str = "/components/schemas/MessageHeaders";
    // As if those that are sent had headers of their own.
    let document = {
        let mut document = asyncapi::document();
        let headers = at(&mut document, HEADERS).clone();
        put(&mut document, &schema("SentHeaders"), headers);
        for (name, message) in at(&mut document, "/components/messages").as_object_mut().unwrap() {
            if !["ErpContractSigned", "OaTaskCompleted"].contains(&name.as_str()) {
                message["headers"] = json!({ "$ref": "#/components/schemas/SentHeaders" });
            }
        }
        put(&mut document, &schema("MessageHeaders/required"), json!(["traceparent"]));
        put(&mut document, &schema("SentHeaders/required"), json!(["traceparent"]));
        document
    };
    let rows: &[(&str, Mutation, Verdict)] = &[
        ("sent: removed", |d| drop(drop_key(d, &schema("SentHeaders/properties/traceparent"))), Breaking),
        ("sent: new", |d| put(d, &schema("SentHeaders/properties/x"), json!({ "type": "string" })), Compatible),
        ("sent: always there", |d| push(d, &schema("SentHeaders/required"), json!("x-tenant-id")), Compatible),
        ("sent: not always there", |d| drop(drop_key(d, &schema("SentHeaders/required"))), Breaking),
        ("sent: type", |d| put(d, &schema("SentHeaders/properties/x-tenant-id/type"), json!("integer")), Breaking),
        // Brokers tell them apart.
        (
            "sent: spelled in another way",
            |d| rename(d, &schema("SentHeaders/properties/traceparent"), &schema("SentHeaders/properties/Traceparent")),
            Breaking,
        ),
        ("sent: none", |d| drop(drop_key(d, "/components/messages/ContactCreated/headers")), Breaking),
        ("received: needed", |d| push(d, &schema("MessageHeaders/required"), json!("x-tenant-id")), Breaking),
        ("received: not needed", |d| drop(drop_key(d, &schema("MessageHeaders/required"))), Compatible),
        (
            "received: described",
            |d| put(d, &schema("MessageHeaders/properties/traceparent/description"), json!("It.")),
            Compatible,
        ),
    ];
    for (name, mutation, word) in rows {
        assert_word(name, &document, *mutation, *word);
    }
    let without = |name: &str| {
        let mut document = document.clone();
        drop_key(&mut document, &format!("/components/messages/{name}/headers"));
        document
    };
    assert_eq!(compare(&without("ContactCreated"), &document).verdict, Compatible, "sent where there were none");
    assert_eq!(compare(&without("OaTaskCompleted"), &document).verdict, Breaking, "needed where there were none");
}

#[test]
fn channels_servers_and_bindings_may_gain_but_not_lose() {
    let rows: &[(&str, Mutation, Verdict)] = &[
        ("message of a channel removed", |d| drop(drop_key(d, "/channels/events/messages/ContactCreated")), Breaking),
        (
            "message of a channel added",
            |d| put(d, "/channels/oaEvents/messages/More", json!({ "$ref": "#/components/messages/OaTaskCompleted" })),
            Compatible,
        ),
        (
            "another message under the same name",
            |d| {
                let other = json!({ "$ref": "#/components/messages/ContactUpdated" });
                put(d, "/channels/events/messages/ContactCreated", other);
            },
            Breaking,
        ),
        (
            "messages of a channel in another order",
            |d| {
                let messages = at(d, "/channels/events/messages").as_object().unwrap().clone();
                put(d, "/channels/events/messages", messages.into_iter().rev().collect::<Map<_, _>>().into());
            },
            Identical,
        ),
        ("new server", |d| put(d, "/servers/nats", json!({ "host": "nats", "protocol": "nats" })), Compatible),
        ("server removed", |d| drop(drop_key(d, "/servers/kafka")), Breaking),
        ("server described", |d| put(d, "/servers/kafka/description", json!("It.")), Compatible),
        ("protocol of a server changed", |d| put(d, "/servers/kafka/protocol", json!("kafka")), Breaking),
        ("variable described", |d| put(d, "/servers/kafka/variables/host/description", json!("It.")), Compatible),
        ("variable of another value", |d| put(d, "/servers/kafka/variables/host/default", json!("other")), Breaking),
        ("variable removed", |d| drop(drop_key(d, "/servers/kafka/variables/host")), Breaking),
        (
            "channel on another server too",
            |d| push(d, "/channels/platform/servers", json!({ "$ref": "#/servers/kafka" })),
            Compatible,
        ),
        (
            "channel gone from a server",
            |d| pull(d, "/channels/events/servers", &json!({ "$ref": "#/servers/kafka" })),
            Breaking,
        ),
        ("channel on every server", |d| drop(drop_key(d, "/channels/platform/servers")), Compatible),
        (
            "servers in another order",
            |d| at(d, "/channels/events/servers").as_array_mut().unwrap().reverse(),
            Compatible,
        ),
        ("protocol bound too", |d| put(d, "/channels/events/bindings/nats", json!({})), Compatible),
        ("more bound", |d| put(d, "/channels/events/bindings/kafka/partitions", json!(3)), Compatible),
        (
            "edition of a binding",
            |d| put(d, "/channels/events/bindings/kafka/bindingVersion", json!("0.6.0")),
            Compatible,
        ),
        ("binding removed", |d| drop(drop_key(d, "/channels/events/bindings/kafka")), Breaking),
        (
            "part of a binding removed",
            |d| drop(drop_key(d, "/channels/events/bindings/amqp/exchange/durable")),
            Breaking,
        ),
        ("topic changed", |d| put(d, "/channels/events/bindings/kafka/topic", json!("other")), Breaking),
        (
            "edition of a message's binding",
            |d| put(d, "/components/messages/ContactCreated/bindings/kafka/bindingVersion", json!("0.6.0")),
            Compatible,
        ),
        (
            "key of a message described",
            |d| put(d, "/components/messages/ContactCreated/bindings/kafka/key/description", json!("It.")),
            Compatible,
        ),
        (
            "type of a message changed",
            |d| put(d, "/components/messages/ContactCreated/bindings/amqp/messageType", json!("other")),
            Breaking,
        ),
    ];
    for (name, mutation, word) in rows {
        assert_word(name, &asyncapi::document(), *mutation, *word);
    }
    let few = {
        let mut document = asyncapi::document();
        drop_key(&mut document, "/channels/platform/servers");
        document
    };
    assert_eq!(compare(&few, &asyncapi::document()).verdict, Breaking, "no longer on every server");
}
