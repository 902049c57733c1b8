//! Positions in the feeds: of each tenant alone, without gaps, in the order of the outbox; whatever processes, of this
//! release and the one before, assign and delete at once, wherever they are killed, and whatever is restored.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use crm::{
    database::{
        Database, Failure,
        horizon::{self, Due},
        migrate,
    },
    events::outbox,
};
use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use sea_orm::{ConnectionTrait, DatabaseConnection};
use serde_json::Value;

use super::stored::{
    assign_as_before, back_up, event, fed, insert, instant, numbers, ordered, page, purge_as_before, put, restore,
    write,
};
use crate::harness::{AMPLE, Service, TestDatabase, events::damages, id, sql::scalar};

const CREATED: &str = "crm.customer.created";

/// Fails unless the tenant's feed has these events, numbered without gaps.
async fn assert_fed(db: &DatabaseConnection, tenant: &str, first: i64, expected: &[u128]) {
    let expected: Vec<(i64, u128)> = (first..).zip(expected.iter().copied()).collect();
    assert_eq!(fed(db, tenant).await, expected, "{tenant}");
}

#[tokio::test]
async fn events_of_the_release_before_get_positions_in_its_order() {
    let service = Service::start().await;
    let db = service.database.connect().await;
    let mut number = 0;
    for round in 0..12 {
        for tenant in ["a", "b", "a", "c"].iter().take(2 + round % 3) {
            write(&db, tenant, number, 3).await;
            number += 3;
        }
        if round % 2 == 0 {
            assign_as_before(&db).await;
        }
        if round % 3 == 0 {
            outbox::assign_positions(service.app.database()).await.unwrap();
        }
    }
    outbox::assign_positions(service.app.database()).await.unwrap();
    for tenant in ["a", "b", "c"] {
        let expected = ordered(&db, tenant).await;
        assert!(expected.len() > 5);
        assert_fed(&db, tenant, 1, &expected).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn processes_of_both_releases_assign_at_once_without_gaps() {
    let service = Service::start().await;
    let others = [service.another_instance(2).await, service.another_instance(3).await];
    let before = service.database.connect().await;
    let db = service.database.connect().await;
    let writing = async {
        for round in 0..60 {
            for (place, tenant) in ["a", "b", "c"].into_iter().enumerate() {
                write(&db, tenant, 1000 * place as u128 + round * 5, 5).await;
            }
        }
    };
    let assigning = async |app: &crm::app::App| {
        for _ in 0..120 {
            outbox::assign_positions(app.database()).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    let assigning_as_before = async {
        for _ in 0..60 {
            assign_as_before(&before).await;
        }
    };
    tokio::join!(writing, assigning(&service.app), assigning(&others[0]), assigning(&others[1]), assigning_as_before);
    outbox::assign_positions(service.app.database()).await.unwrap();
    for tenant in ["a", "b", "c"] {
        let expected = ordered(&db, tenant).await;
        assert_eq!(expected.len(), 300);
        assert_fed(&db, tenant, 1, &expected).await;
    }
}

#[tokio::test]
async fn an_assignment_killed_at_any_step_leaves_no_gap() {
    let service = Service::start().await;
    let db = service.database.connect().await;
    let database = service.app.database();
    let mut failed = 0;
    for step in 1..20 {
        write(&db, "a", step * 10, 2).await;
        if step % 3 == 0 {
            assign_as_before(&db).await;
        }
        write(&db, "b", step * 10 + 5, 1).await;
        // More than once, because a connection that is lost is replaced.
        database.steps().fail(step as u64..=step as u64 + 40, Failure::NotDone);
        failed += usize::from(outbox::assign_positions(database).await.is_err());
        database.steps().stop_failing();
        outbox::assign_positions(database).await.unwrap();
    }
    assert!(failed > 5, "{failed}");
    for tenant in ["a", "b"] {
        assert_fed(&db, tenant, 1, &ordered(&db, tenant).await).await;
    }
}

/// What is older than this, by a horizon that somebody confirmed.
async fn due(database: &Database, instant: DateTime<Utc>) -> Due {
    horizon::confirm(database, instant).await.unwrap();
    horizon::stored(database).await.unwrap().unwrap().days_before(0)
}

#[tokio::test]
async fn an_event_deleted_late_takes_no_reader_back() {
    let service = Service::start().await;
    let db = service.database.connect().await;
    let database = service.app.database();
    let mut events: Vec<_> = (1..=6).map(|number| event("a", CREATED, number, "")).collect();
    events[5].at = instant(200);
    put(&service.app, &db, events).await;
    // The second one is kept for longer, because the broker refuses it.
    for sql in [
        "UPDATE outbox_relay SET position = 6",
        "INSERT INTO outbox_held (seq, position, tenant_id, aggregate_id, attempts, aside) \
         SELECT seq, position, tenant_id, aggregate_id, 8, TRUE FROM outbox WHERE position = 2",
    ] {
        db.execute_unprepared(sql).await.unwrap();
    }
    let early = id(&page(&service, "a", "limit=3").await, "cursor");
    outbox::purge(database, due(database, instant(50)).await, true).await.unwrap();
    let refused = "after: events behind this cursor are no longer kept";
    service.get(&format!("/events?after={early}")).tenant("a").send().await.refused(400, refused);
    db.execute_unprepared("DELETE FROM outbox_held").await.unwrap();
    outbox::purge(database, due(database, instant(150)).await, true).await.unwrap();
    service.get(&format!("/events?after={early}")).tenant("a").send().await.refused(400, refused);
    service.get("/events?after=3").tenant("a").send().await.refused(400, refused);
    assert_eq!(numbers(&page(&service, "a", "").await), [6]);
    // What is left of the deleted ones is the place of the last.
    assert_eq!(fed(&db, "a").await, [(5, 5), (6, 6)]);
}

#[tokio::test]
async fn places_of_events_that_other_processes_deleted_are_removed() {
    let service = Service::start().await;
    let db = service.database.connect().await;
    // More tenants than are looked at at once.
    let tenants: Vec<String> = (0..120).map(|number| format!("tenant-{number:03}")).collect();
    let of_tenant = |(number, tenant): (usize, &String)| {
        [2 * number as u128, 2 * number as u128 + 1].map(|number| event(tenant, CREATED, number, ""))
    };
    put(&service.app, &db, tenants.iter().enumerate().flat_map(of_tenant).collect()).await;
    purge_as_before(&db, instant(1)).await;
    assert_eq!(scalar::<i64>(&db, "SELECT count(*) FROM feed_events").await, 240);
    let nothing = due(service.app.database(), instant(0)).await;
    assert_eq!(outbox::purge(service.app.database(), nothing, false).await.unwrap(), 0);
    for (number, tenant) in tenants.iter().enumerate() {
        assert_eq!(fed(&db, tenant).await, [(2, 2 * number as u128 + 1)], "{tenant}");
    }
}

#[tokio::test]
async fn a_damaged_event_is_deleted_with_the_others() {
    for damage in damages().iter().filter(|damage| !damage.starts_with("occurred_at")) {
        let service = Service::start().await;
        let db = service.database.connect().await;
        put(&service.app, &db, (1..4).map(|number| event("a", CREATED, number, "")).collect()).await;
        db.execute_unprepared(&format!("UPDATE outbox SET {damage} WHERE position = 2")).await.unwrap();
        let due = due(service.app.database(), instant(1)).await;
        assert_eq!(outbox::purge(service.app.database(), due, false).await.unwrap(), 3, "{damage}");
    }
}

#[tokio::test]
async fn a_reader_of_deleted_events_is_told_also_if_they_had_no_positions() {
    let service = Service::start().await;
    let db = service.database.connect().await;
    put(&service.app, &db, vec![event("a", CREATED, 1, "")]).await;
    let cursor = id(&page(&service, "a", "").await, "cursor");
    // The release before, alone for longer than events are kept.
    write(&db, "a", 2, 3).await;
    assign_as_before(&db).await;
    purge_as_before(&db, instant(50)).await;
    let mut later = event("a", CREATED, 9, "");
    later.at = instant(100);
    put(&service.app, &db, vec![later]).await;
    let refusal = service.get(&format!("/events?after={cursor}")).tenant("a").send().await;
    refusal.refused(400, "after: events behind this cursor are no longer kept");
    assert_eq!(numbers(&page(&service, "a", "").await), [9]);
}

#[tokio::test]
async fn a_database_of_the_release_before_gets_its_feeds() {
    let database = TestDatabase::new().await;
    let url = database.parsed_url();
    migrate::up(&url, None, AMPLE).await.unwrap();
    let feeds = migrate::status(&url).await.unwrap().iter().rev().position(|one| one.name.contains("feed_positions"));
    let newer = u32::try_from(feeds.unwrap()).unwrap() + 1;
    migrate::down(&url, newer, AMPLE).await.unwrap();

    let db = database.connect().await;
    let tenant = |number: u128| ["a", "b", "purged", "kept", "a"][(number % 5) as usize];
    let mut events: Vec<_> = (0..100).map(|number| event(tenant(number), CREATED, number, "")).collect();
    for one in &mut events {
        one.at = instant(if one.tenant == "kept" || one.id.as_u128() >= 70 { 100 } else { 1 });
        if one.tenant == "purged" {
            one.at = instant(1);
        }
    }
    insert(&db, events).await;
    assign_as_before(&db).await;
    purge_as_before(&db, instant(50)).await;
    write(&db, "a", 1000, 2).await;

    migrate::up(&url, None, AMPLE).await.unwrap();
    let (a, kept) = (ordered(&db, "a").await, ordered(&db, "kept").await);
    assert_eq!((a.len(), kept.len()), (12, 20));
    // The first position stands for what was deleted.
    assert_fed(&db, "a", 2, &a).await;
    assert_fed(&db, "kept", 1, &kept).await;
    assert_fed(&db, "purged", 1, &[]).await;

    let service = Service::on(database, &[]).await;
    let cursor = id(&page(&service, "purged", "").await, "cursor");
    write(&db, "purged", 2000, 1).await;
    put(&service.app, &db, Vec::new()).await;
    assert_eq!(numbers(&page(&service, "purged", &format!("after={cursor}")).await), [2000]);
    assert_eq!(numbers(&page(&service, "a", "").await), [&a[..], &[1000, 1001]].concat());
    let refused = "after: events behind this cursor are no longer kept";
    service.get("/events?after=60").tenant("a").send().await.refused(400, refused);
    let former = numbers(&page(&service, "a", "after=80").await);
    assert_eq!(
        former,
        [&a.iter().copied().filter(|number| *number >= 80).collect::<Vec<_>>()[..], &[1000, 1001]].concat()
    );
}

#[derive(Debug, Clone)]
enum Step {
    /// Writes events, so many seconds after or before the others.
    Write {
        tenant: usize,
        count: u128,
        seconds: i64,
    },
    Assign {
        process: usize,
    },
    AssignKilled {
        at: u64,
    },
    AssignAsBefore,
    Purge {
        seconds: i64,
        as_before: bool,
    },
    BackUp,
    Restore,
    Read {
        reader: usize,
        limit: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..2_usize, 1..5_u128, -20..20_i64).prop_map(|(tenant, count, seconds)| Step::Write { tenant, count, seconds }),
        4 => (0..2_usize).prop_map(|process| Step::Assign { process }),
        1 => (1..12_u64).prop_map(|at| Step::AssignKilled { at }),
        3 => Just(Step::AssignAsBefore),
        1 => (-60..0_i64, any::<bool>()).prop_map(|(seconds, as_before)| Step::Purge { seconds, as_before }),
        1 => Just(Step::BackUp),
        1 => Just(Step::Restore),
        9 => (0..6_usize, 1..6_u64).prop_map(|(reader, limit)| Step::Read { reader, limit }),
    ]
}

const TENANTS: [&str; 2] = ["a", "b"];

/// A reader who begins anew where its cursor is refused.
#[derive(Debug, Default)]
struct Reader {
    tenant: &'static str,
    cursor: Option<String>,
    /// How many events of the history are before its cursor, and the last of them.
    place: usize,
    last: Option<u128>,
}

/// What the events and their readers do, and what is expected of them.
struct World {
    service: Service,
    other: crm::app::App,
    db: DatabaseConnection,
    number: u128,
    clock: i64,
    /// The events of each tenant that had positions, deleted ones too.
    history: BTreeMap<&'static str, Vec<u128>>,
    saved: BTreeMap<&'static str, Vec<u128>>,
    readers: Vec<Reader>,
    refused: usize,
    told: usize,
}

impl World {
    async fn new() -> Self {
        let service = Service::start().await;
        let (other, db) = (service.another_instance(2).await, service.database.connect().await);
        back_up(&db).await;
        let readers = (0..6).map(|number| Reader { tenant: TENANTS[number % 2], ..Reader::default() }).collect();
        Self {
            service,
            other,
            db,
            number: 0,
            clock: 1000,
            history: BTreeMap::new(),
            saved: BTreeMap::new(),
            readers,
            refused: 0,
            told: 0,
        }
    }

    async fn apply(&mut self, step: &Step) {
        match *step {
            Step::Write { tenant, count, seconds } => {
                self.clock += 5;
                let numbers = self.number + 1..=self.number + count;
                self.number += count;
                let mut events: Vec<_> = numbers.map(|number| event(TENANTS[tenant], CREATED, number, "")).collect();
                events.iter_mut().for_each(|event| event.at = instant(self.clock + seconds));
                insert(&self.db, events).await;
            }
            Step::Assign { process } => {
                let app = if process == 0 { &self.service.app } else { &self.other };
                outbox::assign_positions(app.database()).await.unwrap();
            }
            Step::AssignKilled { at } => {
                let database = self.service.app.database();
                database.steps().fail(at..=at + 40, Failure::NotDone);
                let _killed_or_done = outbox::assign_positions(database).await;
                database.steps().stop_failing();
            }
            Step::AssignAsBefore => drop(assign_as_before(&self.db).await),
            Step::Purge { seconds, as_before: true } => purge_as_before(&self.db, instant(self.clock + seconds)).await,
            Step::Purge { seconds, as_before: false } => {
                let database = self.service.app.database();
                let due = due(database, instant(self.clock + seconds)).await;
                outbox::purge(database, due, false).await.unwrap();
            }
            Step::BackUp => {
                back_up(&self.db).await;
                self.saved = self.history.clone();
            }
            Step::Restore => {
                restore(&self.db).await;
                self.history = self.saved.clone();
            }
            Step::Read { reader, limit } => self.read(reader, limit).await,
        }
        for tenant in TENANTS {
            let history = self.history.entry(tenant).or_default();
            let known: BTreeSet<u128> = history.iter().copied().collect();
            history.extend(ordered(&self.db, tenant).await.into_iter().filter(|number| !known.contains(number)));
        }
    }

    /// How many events of the history are no longer kept, or not shown any more.
    async fn deleted(&self, tenant: &str) -> usize {
        let kept: BTreeSet<u128> = ordered(&self.db, tenant).await.into_iter().collect();
        self.history[tenant].iter().rposition(|number| !kept.contains(number)).map_or(0, |last| last + 1)
    }

    async fn read(&mut self, reader: usize, limit: u64) {
        let tenant = self.readers[reader].tenant;
        self.history.entry(tenant).or_default();
        let deleted = self.deleted(tenant).await;
        let in_feed: BTreeSet<u128> = fed(&self.db, tenant).await.into_iter().map(|(_, number)| number).collect();
        let reader = &mut self.readers[reader];
        let history = &self.history[tenant];
        let after = reader.cursor.as_ref().map(|cursor| format!("&after={cursor}")).unwrap_or_default();
        let call = self.service.get(&format!("/events?limit={limit}{after}")).tenant(tenant);
        let reply = call.send().await;
        // After a restore, an event may have no place in the feed any more, and get the same one again later.
        let ahead = reader.last.is_some_and(|last| !in_feed.contains(&last));
        let changed = reader.last.is_some() && history.get(reader.place.wrapping_sub(1)).copied() != reader.last;
        if reply.status == 400 {
            assert!(
                ahead || changed || reader.place < deleted,
                "{reader:?} was refused: {} of {history:?}",
                reply.text
            );
            *reader = Reader { tenant, ..Reader::default() };
            self.refused += 1;
            return;
        }
        let page = reply.expect(200).body;
        if reader.cursor.is_none() {
            reader.place = deleted;
        }
        let told = numbers(&page);
        // Exactly the next ones, in order.
        let place = reader.place + told.len();
        assert_eq!(Some(&told[..]), history.get(reader.place..place), "{reader:?} of {history:?}");
        self.told += told.len();
        (reader.place, reader.cursor) = (place, Some(id(&page, "cursor")));
        reader.last = place.checked_sub(1).map(|last| history[last]);
    }

    /// Lets everybody read to the end.
    async fn drain(&mut self) {
        for tenant in 0..TENANTS.len() {
            self.apply(&Step::Write { tenant, count: 1, seconds: 100 }).await;
        }
        self.apply(&Step::Assign { process: 0 }).await;
        for _ in 0..60 {
            for reader in 0..self.readers.len() {
                self.apply(&Step::Read { reader, limit: 20 }).await;
            }
            if self.readers.iter().all(|reader| reader.place == self.history[reader.tenant].len()) {
                return;
            }
        }
        panic!("{:?} do not reach the end of {:?}", self.readers, self.history);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_reader_sees_each_event_once_and_in_order() {
    let mut runner = TestRunner::deterministic();
    let (mut refused, mut told) = (0, 0);
    for _ in 0..6 {
        let steps = proptest::collection::vec(step(), 150).new_tree(&mut runner).unwrap().current();
        let mut world = World::new().await;
        for step in &steps {
            world.apply(step).await;
        }
        world.drain().await;
        (refused, told) = (refused + world.refused, told + world.told);
    }
    assert!(refused > 10 && told > 200, "{refused} readers were refused, {told} events told");
}

#[tokio::test]
async fn a_tenant_of_no_events_has_a_feed_to_follow() {
    let service = Service::start().await;
    let db = service.database.connect().await;
    let cursor = id(&page(&service, "a", "").await, "cursor");
    assert!(cursor.chars().all(|one: char| one.is_ascii_alphanumeric() || "-_".contains(one)), "{cursor}");
    put(&service.app, &db, vec![event("b", CREATED, 1, ""), event("a", CREATED, 2, "")]).await;
    let next: Value = page(&service, "a", &format!("after={cursor}")).await;
    assert_eq!(numbers(&next), [2]);
    assert_eq!(scalar::<i64>(&db, "SELECT position FROM feed_tenants WHERE tenant_id = 'a'").await, 1);
}
