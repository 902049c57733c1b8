//! RabbitMQ with permissions, and dead letters by command, in a virtual host of the test's own. `make faults` runs this, as
//! somebody who may use `rabbitmqctl`.

use std::{process::Command, time::Duration};

use crm::{
    broker::{Broker, Down, rabbitmq::RabbitMq},
    config::Secret,
    inbound::event_types,
};
use lapin::{
    BasicProperties, Connection, ConnectionProperties,
    options::{BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions},
    types::FieldTable,
};
use serde_json::json;

use crate::harness::{CommandOutput, Service, UNKNOWN_ID, events::task_completed, run_crm, within};

const PASSWORD: &str = "scratch";
/// Before an event that was delayed comes again.
const PAUSE: Duration = Duration::from_millis(200);

fn rabbitmqctl(command: &str) {
    let done = Command::new("sh").args(["-c", &format!("rabbitmqctl -q {command}")]).output().unwrap();
    assert!(done.status.success(), "rabbitmqctl {command}: {}", String::from_utf8_lossy(&done.stderr));
}

/// A virtual host with the users and permissions that SECURITY.md gives; deleted with the test.
struct VirtualHost(String);

impl VirtualHost {
    fn new(name: &str) -> Self {
        let host = Self(format!("crm-test-{name}-{}", std::process::id()));
        rabbitmqctl(&format!("add_vhost {}", host.0));
        let security = include_str!("../../../SECURITY.md");
        let commands: Vec<&str> =
            security.lines().filter_map(|line| line.trim().strip_prefix("rabbitmqctl ")).collect();
        assert_eq!(commands.len(), 5);
        for user in ["crm", "erp", "oa"] {
            rabbitmqctl(&format!("add_user {} {PASSWORD}", host.user(user)));
        }
        for command in commands {
            let (name, rest) = command.split_once(" -p platform ").unwrap();
            let (user, rest) = rest.split_once(' ').unwrap();
            rabbitmqctl(&format!("{name} -p {} {} {rest}", host.0, host.user(user)));
        }
        host
    }

    fn user(&self, name: &str) -> String {
        format!("{}-{name}", self.0)
    }

    fn url(&self, user: &str) -> String {
        format!("amqp://{}:{PASSWORD}@127.0.0.1:5672/{}", self.user(user), self.0)
    }

    fn broker(&self, url: String) -> RabbitMq {
        RabbitMq::new(Secret::new(url), String::new())
    }

    /// Publishes as a user; what the broker says to that.
    async fn publish(&self, user: &str, exchange: &str, key: &str, event: &[u8]) -> lapin::Result<()> {
        let connection = Connection::connect(&self.url(user), ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
        channel.basic_publish(exchange.into(), key.into(), options, event, properties).await?.await.map(drop)
    }

    async fn command(&self, arguments: &[&str]) -> CommandOutput {
        let (url, directory) = (self.url("crm"), tempfile::tempdir().unwrap());
        let arguments: Vec<String> =
            ["inbound", "dead"].iter().chain(arguments).map(|word| (*word).to_owned()).collect();
        let run = move || {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let data = directory.path().to_str().unwrap();
            run_crm(&arguments, &[("CRM_EVENTS_URL", &url), ("CRM_DATA_DIR", data)])
        };
        tokio::task::spawn_blocking(run).await.unwrap()
    }
}

impl Drop for VirtualHost {
    fn drop(&mut self) {
        for user in ["crm", "erp", "oa"] {
            rabbitmqctl(&format!("delete_user {}", self.user(user)));
        }
        rabbitmqctl(&format!("delete_vhost {}", self.0));
    }
}

async fn consume_until(service: &Service, broker: &dyn Broker, what: &str, holds: impl AsyncFnMut() -> bool) {
    let inbound = service.inbound();
    tokio::select! {
        Down(reason) = inbound.consume(broker) => panic!("{what}: {reason}"),
        () = within(60, what, holds) => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs rabbitmqctl: make faults"]
async fn documented_permissions_let_crm_work_and_bind_each_sender() {
    let host = VirtualHost::new("permissions");
    let service = Service::start().await;
    let customer = service.customer().await;
    let broker = host.broker(host.url("crm"));
    drop(broker.subscriber(&event_types(), PAUSE).await.unwrap());
    drop(broker.publisher().await.unwrap());
    let task = task_completed(0, &customer).to_string().into_bytes();
    host.publish("oa", "platform.events", "oa.task.completed", &task).await.unwrap();
    host.publish("erp", "platform.events", "erp.contract.signed", &task).await.unwrap();
    host.publish("oa", "platform.events", "oa.task.completed", task_completed(1, UNKNOWN_ID).to_string().as_bytes())
        .await
        .unwrap();
    for (user, exchange, key) in [
        ("erp", "platform.events", "oa.task.completed"),
        ("oa", "platform.events", "erp.contract.signed"),
        ("erp", "", "crm.inbound"),
        ("oa", "crm.events", "crm.customer.created"),
    ] {
        let refused = host.publish(user, exchange, key, &task).await.unwrap_err().to_string();
        assert!(refused.contains("ACCESS_REFUSED"), "{user} {exchange} {key}: {refused}");
    }
    let connection = Connection::connect(&host.url("erp"), ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let (consume, none) = (BasicConsumeOptions::default(), FieldTable::default());
    let read = channel.basic_consume("crm.inbound".into(), "".into(), consume, none).await;
    assert!(read.unwrap_err().to_string().contains("ACCESS_REFUSED"));
    consume_until(&service, &broker, "all are settled", async || {
        service.inbound_count("applied") == 1 && service.inbound_count("dead") == 2
    })
    .await;
    assert_eq!((service.inbound_count("retried"), service.inbound_count("rejected")), (5, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs rabbitmqctl: make faults"]
async fn inbound_that_may_not_start_says_what_it_lacks() {
    let host = VirtualHost::new("start");
    let service = Service::start().await;
    let reason = async |url: String| {
        let Down(reason) = service.inbound().consume(&host.broker(url)).await;
        assert!(!reason.contains(PASSWORD), "{reason}");
        reason
    };
    let own = host.url("crm");
    let wrong = reason(own.replace(&format!(":{PASSWORD}@"), ":wrong@")).await;
    assert!(wrong.contains("ACCESS_REFUSED") && wrong.contains("cannot connect"), "{wrong}");
    let nowhere = reason(format!("{own}-not")).await;
    assert!(nowhere.contains("vhost") && nowhere.contains("not found"), "{nowhere}");
    for (configure, write, read, expected) in [
        ("^$", ".*", ".*", "cannot declare the exchange platform.events: "),
        ("^platform.events$", ".*", ".*", "cannot declare the queue crm.inbound: "),
        (".*", "^crm", ".*", "'x-dead-letter-exchange'|amq.default"),
        (".*", ".*", "^crm", "cannot bind crm.inbound: "),
        ("^$", ".*", "^(platform.events|crm.inbound.*)$", ""),
        (".*", ".*", "^platform.events$|dlq|retry", "cannot consume crm.inbound: "),
    ] {
        // What an earlier round was allowed to declare is used as it is.
        rabbitmqctl(&format!("set_permissions -p {} {} '{configure}' '{write}' '{read}'", host.0, host.user("crm")));
        if expected.is_empty() {
            let service = Service::start().await;
            let customer = service.customer().await;
            let event = json!({ "eventId": "e", "eventType": "erp.contract.signed", "timestamp": "2026-01-31T09:30:00Z",
                "data": { "tenantId": "default", "customerId": customer } });
            let broker = host.broker(own.clone());
            drop(broker.subscriber(&event_types(), PAUSE).await.unwrap());
            host.publish("erp", "platform.events", "erp.contract.signed", event.to_string().as_bytes()).await.unwrap();
            consume_until(&service, &broker, "applied", async || service.inbound_count("applied") == 1).await;
            continue;
        }
        let reason = reason(own.clone()).await;
        assert!(expected.split('|').any(|text| reason.contains(text)) && reason.contains("ACCESS_REFUSED"), "{reason}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs rabbitmqctl: make faults"]
async fn dead_letters_are_listed_retried_and_dropped_by_command() {
    let host = VirtualHost::new("command");
    let service = Service::start().await;
    let broker = host.broker(host.url("crm"));
    let none = host.command(&["list"]).await;
    assert_eq!((none.code, none.stdout.as_str()), (Some(0), "0 dead letters in crm.inbound.dlq\n"), "{}", none.stderr);
    drop(broker.subscriber(&event_types(), PAUSE).await.unwrap());
    for number in 0..3 {
        let event = task_completed(number, UNKNOWN_ID).to_string();
        host.publish("oa", "platform.events", "oa.task.completed", event.as_bytes()).await.unwrap();
    }
    host.publish("erp", "platform.events", "erp.contract.signed", b"13812345678").await.unwrap();
    let dead = |count: usize| {
        let service = &service;
        async move || service.inbound_count("dead") == count
    };
    consume_until(&service, &broker, "all are dead", dead(4)).await;
    let list = host.command(&["list"]).await;
    assert_eq!(list.stdout.lines().count(), 5, "{list:?}");
    assert!(list.stdout.contains("\ne1 oa.task.completed of oa, "), "{list:?}");
    assert!(
        list.stdout.contains("\n- - of -, 11 bytes, since 2026-01-31T09:30:00.125Z: the event must be"),
        "{list:?}"
    );
    let unknown = host.command(&["drop", "e9"]).await;
    assert!(unknown.code == Some(1) && unknown.stderr.contains("no dead letter has the event id e9"), "{unknown:?}");
    assert_eq!(host.command(&["drop"]).await.code, Some(2));
    assert_eq!(host.command(&["drop", "e1", "--all"]).await.code, Some(2));
    assert_eq!(host.command(&["drop", "e1"]).await.stdout, "1 dead letters are deleted\n");
    let retried = host.command(&["retry", "e2"]).await;
    assert_eq!(retried.stdout, "1 events are put back into crm.inbound, to be consumed again\n", "{retried:?}");
    consume_until(&service, &broker, "it is dead again", dead(5)).await;
    assert_eq!(host.command(&["retry", "--all"]).await.code, Some(0));
    consume_until(&service, &broker, "all are dead again", dead(8)).await;
    assert_eq!(host.command(&["drop", "--all"]).await.stdout, "3 dead letters are deleted\n");
    assert_eq!(host.command(&["list"]).await.stdout, "0 dead letters in crm.inbound.dlq\n");
    let nowhere = run_crm(&["inbound", "dead", "list"], &[("CRM_EVENTS_URL", "amqp://127.0.0.1:1")]);
    assert!(nowhere.code == Some(1) && nowhere.stderr.contains("refused"), "{nowhere:?}");
    assert!(run_crm(&["inbound", "dead", "list"], &[]).stderr.contains("CRM_EVENTS_URL"));
}
