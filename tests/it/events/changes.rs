//! Changes: a copy of the data that is kept up to date by them.

use std::collections::{BTreeMap, BTreeSet};

use crm::{
    background,
    database::migrate,
    events::{changes::types::ChangedType, event::NewEvent, outbox},
    service::resources::resources,
};
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};

use super::stored::{assign_as_before, back_up_tables, event, put, restore_tables, write};
use crate::harness::{
    AMPLE, Call, DAY, FAR_FUTURE, Service,
    events::damages,
    fields, id,
    random::Random,
    sql::{column, scalar, uuid_literal},
};

const LISTS: [(&str, &str, &str, &str); 4] = [
    ("customer", "/customers", "customerId", "customers"),
    ("contact", "/contacts", "contactId", "contacts"),
    ("opportunity", "/opportunities", "opportunityId", "opportunities"),
    ("followUp", "/follow-ups", "followUpId", "follow_ups"),
];

/// What a client keeps that follows the changes: the versions of resources by type and id, and its cursor.
#[derive(Debug, Default, Clone)]
struct Copied {
    held: BTreeMap<(String, String), i64>,
    cursor: Option<String>,
}

impl Copied {
    /// Reads a page; returns how many changes it has.
    async fn read(&mut self, service: &Service, query: &str) -> usize {
        let after = self.cursor.as_ref().map(|cursor| format!("&after={cursor}")).unwrap_or_default();
        let page = lasting(service.get(&format!("/changes?{query}{after}"))).send().await.expect(200).body;
        let changes = page["data"].as_array().unwrap();
        for change in changes {
            let key = (id(change, "resourceType"), id(change, "resourceId"));
            match change["deleted"].as_bool().unwrap() {
                true => drop(self.held.remove(&key)),
                false => drop(self.held.insert(key, change["version"].as_i64().unwrap())),
            }
        }
        self.cursor = Some(id(&page, "nextCursor"));
        changes.len()
    }

    /// Reads until nothing has changed since.
    async fn read_all(&mut self, service: &Service, query: &str) {
        while self.read(service, query).await > 0 {}
    }

    async fn of(service: &Service) -> Self {
        let mut copy = Self::default();
        copy.read_all(service, "limit=1000").await;
        copy
    }

    fn ids(&self) -> BTreeSet<&str> {
        self.held.keys().map(|(_, id)| id.as_str()).collect()
    }
}

/// The request with a token that is valid for long.
fn lasting(call: Call<'_>) -> Call<'_> {
    call.claims(json!({ "exp": FAR_FUTURE }))
}

/// Gives all events their places.
async fn place(service: &Service) {
    outbox::assign_positions(service.app.database()).await.unwrap();
}

/// What the lists show, with the versions that are stored.
async fn listed(service: &Service) -> BTreeMap<(String, String), i64> {
    let db = service.database.connect().await;
    let mut all = BTreeMap::new();
    for (kind, path, field, table) in LISTS {
        let list = service.read(&format!("{path}?pageSize=100")).await;
        assert!(list["total"].as_u64().unwrap() <= 100, "more than a page");
        for id in fields(&list, field) {
            let id_column = field.replace("Id", "_id").replace("followUp", "follow_up");
            let row = uuid_literal(id);
            let sql = format!("SELECT version FROM {table} WHERE tenant_id = 'default' AND {id_column} = {row}");
            all.insert((kind.to_owned(), id.to_owned()), scalar::<i64>(&db, &sql).await);
        }
    }
    all
}

/// Creates, changes and deletes at random; deletions of customers take much with them.
async fn write_at_random(service: &Service, seed: u64, count: usize) {
    let mut random = Random(seed);
    let (mut customers, mut others) = (vec![service.customer().await], Vec::<String>::new());
    for number in 0..count {
        let customer = customers[random.below(customers.len())].clone();
        let made = match random.below(9) {
            0 => {
                customers.push(service.customer().await);
                None
            }
            1 | 2 => Some(("/contacts", json!({ "customerId": customer, "name": "Li Lei" }), "contactId")),
            3 => Some(("/opportunities", json!({ "customerId": customer, "title": "x" }), "opportunityId")),
            4 => Some(("/follow-ups", json!({ "customerId": customer, "content": "x" }), "followUpId")),
            5 if customers.len() > 1 => {
                customers.retain(|one| *one != customer);
                service.delete(&format!("/customers/{customer}")).send().await.expect(204);
                None
            }
            6 if !others.is_empty() => {
                let gone = others.swap_remove(random.below(others.len()));
                let status = service.delete(&gone).send().await.status.as_u16();
                assert!([204, 404].contains(&status), "{gone} {status}");
                None
            }
            _ => {
                let name = json!({ "name": format!("{seed} {number}") });
                service.patch(&format!("/customers/{customer}"), name).send().await.expect(200);
                None
            }
        };
        if let Some((path, body, field)) = made {
            others.push(format!("{path}/{}", id(&service.create(path, body).await, field)));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_kept_by_changes_under_concurrent_writes_is_equal_to_the_lists() {
    for seed in 0..3 {
        let service = Service::start().await;
        let (mut copy, mut of_types) = (Copied::default(), Copied::default());
        let writers = async {
            tokio::join!(
                write_at_random(&service, seed * 10 + 1, 40),
                write_at_random(&service, seed * 10 + 2, 40),
                write_at_random(&service, seed * 10 + 3, 40)
            );
        };
        let follow = async |copy: &mut Copied, query: &str| {
            loop {
                place(&service).await;
                copy.read(&service, query).await;
                let deletions = service.app.changes().deletions(None).await.unwrap();
                if let Some(deletion) = deletions.into_iter().next() {
                    service.app.changes().remove(deletion, 2).await.unwrap();
                }
            }
        };
        tokio::select! {
            () = writers => {}
            () = follow(&mut copy, "limit=7") => {}
            () = follow(&mut of_types, "limit=3&types=contact,followUp") => {}
        }
        service.remove_deleted().await;
        place(&service).await;
        copy.read_all(&service, "limit=5").await;
        of_types.read_all(&service, "limit=5&types=followUp,contact").await;
        let mut lists = listed(&service).await;
        assert!(lists.len() > 20, "{lists:?}");
        assert_eq!(copy.held, lists);
        assert_eq!(Copied::of(&service).await.held, lists);
        lists.retain(|(kind, _), _| ["contact", "followUp"].contains(&kind.as_str()));
        assert_eq!(of_types.held, lists);
    }
}

#[tokio::test]
async fn a_resource_that_changes_during_the_walk_comes_again() {
    let service = Service::start().await;
    let (first, second) = (service.customer().await, service.customer().await);
    place(&service).await;
    let mut copy = Copied::default();
    assert_eq!(copy.read(&service, "limit=1").await, 1);
    service.patch(&format!("/customers/{first}"), json!({ "name": "x" })).send().await.expect(200);
    // Not before the event has its place.
    assert_eq!(copy.clone().read(&service, "").await, 1);
    place(&service).await;
    assert_eq!(copy.read(&service, "").await, 2);
    let key = |id: &str| ("customer".to_owned(), id.to_owned());
    assert_eq!(copy.held, BTreeMap::from([(key(&first), 2), (key(&second), 1)]));
    assert_eq!(copy.read(&service, "").await, 0);
    service.delete(&format!("/customers/{first}")).send().await.expect(204);
    place(&service).await;
    let page = service.read(&format!("/changes?after={}", copy.cursor.as_ref().unwrap())).await;
    let expected = json!([{ "resourceType": "customer", "resourceId": first, "version": 3, "deleted": true }]);
    assert_eq!(page["data"], expected);
}

#[tokio::test]
async fn thousands_of_changes_and_deletions_come_page_by_page_exactly_once() {
    const ROWS: u128 = 4_000;
    let service = Service::start().await;
    let db = service.database.connect().await;
    write(&db, "a", 0, ROWS).await;
    // The event about each of these resources that comes next.
    let next = async |version: i64, event_type: &str, numbers: &mut dyn Iterator<Item = u128>| {
        let of = |number| {
            let id = uuid::Uuid::from_u128(number + ROWS * u128::try_from(version).unwrap());
            NewEvent { id, version, ..event("a", event_type, number, "") }
        };
        put(&service.app, &db, numbers.map(of).collect()).await;
    };
    next(2, "crm.customer.deleted", &mut (0..ROWS).step_by(3)).await;
    // Reads on, so many pages at most, and notes each change: the version, and whether it is a deletion.
    let read = async |cursor: &mut String, (limit, pages): (usize, usize)| {
        let mut read: BTreeMap<u128, (i64, bool)> = BTreeMap::new();
        for _ in 0..pages {
            let call = service.get(&format!("/changes?limit={limit}{cursor}")).tenant("a");
            let page = lasting(call).send().await.expect(200).body;
            let changes = page["data"].as_array().unwrap();
            for change in changes {
                let number = id(change, "resourceId").parse::<uuid::Uuid>().unwrap().as_u128();
                let change = (change["version"].as_i64().unwrap(), change["deleted"].as_bool().unwrap());
                assert_eq!(read.insert(number, change), None, "{number} comes twice");
            }
            *cursor = format!("&after={}", id(&page, "nextCursor"));
            if changes.is_empty() {
                break;
            }
            assert!(changes.len() == limit || !read.len().is_multiple_of(limit), "a short page in between");
        }
        read
    };
    let mut expected: BTreeMap<u128, (i64, bool)> =
        (0..ROWS).map(|number| (number, if number % 3 == 0 { (2, true) } else { (1, false) })).collect();
    for limit in [1_000, 97] {
        assert_eq!(read(&mut String::new(), (limit, usize::MAX)).await, expected, "{limit} a page");
    }

    // What changes or goes during the walk: some of it was read before, some was not.
    let mut cursor = String::new();
    let mut first = read(&mut cursor, (100, 17)).await;
    assert_eq!(first.len(), 1_700);
    next(3, "crm.customer.updated", &mut (1..ROWS).step_by(9)).await;
    next(3, "crm.customer.deleted", &mut (2..ROWS).step_by(9)).await;
    expected.extend((1..ROWS).step_by(9).map(|number| (number, (3, false))));
    expected.extend((2..ROWS).step_by(9).map(|number| (number, (3, true))));
    let rest = read(&mut cursor, (100, usize::MAX)).await;
    let twice = rest.keys().filter(|number| first.contains_key(number)).count();
    assert!(twice > 100 && rest.iter().all(|(number, (version, _))| !first.contains_key(number) || *version == 3));
    first.extend(rest);
    assert_eq!(first, expected);
    assert_eq!(read(&mut cursor, (100, 1)).await, BTreeMap::new());
}

#[test]
fn every_resource_is_a_type_of_changes() {
    let kinds: Vec<&str> = resources().iter().map(|resource| resource.kind.name).collect();
    assert_eq!(ChangedType::ALL.map(ChangedType::name).to_vec(), kinds);
}

#[tokio::test]
async fn unknown_types_of_resources_are_400() {
    let service = Service::start().await;
    for types in ["invoice", "Customer", "customer,", "", "customer,contact,invoice"] {
        let call = service.get(&format!("/changes?types={types}"));
        call.send()
            .await
            .refused(400, "types: must be of customer, contact, opportunity, followUp, separated by commas");
    }
    let many = service.get("/changes?types=customer,customer,customer,customer,customer");
    many.send().await.refused(400, "types: must be at most 4 types");
}

#[tokio::test]
async fn a_foreign_damaged_or_forged_cursor_of_changes_is_400() {
    let service = Service::start().await;
    let db = service.database.connect().await;
    put(&service.app, &db, vec![event("a", "crm.customer.created", 1, ""), event("b", "crm.customer.created", 2, "")])
        .await;
    let read = async |tenant: &str, query: &str| service.get(&format!("/changes{query}")).tenant(tenant).send().await;
    let page = read("a", "").await.expect(200).body;
    assert_eq!(page["data"].as_array().unwrap().len(), 1);
    let cursor = id(&page, "nextCursor");
    let refused = async |tenant: &str, cursor: &str| {
        let reply = read(tenant, &format!("?after={cursor}")).await;
        reply.refused(400, "after: must be a nextCursor that this list answered");
    };
    refused("b", &cursor).await;
    for at in 0..cursor.len() {
        let mut damaged = cursor.clone();
        let other = if &damaged[at..=at] == "A" { "B" } else { "A" };
        damaged.replace_range(at..=at, other);
        refused("a", &damaged).await;
        refused("a", &cursor[..at]).await;
    }
    let events = service.get("/events").tenant("a").send().await.expect(200).body;
    refused("a", &id(&events, "cursor")).await;
    assert_eq!(read("a", &format!("?after={cursor}")).await.expect(200).body["data"], json!([]));
}

#[tokio::test]
async fn deletions_are_told_for_90_days_and_then_an_older_cursor_is_400() {
    let service = Service::start().await;
    background::purge(&service.app).await.unwrap();
    let (gone, kept) = (service.customer().await, service.customer().await);
    place(&service).await;
    let mut before = Copied::default();
    before.read(&service, "limit=1").await;
    let old = Copied::of(&service).await;
    service.delete(&format!("/customers/{gone}")).send().await.expect(204);
    service.remove_deleted().await;
    place(&service).await;
    let mut poller = old.clone();
    poller.read_all(&service, "types=contact").await;

    let days = async |days: i64| {
        for _ in 0..days {
            service.advance(DAY);
        }
        background::purge(&service.app).await.unwrap().deletions
    };
    assert_eq!(days(90).await, 0);
    let still = lasting(service.get(&format!("/changes?after={}", old.cursor.as_ref().unwrap())));
    let still = still.send().await.expect(200).body;
    assert_eq!((&still["data"][0]["resourceId"], &still["data"][0]["deleted"]), (&json!(gone), &json!(true)));
    let mut begun = Copied::default();
    begun.read(&service, "limit=1").await;
    assert_eq!(days(1).await, 1);

    for cursor in [&before.cursor, &old.cursor] {
        let call = service.get(&format!("/changes?after={}", cursor.as_ref().unwrap()));
        lasting(call)
            .send()
            .await
            .refused(400, "after: deletions behind this cursor are no longer kept; begin without it");
    }
    // Who has seen it, or began afterwards, goes on; of an event that is deleted by its own retention nothing is missing.
    begun.read_all(&service, "limit=1").await;
    assert_eq!(begun.ids(), BTreeSet::from([kept.as_str()]));
    poller.read_all(&service, "").await;
    let mut anew = Copied::default();
    anew.read(&service, "limit=1").await;
    anew.read_all(&service, "limit=1").await;
    assert_eq!(anew.ids(), BTreeSet::from([kept.as_str()]));
    lasting(service.post("/customers", json!({ "name": "x" }))).send().await.expect(201);
    place(&service).await;
    assert_eq!((poller.read(&service, "").await, anew.read(&service, "").await), (1, 1));
}

#[tokio::test]
async fn a_wrong_clock_forgets_no_deletion() {
    let service = Service::with(&[("CRM_CHANGES_RETENTION_DAYS", "2")]).await;
    background::purge(&service.app).await.unwrap();
    let delete = async || {
        let customer = lasting(service.post("/customers", json!({ "name": "x" }))).send().await.expect(201);
        let customer = format!("/customers/{}", id(&customer.body, "customerId"));
        lasting(service.delete(&customer)).send().await.expect(204);
        service.remove_deleted().await;
        place(&service).await;
    };
    delete().await;
    service.advance(DAY);
    background::purge(&service.app).await.unwrap();
    // One year too far, then 20 years behind: what is deleted then is not old once the clock is right.
    service.set_clock(365 * DAY);
    assert_eq!(background::purge(&service.app).await.unwrap().deletions, 0);
    service.set_clock(-21 * 365 * DAY);
    delete().await;
    service.set_clock(20 * 365 * DAY);
    assert_eq!(background::purge(&service.app).await.unwrap().deletions, 0);
    let db = service.database.connect().await;
    assert_eq!(scalar::<i64>(&db, "SELECT count(*) FROM resource_changes WHERE deleted_at IS NOT NULL").await, 2);
    for _ in 0..4 {
        service.advance(DAY);
        background::purge(&service.app).await.unwrap();
    }
    assert_eq!(scalar::<i64>(&db, "SELECT count(*) FROM resource_changes").await, 0);
}

#[tokio::test]
async fn every_cursor_ahead_of_a_restored_database_is_400() {
    const TABLES: [&str; 8] = [
        "outbox",
        "outbox_head",
        "outbox_purged",
        "feed_tenants",
        "feed_head",
        "feed_events",
        "resource_changes",
        "resource_changes_purged",
    ];
    let service = Service::start().await;
    let db = service.database.connect().await;
    let read = async |query: &str| service.get(&format!("/changes?{query}")).tenant("a").send().await;
    write(&db, "a", 1, 3).await;
    put(&service.app, &db, Vec::new()).await;
    let known = id(&read("").await.expect(200).body, "nextCursor");
    back_up_tables(&db, &TABLES).await;
    write(&db, "a", 10, 3).await;
    put(&service.app, &db, Vec::new()).await;
    // The second one has seen no more than what is in the backup; but what it has not seen may be elsewhere there.
    let ahead =
        [id(&read("").await.expect(200).body, "nextCursor"), id(&read("limit=1").await.expect(200).body, "nextCursor")];
    restore_tables(&db, &TABLES).await;
    for grown in 0..3 {
        for cursor in &ahead {
            let reply = read(&format!("after={cursor}")).await;
            reply.refused(400, "after: the service was restored from a backup and does not hold what this cursor has");
        }
        let since = read(&format!("after={known}")).await.expect(200).body;
        assert_eq!(since["data"].as_array().unwrap().len(), grown * 2);
        write(&db, "a", 100 + 2 * grown as u128, 2).await;
        put(&service.app, &db, Vec::new()).await;
    }
}

#[tokio::test]
async fn an_upgrade_begins_with_all_that_there_is() {
    let service = Service::start().await;
    let customer = service.customer().await;
    service.contact(&customer).await;
    service.follow_up(json!({ "content": "x" })).await;
    let gone = service.customer().await;
    service.delete(&format!("/customers/{gone}")).send().await.expect(204);
    service.remove_deleted().await;
    place(&service).await;
    // Events that have no places yet: of what is there, and of what is not.
    service.opportunity(&customer).await;
    service.patch(&format!("/customers/{customer}"), json!({ "name": "x" })).send().await.expect(200);
    let lately = service.customer().await;
    service.delete(&format!("/customers/{lately}")).send().await.expect(204);
    let url = service.database.parsed_url();
    let newest_first: Vec<String> =
        migrate::status(&url).await.unwrap().into_iter().rev().map(|one| one.name).collect();
    let steps = newest_first.iter().position(|name| name.contains("resource_changes")).unwrap();
    migrate::down(&url, u32::try_from(steps).unwrap() + 1, AMPLE).await.unwrap();
    let db = service.database.connect().await;
    db.execute_unprepared("DELETE FROM outbox WHERE seq = 1").await.unwrap();
    migrate::up(&url, None, AMPLE).await.unwrap();

    let mut copy = Copied::of(&service).await;
    assert_eq!(copy.held, listed(&service).await);
    let deleted = column::<i64>(&db, "SELECT position FROM resource_changes WHERE deleted_at IS NOT NULL").await;
    assert_eq!(deleted.len(), 2, "{deleted:?}");
    service.remove_deleted().await;
    place(&service).await;
    service.delete(&format!("/customers/{customer}")).send().await.expect(204);
    service.remove_deleted().await;
    place(&service).await;
    copy.read_all(&service, "limit=2").await;
    assert_eq!(copy.held, listed(&service).await);
    assert_eq!(copy.held.len(), 1);
}

#[tokio::test]
async fn events_of_the_release_before_and_damaged_ones_are_no_obstacle() {
    for damage in damages() {
        let service = Service::start().await;
        let db = service.database.connect().await;
        write(&db, "a", 1, 3).await;
        db.execute_unprepared(&format!("UPDATE outbox SET {damage} WHERE seq = 2")).await.unwrap();
        assign_as_before(&db).await;
        put(&service.app, &db, vec![event("a", "crm.contact.deleted", 4, "")]).await;
        let page = service.get("/changes").tenant("a").send().await.expect(200).body;
        let ids: Vec<u128> =
            fields(&page, "resourceId").iter().map(|id| id.parse::<uuid::Uuid>().unwrap().as_u128()).collect();
        let sound: Vec<u128> = ids.into_iter().filter(|id| *id != 2).collect();
        assert_eq!(sound, [1, 3, 4], "{damage}");
        let types: Vec<&Value> = page["data"].as_array().unwrap().iter().map(|one| &one["resourceType"]).collect();
        assert_eq!(types.last(), Some(&&json!("contact")), "{damage}");
    }
}
