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
    rabbitmq_inbound::{consume_until, table, text},
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

/// Publishes a message whose type is not UTF-8, which no client in Rust does: frame by frame.
async fn publish_unreadable(queue: &str) {
    let uri: lapin::uri::AMQPUri = url().parse().unwrap();
    let (user, server) = (uri.authority.userinfo, (uri.authority.host, uri.authority.port));
    let mut stream = TcpStream::connect(server).await.unwrap();
    let frame = |kind: u8, channel: u16, payload: &[u8]| {
        let size = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&[kind][..], &channel.to_be_bytes(), &size, payload, &[0xce]].concat()
    };
    let method = |channel: u16, class: u16, method: u16, arguments: &[u8]| {
        frame(1, channel, &[&class.to_be_bytes()[..], &method.to_be_bytes(), arguments].concat())
    };
    let short = |text: &str| [&[u8::try_from(text.len()).unwrap()][..], text.as_bytes()].concat();
    let long = |text: &str| [&u32::try_from(text.len()).unwrap().to_be_bytes()[..], text.as_bytes()].concat();
    let plain = format!("\0{}\0{}", user.username, user.password);
    let start_ok = [&[0; 4][..], &short("PLAIN"), &long(&plain), &short("en_US")].concat();
    let tune_ok = [&8_u16.to_be_bytes()[..], &131_072_u32.to_be_bytes(), &0_u16.to_be_bytes()].concat();
    let open = [short(&uri.vhost), vec![0, 0]].concat();
    let published = [
        method(1, 60, 40, &[&[0, 0][..], &short(""), &short(queue), &[0]].concat()),
        // The type is flag 5.
        frame(
            2,
            1,
            &[&[0, 60, 0, 0][..], &2_u64.to_be_bytes(), &(1_u16 << 5).to_be_bytes(), &[2, 0xff, 0xfe]].concat(),
        ),
        frame(3, 1, b"{}"),
        method(1, 20, 40, &[&200_u16.to_be_bytes()[..], &short(""), &[0; 4]].concat()),
    ]
    .concat();
    // Each is sent once the broker has answered the one before.
    for sent in [
        b"AMQP\0\0\x09\x01".to_vec(),
        method(0, 10, 11, &start_ok),
        [method(0, 10, 31, &tune_ok), method(0, 10, 40, &open)].concat(),
        method(1, 20, 10, &[0]),
        published,
    ] {
        stream.write_all(&sent).await.unwrap();
        let mut head = [0; 7];
        stream.read_exact(&mut head).await.unwrap();
        let size = u32::from_be_bytes(head[3..].try_into().unwrap());
        let mut rest = vec![0; usize::try_from(size).unwrap() + 1];
        stream.read_exact(&mut rest).await.unwrap();
    }
}

#[tokio::test]
async fn messages_that_no_client_can_read_do_not_stop_the_queue() {
    let (log, _guard) = Log::of_this_thread("info", LogFormat::Json);
    let service = Service::start().await;
    let rabbitmq = Namespace::new().await;
    let broker = rabbitmq.declare().await;
    let customer = service.customer().await;
    for number in 0..150 {
        if number % 60 == 10 {
            publish_unreadable(&rabbitmq.name(INBOUND)).await;
        }
        rabbitmq.send("oa.task.completed", task_completed(number, &customer).to_string().as_bytes()).await;
    }
    let total = async || service.read("/follow-ups?pageSize=1").await["total"] == 150;
    let (mut ends, inbound) = (0, service.inbound());
    while !total().await {
        tokio::select! {
            _given_up = inbound.consume(&*broker) => ends += 1,
            () = within(60, "all are applied", total) => {}
        }
        assert!(ends < 10, "it does not come to an end");
    }
    assert_eq!(service.read("/follow-ups?pageSize=1").await["total"], 150);
    let told = log.saying("an event of the platform is rejected: its properties are not UTF-8, and cannot be read");
    assert_eq!(told.len(), 3);
    rabbitmq.delete().await;
}
