//! What the retention takes for the time: a wrong clock deletes nothing.

use crm::{
    audit::chain,
    background::{self, Purged},
    database::{
        Failure,
        horizon::{self, HorizonKeeper},
    },
    events::outbox,
    telemetry::LogFormat,
};
use sea_orm::ConnectionTrait;
use serde_json::json;

use crate::harness::{CommandOutput, DAY, FAR_FUTURE, Log, PII_KEYS, Service, TestDatabase, run_crm, start_and_stop};

const HOUR: i64 = DAY / 24;

/// Creates a customer under this request id, and returns the status.
async fn post(service: &Service, request_id: &str) -> u16 {
    let call = service.post("/customers", json!({ "name": "x" })).request_id(request_id);
    call.claims(json!({ "exp": FAR_FUTURE })).send().await.status.as_u16()
}

/// A service that has purged before, with an event, a request id and a chained entry of now.
async fn with_history() -> Service {
    let service = Service::start().await;
    purge(&service).await;
    assert_eq!(post(&service, "first").await, 201);
    outbox::assign_positions(service.app.database()).await.unwrap();
    chain::link_entries(service.app.database()).await.unwrap();
    service
}

async fn purge(service: &Service) -> Purged {
    background::purge(&service.app).await.unwrap()
}

async fn waits(service: &Service) -> bool {
    !service.app.metrics().text().contains("crm_retention_waiting_seconds 0\n")
}

async fn confirm(service: &Service) {
    horizon::confirm(service.app.database(), service.app.now().0).await.unwrap();
}

const NOTHING: Purged = Purged { entries: 0, request_ids: 0, events: 0, deletions: 0 };

#[tokio::test]
async fn a_start_with_a_clock_ahead_deletes_nothing_until_it_is_confirmed() {
    for (days, purged) in [
        (8, Purged { events: 1, ..NOTHING }),
        (31, Purged { events: 1, request_ids: 1, ..NOTHING }),
        (200, Purged { events: 1, request_ids: 1, entries: 1, ..NOTHING }),
    ] {
        let service = with_history().await;
        let service = service.restart(days * DAY).await;
        for _ in 0..3 {
            assert_eq!(purge(&service).await, NOTHING, "{days} days ahead");
            service.advance(600_000);
        }
        assert!(waits(&service).await, "{days} days ahead");
        assert_eq!(post(&service, "first").await, 409, "{days} days ahead");
        // The clock is put right: as if nothing had been.
        let service = service.restart(-days * DAY).await;
        assert_eq!(purge(&service).await, NOTHING);
        assert!(!waits(&service).await);

        // The same clock, but right.
        let service = service.restart(days * DAY).await;
        assert_eq!(purge(&service).await, NOTHING);
        confirm(&service).await;
        assert_eq!(purge(&service).await, purged, "{days} days ahead, confirmed");
        assert!(!waits(&service).await);
    }
}

#[tokio::test]
async fn a_clock_that_jumps_while_the_service_runs_deletes_nothing() {
    let service = with_history().await;
    let (log, _guard) = Log::of_this_thread("info", LogFormat::Json);
    service.set_clock(400 * DAY);
    for _ in 0..3 {
        assert_eq!(purge(&service).await, NOTHING);
        assert!(waits(&service).await);
    }
    let errors: Vec<_> = log.lines().into_iter().filter(|line| line["level"] == "ERROR").collect();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0]["message"].as_str().unwrap().contains("`crm retention confirm`"), "{errors:?}");
    assert_eq!(errors[0]["clock"], service.app.now().0.to_rfc3339());
    service.set_clock(-400 * DAY);
    assert_eq!(purge(&service).await, NOTHING);
    assert!(!waits(&service).await);
    // What time really does is not held up: 8 days later the event is past its time.
    service.advance(8 * DAY);
    assert_eq!(purge(&service).await, Purged { events: 1, ..NOTHING });
    assert!(!waits(&service).await);
}

#[tokio::test]
async fn time_that_passes_while_the_service_runs_needs_no_confirmation() {
    let service = with_history().await;
    for _ in 0..29 {
        service.advance(DAY);
        purge(&service).await;
    }
    assert_eq!(post(&service, "first").await, 409);
    service.advance(2 * DAY);
    assert_eq!(purge(&service).await.request_ids, 1);
    assert!(!waits(&service).await);
}

#[tokio::test]
async fn each_start_is_given_one_day_and_no_crash_loop_more_than_two_a_day() {
    let service = with_history().await.restart(31 * DAY).await;
    assert_eq!(purge(&service).await, NOTHING);
    let start = || HorizonKeeper::start(service.app.clock().clone());
    // A hundred starts within a little more than an hour and a half.
    for _ in 0..100 {
        let process = start();
        service.advance(60_000);
        process.advance(service.app.database()).await.unwrap();
    }
    let ahead = async |service: &Service| {
        let horizon = horizon::stored(service.app.database()).await.unwrap().unwrap();
        (service.app.now().0 - horizon.instant()).num_days()
    };
    assert_eq!(ahead(&service).await, 30);
    // Half a day later the next start is given its day, and no other one.
    for _ in 0..10 {
        let process = start();
        service.advance(12 * HOUR);
        for process in [process, start(), start()] {
            assert!(process.advance(service.app.database()).await.unwrap().waiting.is_some());
        }
    }
    assert_eq!(ahead(&service).await, 20);
}

#[tokio::test]
async fn a_stop_over_night_is_caught_up_and_a_long_one_is_waited_for() {
    let mut service = with_history().await;
    for day in 1..=9 {
        // Half a day of work, then off.
        service.advance(12 * HOUR);
        let expected = if day == 8 { Purged { events: 1, ..NOTHING } } else { NOTHING };
        assert_eq!(purge(&service).await, expected, "day {day}");
        assert!(!waits(&service).await);
        service = service.restart(12 * HOUR).await;
    }

    let service = service.restart(60 * DAY).await;
    assert_eq!(purge(&service).await, NOTHING);
    assert!(waits(&service).await);
    confirm(&service).await;
    assert_eq!(purge(&service).await.request_ids, 1);
    assert!(!waits(&service).await);
}

#[tokio::test]
async fn several_processes_do_not_add_up_the_time() {
    let service = with_history().await;
    let others = [service.another_instance(1).await, service.another_instance(2).await];
    service.set_clock(31 * DAY);
    for _ in 0..24 {
        service.advance(HOUR);
        purge(&service).await;
        for other in &others {
            background::purge(other).await.unwrap();
        }
    }
    let horizon = horizon::stored(service.app.database()).await.unwrap().unwrap();
    // The day that passed once, and a day each for the starts of two of them, half a day apart.
    let ahead = (service.app.now().0 - horizon.instant()).num_hours();
    assert!((29 * 24 - 1..=29 * 24).contains(&ahead), "{ahead} hours");
    assert_eq!(post(&service, "first").await, 409);
}

#[tokio::test]
async fn a_clock_set_back_keeps_what_is_young_and_holds_after_a_day() {
    let service = with_history().await;
    // It had been wrong from the start: the horizon is 100 days ahead.
    let service = service.restart(100 * DAY).await;
    confirm(&service).await;
    let service = service.restart(-100 * DAY).await;
    assert_eq!(purge(&service).await, NOTHING);
    // For a moment, the horizon stays: a machine may boot in 1970.
    service.advance(HOUR);
    purge(&service).await;
    let horizon = horizon::stored(service.app.database()).await.unwrap().unwrap();
    assert!(horizon.instant() > service.app.now().0);
    // After a day the clock holds, and is protected from the next jump.
    service.advance(DAY);
    purge(&service).await;
    let horizon = horizon::stored(service.app.database()).await.unwrap().unwrap();
    assert_eq!(horizon.instant(), service.app.now().0);
    let service = service.restart(40 * DAY).await;
    assert_eq!(purge(&service).await, NOTHING);
    assert!(waits(&service).await);
    assert_eq!(post(&service, "first").await, 409);
}

#[tokio::test]
async fn what_is_written_while_the_clock_is_behind_is_kept_once_it_is_right() {
    for days in [8, 40, 200] {
        let service = with_history().await;
        purge(&service).await;
        let service = service.restart(-days * DAY).await;
        purge(&service).await;
        assert_eq!(post(&service, "behind").await, 201);
        outbox::assign_positions(service.app.database()).await.unwrap();
        chain::link_entries(service.app.database()).await.unwrap();
        let service = service.restart(days * DAY).await;
        assert_eq!(purge(&service).await, NOTHING, "{days} days behind");
        assert!(!waits(&service).await);
        assert_eq!(post(&service, "behind").await, 409, "{days} days behind");
        let events = service.get("/events").claims(json!({ "exp": FAR_FUTURE })).send().await.expect(200).body;
        assert_eq!(events["data"].as_array().unwrap().len(), 2, "{days} days behind");
    }
}

#[tokio::test]
async fn a_first_start_with_a_clock_ahead_is_not_believed_later() {
    let service = Service::start().await.restart(200 * DAY).await;
    assert_eq!(purge(&service).await, NOTHING);
    let service = service.restart(-200 * DAY).await;
    purge(&service).await;
    assert_eq!(post(&service, "first").await, 201);
    outbox::assign_positions(service.app.database()).await.unwrap();
    let service = service.restart(31 * DAY).await;
    assert_eq!(purge(&service).await, NOTHING);
    assert!(waits(&service).await);
    assert_eq!(post(&service, "first").await, 409);
}

#[tokio::test]
async fn a_database_that_was_never_purged_begins_with_its_newest_row() {
    // As one that comes from a release without a horizon.
    for (clock, purged, waiting) in
        [(0, NOTHING, false), (20 * HOUR, NOTHING, false), (8 * DAY, NOTHING, true), (40 * DAY, NOTHING, true)]
    {
        let service = Service::start().await;
        assert_eq!(post(&service, "first").await, 201);
        outbox::assign_positions(service.app.database()).await.unwrap();
        let service = service.restart(clock).await;
        assert_eq!(purge(&service).await, purged, "{clock}");
        assert_eq!(waits(&service).await, waiting, "{clock}");
    }
    // What is past its time by a sane clock is purged at the first start.
    let service = Service::start().await;
    assert_eq!(post(&service, "old").await, 201);
    outbox::assign_positions(service.app.database()).await.unwrap();
    service.advance(8 * DAY);
    assert_eq!(post(&service, "young").await, 201);
    let service = service.restart(HOUR).await;
    assert_eq!(purge(&service).await, Purged { events: 1, ..NOTHING });
    assert!(!waits(&service).await);
}

#[tokio::test]
async fn retention_status_and_confirm_say_what_was_and_is() {
    let service = with_history().await;
    purge(&service).await;
    let horizon = service.app.now().0.to_rfc3339();
    let Service { app, database, .. } = service;
    app.database().close().await.unwrap();
    let url = database.url();
    let retention = |task: &str| {
        let output = run_crm(&["retention", task], &[("CRM_DATABASE_URL", url.as_str())]);
        assert_eq!(output.code, Some(0), "{output:?}");
        output.stdout
    };
    assert!(retention("status").contains(&format!("horizon {horizon}\n")));
    assert!(retention("confirm").contains(&format!("the horizon is the clock now; it was {horizon}\n")));
    assert!(!retention("status").contains(&horizon));
    let connection = database.connect().await;
    connection.execute_unprepared("DELETE FROM retention_horizon").await.unwrap();
    assert!(retention("status").contains("none: nothing was purged yet\n"));
    drop(connection);
    let _kept_until_here: TestDatabase = database;
}

#[tokio::test]
async fn rows_written_before_the_first_purge_do_not_move_the_horizon() {
    for fails in [false, true] {
        let service = Service::start().await;
        assert_eq!(post(&service, "first").await, 201);
        outbox::assign_positions(service.app.database()).await.unwrap();
        // A process that starts with a wrong clock on a database that was never purged.
        let service = service.restart(400 * DAY).await;
        if fails {
            service.app.database().steps().fail(1..=u64::MAX, Failure::NotDone);
        }
        background::retention::begin(&service.app).await;
        assert_eq!(horizon::stored(service.app.database()).await.unwrap().is_none(), fails);
        service.app.database().steps().stop_failing();
        assert_eq!(post(&service, "second").await, 201);
        outbox::assign_positions(service.app.database()).await.unwrap();
        assert_eq!(purge(&service).await, NOTHING, "fails: {fails}");
        assert!(waits(&service).await, "fails: {fails}");
        assert_eq!(post(&service, "first").await, 409, "fails: {fails}");
    }
}

#[tokio::test]
async fn the_retention_begins_before_the_service_listens_or_not_at_all() {
    let service = Service::start().await;
    service.customer().await;
    let url = service.database.url();
    let variables = [("CRM_DATABASE_URL", url.as_str()), ("CRM_PII_KEYS", PII_KEYS)];
    let started = start_and_stop(&variables);
    let place = |output: &CommandOutput, text: &str| output.stderr.lines().position(|line| line.contains(text));
    let (begins, serving) = (place(&started, "\"the retention begins\""), place(&started, "\"serving\""));
    assert!(started.code == Some(0) && begins.is_some() && begins < serving, "{started:?}");

    let connection = service.database.connect().await;
    connection.execute_unprepared("DROP TABLE retention_horizon").await.unwrap();
    let started = start_and_stop(&variables);
    let (fails, serving) = (place(&started, "the retention cannot begin"), place(&started, "\"serving\""));
    assert!(started.code == Some(0) && fails.is_some() && fails < serving, "{started:?}");
}
