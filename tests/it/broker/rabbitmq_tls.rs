//! RabbitMQ with TLS: a server of the test's own, with certificates of its own.

use std::{fs, path::Path, sync::Arc, time::Duration};

use crm::{
    broker::{Broker, Down, EVENTS, PLATFORM, rabbitmq::RabbitMq},
    config::{EventsUrl, Secret},
};
use lapin::{
    BasicProperties, Connection, ConnectionProperties,
    options::{BasicGetOptions, BasicPublishOptions},
};
use serde_json::Value;

use crate::harness::{
    AMPLE, PII_KEYS, Service,
    broker::{configured, drain, relay_to},
    certificates::{Authority, ServerCertificate},
    events::task_completed,
    free_port, id,
    rabbitmq::{RabbitNode, bind_queue},
    run_crm, within,
};

fn rabbitmq_at(url: &str, ca_file: &Path) -> RabbitMq {
    let EventsUrl::Amqp(address) = configured(url, ca_file) else { panic!("{url}") };
    RabbitMq::new(address.url, String::new()).trusting(address.ca_file)
}

struct TlsNode {
    node: RabbitNode,
    /// Without TLS, for the test to look.
    plain: u16,
    tls: u16,
}

impl TlsNode {
    async fn start(ServerCertificate { certificate, key }: ServerCertificate) -> Self {
        let (plain, tls) = (free_port(), free_port());
        let name = format!("crm-tls-{}", std::process::id());
        let settings = format!(
            "listeners.tcp.1 = 127.0.0.1:{plain}\nlisteners.ssl.1 = 127.0.0.1:{tls}\nssl_options.certfile = server.pem\n\
             ssl_options.keyfile = server.key\nssl_options.verify = verify_none\n"
        );
        let mut node = RabbitNode::new(&name, free_port(), &settings);
        for (file, text) in [("server.pem", certificate), ("server.key", key)] {
            fs::write(node.directory().join(file), text).unwrap();
        }
        node.start();
        let node = Self { node, plain, tls };
        within(90, "RabbitMQ starts", async || node.look().await.is_ok()).await;
        node
    }

    async fn look(&self) -> lapin::Result<Connection> {
        let url = format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.plain);
        let limit = tokio::time::timeout(Duration::from_secs(3), async {
            Connection::connect(&url, ConnectionProperties::default()).await
        });
        limit.await.unwrap_or_else(|_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_with_tls_serves_whoever_trusts_its_certificate_and_no_other() {
    let (authority, stranger) = (Authority::new("crm test"), Authority::new("a stranger"));
    let server = TlsNode::start(authority.sign("localhost")).await;
    let directory = server.node.directory().to_owned();
    let (ca_file, strange) = (directory.join("ca.pem"), directory.join("stranger.pem"));
    fs::write(&ca_file, authority.pem()).unwrap();
    fs::write(&strange, stranger.pem()).unwrap();
    let url = |host: &str| format!("amqps://guest:guest@{host}:{}/%2f", server.tls);

    // Out.
    let service = Service::start().await;
    let look = server.look().await.unwrap();
    let channel = look.create_channel().await.unwrap();
    bind_queue(&channel, "listener", EVENTS, "#").await.unwrap();
    let broker: Arc<dyn Broker> = Arc::new(rabbitmq_at(&url("localhost"), &ca_file));
    let customer = service.customer().await;
    drain(&service.app, &mut relay_to(&service.app, Arc::clone(&broker))).await;
    let first = channel.basic_get("listener".into(), BasicGetOptions { no_ack: true }).await.unwrap().unwrap();
    let event: Value = serde_json::from_slice(&first.delivery.data).unwrap();
    assert_eq!(id(&event["data"]["resource"], "customerId"), customer);

    // In.
    let mut subscriber = broker.subscriber(&["oa.task.completed"], AMPLE).await.unwrap();
    let payload = task_completed(1, &customer).to_string();
    let (key, options) = ("oa.task.completed".into(), BasicPublishOptions::default());
    let sent =
        channel.basic_publish(PLATFORM.into(), key, options, payload.as_bytes(), BasicProperties::default()).await;
    let _not_asked_for = sent.unwrap().await.unwrap();
    let taken = tokio::time::timeout(Duration::from_secs(30), subscriber.next()).await.unwrap().unwrap();
    assert_eq!(taken.payload(), payload.as_bytes());

    // A command, by its environment.
    let (database, broker_url) = (service.database.url(), url("localhost"));
    let variables = [
        ("CRM_DATABASE_URL", database.as_str()),
        ("CRM_PII_KEYS", PII_KEYS),
        ("CRM_EVENTS_URL", &broker_url),
        ("CRM_EVENTS_CA_FILE", ca_file.to_str().unwrap()),
    ];
    let replayed = run_crm(&["outbox", "replay", "--from", "1"], &variables);
    assert!(replayed.stdout.contains("1 of 1 events were sent again"), "{replayed:?}");
    let again = channel.basic_get("listener".into(), BasicGetOptions { no_ack: true }).await.unwrap().unwrap();
    assert_eq!(again.delivery.data, first.delivery.data);

    for (broker, expected) in [
        (rabbitmq_at(&url("localhost"), &strange), "UnknownIssuer"),
        (rabbitmq_at(&url("127.0.0.1"), &ca_file), "not valid for name"),
        (RabbitMq::new(Secret::new(format!("amqps://guest:guest@localhost:{}", server.plain)), String::new()), ""),
    ] {
        let (publisher, subscriber) =
            (broker.publisher().await, broker.subscriber(&["oa.task.completed"], AMPLE).await);
        for refused in [publisher.err().unwrap(), subscriber.err().unwrap()] {
            let Down(reason) = refused;
            assert!(reason.contains(expected) && !reason.contains("guest"), "{reason}");
        }
    }
}
