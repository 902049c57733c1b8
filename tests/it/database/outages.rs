//! PostgreSQL frozen, cut off, restarted, locked and read-only under the running service: each answer comes within 10 s,
//! what cannot be done is 503, and within 10 s of the end of the fault everything works, with nothing lost or doubled.
//! `make outages` runs this, with a PostgreSQL of its own.

use std::time::Duration;

use sea_orm::ConnectionTrait;

use crate::harness::{Client, Load, Process, Told, kept, postgres::Cluster, proxy::Proxy, within};

/// Fails unless the service works within 10 s: its health, reads, and writes, also of what was written before.
async fn heals(told: &Told, client: &mut Client) {
    let begun = tokio::time::Instant::now();
    within(10, "healthy again", async || client.get("/health").await.status == 200).await;
    within(10, "reads again", async || client.get("/customers").await.status == 200).await;
    within(10, "writes again", async || told.write(client, 0).await == 201).await;
    assert!(begun.elapsed() < Duration::from_secs(10), "healed after {:?}", begun.elapsed());
    eprintln!("healed after {:?}; {}", begun.elapsed(), told.summary());
}

/// Fails unless nothing works, and each answer says so in time; all are asked at once. `/health` knows it soon.
async fn nothing_works(told: &Told, process: &Process) {
    let (mut one, mut other, mut third) = (process.client().await, process.client().await, process.client().await);
    let health = within(10, "/health says so", async || third.get("/health").await.status == 503);
    let (read, written, ()) = tokio::join!(one.get("/customers"), told.write(&mut other, 0), health);
    assert_eq!((read.status, written), (503, 503));
    assert_eq!(third.get("/health").await.status, 503);
}

/// Fails unless each of many requests, one after the other, is done.
async fn all_work(told: &Told, client: &mut Client) {
    for turn in 0..40 {
        let answer = client.get("/customers?pageSize=1").await;
        assert_eq!(answer.status, 200, "the GET no. {turn}: {}", answer.body);
        assert_eq!(told.write(client, 0).await, 201, "the POST no. {turn}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute: make outages"]
async fn frozen_it_is_503_within_10_s_and_heals() {
    let Some(cluster) = Cluster::start().await else { return };
    let (url, told) = (cluster.url(), Told::default());
    let process = Process::at(&url, &[]);
    let mut client = process.client().await;
    let load = Load::start(&process, &told, 8);
    load.until_acknowledged(100).await;
    cluster.freeze();
    let thawed = async {
        tokio::time::sleep(Duration::from_secs(15)).await;
        cluster.thaw();
    };
    let asked = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        nothing_works(&told, &process).await;
    };
    tokio::join!(thawed, asked);
    heals(&told, &mut client).await;
    load.until_acknowledged(200).await;
    load.end().await;
    kept(&told, &process, &url).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute: make outages"]
async fn cut_off_it_is_503_within_10_s_and_heals() {
    let Some(cluster) = Cluster::start().await else { return };
    let (proxy, told) = (Proxy::to(cluster.port()).await, Told::default());
    let process = Process::at(&cluster.url_through(proxy.port()), &[]);
    let mut client = process.client().await;
    let load = Load::start(&process, &told, 8);
    load.until_acknowledged(100).await;
    proxy.cut();
    let mended = async {
        tokio::time::sleep(Duration::from_secs(25)).await;
        proxy.mend();
    };
    let asked = async {
        for _ in 0..2 {
            nothing_works(&told, &process).await;
        }
    };
    tokio::join!(mended, asked);
    heals(&told, &mut client).await;
    load.until_acknowledged(200).await;
    load.end().await;
    kept(&told, &process, &cluster.url()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute: make outages"]
async fn when_old_connections_carry_nothing_any_more_it_heals_through_new_ones() {
    let Some(cluster) = Cluster::start().await else { return };
    let (proxy, told) = (Proxy::to(cluster.port()).await, Told::default());
    let process = Process::at(&cluster.url_through(proxy.port()), &[]);
    let mut client = process.client().await;
    let load = Load::start(&process, &told, 8);
    load.until_acknowledged(100).await;
    proxy.bury_connections();
    heals(&told, &mut client).await;
    load.until_acknowledged(300).await;
    load.end().await;
    // Also where nobody writes when it happens.
    proxy.bury_connections();
    heals(&told, &mut client).await;
    kept(&told, &process, &cluster.url()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute: make outages"]
async fn refused_and_restarted_it_is_503_and_afterwards_no_request_fails() {
    let Some(mut cluster) = Cluster::start().await else { return };
    let (mut proxy, told) = (Proxy::to(cluster.port()).await, Told::default());
    let url = cluster.url();
    let process = Process::at(&cluster.url_through(proxy.port()), &[]);
    let mut client = process.client().await;
    // Every connection that it may have, it has.
    let load = Load::start(&process, &told, 24);
    load.until_acknowledged(200).await;
    load.end().await;
    cluster.shut_down();
    nothing_works(&told, &process).await;
    cluster.boot().await;
    all_work(&told, &mut client).await;
    // The same with the address of a server that is down.
    proxy.refuse().await;
    cluster.shut_down();
    nothing_works(&told, &process).await;
    cluster.boot().await;
    proxy.accept().await;
    heals(&told, &mut client).await;
    // And under load.
    let load = Load::start(&process, &told, 8);
    load.until_acknowledged(50).await;
    cluster.shut_down();
    cluster.boot().await;
    heals(&told, &mut client).await;
    load.until_acknowledged(100).await;
    load.end().await;
    kept(&told, &process, &url).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute: make outages"]
async fn with_all_its_sessions_ended_no_request_fails() {
    let Some(cluster) = Cluster::start().await else { return };
    let (url, told) = (cluster.url(), Told::default());
    let process = Process::at(&url, &[]);
    let mut client = process.client().await;
    for _ in 0..3 {
        let load = Load::start(&process, &told, 24);
        load.until_acknowledged(100).await;
        load.end().await;
        cluster.terminate_all().await;
        all_work(&told, &mut client).await;
    }
    kept(&told, &process, &url).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute: make outages"]
async fn with_its_table_locked_it_is_503_within_10_s_and_heals() {
    let Some(cluster) = Cluster::start().await else { return };
    let (url, told) = (cluster.url(), Told::default());
    let process = Process::at(&url, &[]);
    let mut client = process.client().await;
    let load = Load::start(&process, &told, 8);
    load.until_acknowledged(50).await;
    let stranger = cluster.session().await;
    stranger.execute_unprepared("BEGIN").await.unwrap();
    stranger.execute_unprepared("LOCK TABLE customers IN ACCESS EXCLUSIVE MODE").await.unwrap();
    told.forget_statuses();
    let released = async {
        tokio::time::sleep(Duration::from_secs(15)).await;
        stranger.execute_unprepared("ROLLBACK").await.unwrap();
    };
    let asked = async {
        let mut more = process.client().await;
        let (read, written) = tokio::join!(client.get("/customers"), told.write(&mut more, 0));
        assert_eq!((read.status, written), (503, 503));
    };
    tokio::join!(released, asked);
    heals(&told, &mut client).await;
    load.until_acknowledged(100).await;
    load.end().await;
    kept(&told, &process, &url).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute: make outages"]
async fn read_only_it_reads_is_503_to_writes_and_heals() {
    let Some(cluster) = Cluster::start().await else { return };
    let (url, told) = (cluster.url(), Told::default());
    let process = Process::at(&url, &[]);
    let mut client = process.client().await;
    let load = Load::start(&process, &told, 8);
    load.until_acknowledged(50).await;
    cluster.read_only(true).await;
    within(10, "writes are refused", async || told.write(&mut client, 0).await == 503).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    told.forget_statuses();
    for _ in 0..10 {
        assert_eq!(told.write(&mut client, 0).await, 503);
        assert_eq!(client.get("/customers").await.status, 200);
    }
    within(10, "/health says so", async || client.get("/health").await.status == 503).await;
    assert_eq!(client.get("/customers").await.status, 200);
    assert_eq!(told.count(201), 0);
    cluster.read_only(false).await;
    heals(&told, &mut client).await;
    told.forget_statuses();
    load.until_acknowledged(100).await;
    load.end().await;
    assert_eq!(told.count(503), 0, "it was over");
    kept(&told, &process, &url).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute: make outages"]
async fn killed_under_load_on_a_server_that_syncs_it_has_every_acknowledged_write() {
    let Some(cluster) = Cluster::start().await else { return };
    let (url, told) = (cluster.url(), Told::default());
    for _round in 0..5 {
        let process = Process::at(&url, &[]);
        let load = Load::start(&process, &told, 8);
        load.until_acknowledged(100).await;
        load.kill(process).await;
    }
    kept(&told, &Process::at(&url, &[]), &url).await;
}
