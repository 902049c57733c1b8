//! Nothing is lost at RabbitMQ: whatever becomes of a dead letter or of a copy that waits, its event is acknowledged only once
//! the broker has it.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use crm::{
    broker::{DEAD_LETTERS, Down, EVENTS, INBOUND, RETRIES, Refusal, Settled, Settlement},
    telemetry::LogFormat,
};
use futures_util::future::join_all;
use lapin::{
    ExchangeKind,
    options::{ExchangeDeclareOptions, QueueDeclareOptions, QueueDeleteOptions},
    types::FieldTable,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::{
    rabbitmq::{Namespace, PAUSE, server, url},
    rabbitmq_inbound::{consume_until, publish_unreadable, table, text},
};
use crate::harness::{
    Log, Service,
    broker::{drain, relay_to},
    events::task_completed,
    within,
};

fn refusal() -> Refusal {
    Refusal { reason: "no".to_owned(), at: chrono::DateTime::UNIX_EPOCH }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_came_back_is_never_taken_for_a_confirmed_one() {
    let rabbitmq = Namespace::new().await;
    // Not durable: the broker confirms at once, together with what it returns.
    let dead_letters = rabbitmq.name(DEAD_LETTERS);
    let declared = rabbitmq.channel.queue_declare(
        dead_letters.as_str().into(),
        QueueDeclareOptions::default(),
        FieldTable::default(),
    );
    declared.await.unwrap();
    let broker = rabbitmq.declare().await;
    for _ in 0..20 {
        let mut subscriber = broker.subscriber(&["oa.task.completed"], PAUSE).await.unwrap();
        rabbitmq.channel.queue_delete(rabbitmq.name(RETRIES).into(), QueueDeleteOptions::default()).await.unwrap();
        // The first opens the connection that the others share.
        rabbitmq.send("oa.task.completed", b"{}").await;
        let first = subscriber.next().await.unwrap().settle(Settlement::Reject(refusal())).await;
        assert_eq!(first, Ok(Settled::DeadLettered));
        let mut under_way = Vec::new();
        for number in 0..60 {
            rabbitmq.send("oa.task.completed", b"{}").await;
            let delivery = subscriber.next().await.unwrap();
            under_way.push(async move {
                let waits = number % 2 == 0;
                let settlement = if waits { Settlement::Retry(refusal()) } else { Settlement::Reject(refusal()) };
                (waits, delivery.settle(settlement).await)
            });
        }
        for (waits, settled) in join_all(under_way).await {
            match waits {
                true => assert!(settled.is_err(), "it waits in a queue that is gone: {settled:?}"),
                false => assert_eq!(settled, Ok(Settled::DeadLettered)),
            }
        }
        // What was not settled comes back.
        drop(subscriber);
        within(60, "it is back", async || rabbitmq.drain_queue(INBOUND).await.is_empty()).await;
        assert_eq!(rabbitmq.drain_queue(DEAD_LETTERS).await.len(), 31);
    }
    rabbitmq.delete().await;
}

/// The frame with which the broker closes a connection, for this reason.
fn close_frame(code: u16) -> Vec<u8> {
    let arguments = [&[0, 10, 0, 50][..], &code.to_be_bytes(), &[3], b"end", &[0; 4]].concat();
    let size = u32::try_from(arguments.len()).unwrap().to_be_bytes();
    [&[1, 0, 0][..], &size, &arguments, &[0xce]].concat()
}

/// A proxy that ends a connection as soon as a message to this queue is published on it: so many times, with this last frame.
async fn ending(queue: String, times: usize, last: Vec<u8>) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let (port, ended) = (listener.local_addr().unwrap().port(), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&ended);
    // The class and the method, then the exchange without a name, then the queue.
    let published = [&[0, 60, 0, 40, 0, 0, 0][..], &[u8::try_from(queue.len()).unwrap()], queue.as_bytes()].concat();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let (count, published, last) = (Arc::clone(&count), published.clone(), last.clone());
            tokio::spawn(async move {
                let mut server = TcpStream::connect(server()).await.unwrap();
                let (mut sent, mut answered) = (vec![0; 65_536], vec![0; 65_536]);
                loop {
                    tokio::select! {
                        Ok(size @ 1..) = client.read(&mut sent) => {
                            let hit = sent[..size].windows(published.len()).any(|window| window == published);
                            if hit && count.load(Ordering::SeqCst) < times {
                                count.fetch_add(1, Ordering::SeqCst);
                                if !last.is_empty() {
                                    client.write_all(&last).await.unwrap();
                                    let _answer = client.read(&mut sent).await;
                                }
                                return;
                            }
                            server.write_all(&sent[..size]).await.unwrap();
                        }
                        Ok(size @ 1..) = server.read(&mut answered) => {
                            if client.write_all(&answered[..size]).await.is_err() {
                                return;
                            }
                        }
                        else => return,
                    }
                }
            });
        }
    });
    (port, ended)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_end_do_not_cost_a_dead_letter() {
    // The broker is told to stop, and a connection just ends.
    for last in [close_frame(320), Vec::new()] {
        let service = Service::start().await;
        let rabbitmq = Namespace::new().await;
        rabbitmq.declare().await;
        let (port, ended) = ending(rabbitmq.name(DEAD_LETTERS), 2, last).await;
        let broker = rabbitmq.broker_at(&url().replace(&server(), &format!("127.0.0.1:{port}")));
        rabbitmq.send("erp.contract.signed", b"{}").await;
        for _ in 0..5 {
            let inbound = service.inbound();
            let settled = within(60, "it is settled", async || {
                service.inbound_count("dead") + service.inbound_count("rejected") > 0
            });
            tokio::select! {
                Down(_) = inbound.consume(&*broker) => {}
                () = settled => break,
            }
        }
        assert_eq!(ended.load(Ordering::SeqCst), 2);
        assert_eq!((service.inbound_count("dead"), service.inbound_count("rejected")), (1, 0));
        assert_eq!(rabbitmq.drain_queue(DEAD_LETTERS).await.len(), 1);
        rabbitmq.delete().await;
    }
}

#[tokio::test]
async fn a_run_of_messages_that_cannot_be_read_ends_no_consumption() {
    let (log, _guard) = Log::of_this_thread("info", LogFormat::Json);
    let service = Service::start().await;
    let rabbitmq = Namespace::new().await;
    let broker = rabbitmq.declare().await;
    let customer = service.customer().await;
    rabbitmq.send("oa.task.completed", task_completed(0, &customer).to_string().as_bytes()).await;
    for _ in 0..5 {
        publish_unreadable(&rabbitmq.name(INBOUND)).await;
    }
    rabbitmq.send("oa.task.completed", task_completed(1, &customer).to_string().as_bytes()).await;
    consume_until(&service, &*broker, "both are applied", async || {
        service.read("/follow-ups?pageSize=1").await["total"] == 2
    })
    .await;
    let told = log.saying("an event of the platform is rejected: its properties are not UTF-8, and cannot be read");
    assert_eq!(told.len(), 5);
    rabbitmq.delete().await;
}

#[tokio::test]
async fn only_one_process_takes_out_what_cannot_be_read() {
    let (log, _guard) = Log::of_this_thread("info", LogFormat::Json);
    let rabbitmq = Namespace::new().await;
    let broker = rabbitmq.declare().await;
    let service = Service::start().await;
    publish_unreadable(&rabbitmq.name(INBOUND)).await;
    // Another process is at it.
    let lock = rabbitmq.name("crm.inbound.unreadable");
    let exclusive = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
    rabbitmq.channel.queue_declare(lock.as_str().into(), exclusive, FieldTable::default()).await.unwrap();
    let rejected =
        || log.saying("an event of the platform is rejected: its properties are not UTF-8, and cannot be read").len();
    consume_until(&service, &*broker, "it is left to the other", async || {
        log.saying("another process takes out what cannot be read").len() > 1
    })
    .await;
    assert_eq!(rejected(), 0);
    within(60, "it is still there", async || rabbitmq.waiting(INBOUND).await == 1).await;
    rabbitmq.channel.queue_delete(lock.into(), QueueDeleteOptions::default()).await.unwrap();
    consume_until(&service, &*broker, "it is taken out", async || rejected() == 1).await;
    rabbitmq.delete().await;
}

#[tokio::test]
async fn an_events_exchange_with_other_arguments_is_used_as_it_is() {
    let (log, _guard) = Log::of_this_thread("warn", LogFormat::Json);
    let service = Service::start().await;
    let rabbitmq = Namespace::new().await;
    let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    let arguments = table(&[("alternate-exchange", text("amq.fanout"))]);
    let exchange = rabbitmq.name(EVENTS);
    let declared = rabbitmq.channel.exchange_declare(exchange.into(), ExchangeKind::Topic, options, arguments);
    declared.await.unwrap();
    service.customer().await;
    drain(&service.app, &mut relay_to(&service.app, rabbitmq.broker())).await;
    let status = crm::relay::status(service.app.database()).await.unwrap();
    assert_eq!((status.position, status.blocked), (1, 0));
    let told = log.saying("it cannot be declared as this service would, and is used as it is");
    assert_eq!((told.len(), told[0]["name"].as_str().unwrap()), (1, &*rabbitmq.name(EVENTS)));
    rabbitmq.delete().await;
}
