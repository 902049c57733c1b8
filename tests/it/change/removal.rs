//! A deletion is seen whole from its 204 on, whatever is left to remove: after each step, after steps that fail, after
//! kills, beside other changes.

use std::collections::{BTreeMap, HashMap};

use crm::database::Failure;
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};

use crate::harness::{
    Process, Service, TestDatabase, fields, id, last_page, on_postgres,
    random::Random,
    sql::{column, scalar, table},
    within,
};

const LISTS: [&str; 4] = ["/customers", "/contacts", "/opportunities", "/follow-ups"];

/// What is seen of the tenant's resources: list by list, by id.
type Seen = BTreeMap<&'static str, BTreeMap<String, Value>>;

fn id_of(item: &Value) -> String {
    item.as_object().unwrap().values().next().unwrap().as_str().unwrap().to_owned()
}

/// Everything that the lists show; a total that does not say so fails.
async fn seen(service: &Service) -> Seen {
    let mut seen = Seen::new();
    for list in LISTS {
        let page = service.read(&format!("{list}?pageSize=100")).await;
        let items = page["data"].as_array().unwrap();
        assert_eq!(page["total"], items.len(), "{list}");
        let first = service.read(&format!("{list}?pageSize=1")).await;
        assert_eq!(first["total"], items.len(), "{list}");
        let unstamped = items.iter().cloned().map(|mut item| {
            // A reference that is cleared in a step changes it once more.
            item["updatedAt"].take();
            (id_of(&item), item)
        });
        seen.insert(list, unstamped.collect());
    }
    seen
}

/// What is to be seen once this resource is deleted.
fn without(mut seen: Seen, list: &str, deleted: &str) -> Seen {
    seen.get_mut(list).unwrap().remove(deleted).unwrap();
    for items in seen.values_mut() {
        items.retain(|_, item| item["customerId"] != deleted);
        for item in items.values_mut() {
            for reference in ["opportunityId", "contactId"] {
                if item[reference] == deleted {
                    item[reference] = Value::Null;
                }
            }
        }
    }
    seen
}

/// Fails unless exactly this is seen, one by one, by filters and as references, too.
async fn assert_seen(service: &Service, expected: &Seen, deleted: &[(&'static str, String)]) {
    assert_eq!(&seen(service).await, expected);
    for (list, items) in expected {
        for (id, item) in items {
            let mut read = service.read(&format!("{list}/{id}")).await;
            read["updatedAt"].take();
            assert_eq!(&read, item);
        }
    }
    for (list, deleted) in deleted {
        let path = format!("{list}/{deleted}");
        service.get(&path).send().await.expect(404);
        service.patch(&path, json!({})).send().await.expect(404);
        service.delete(&path).send().await.expect(404);
        let field = expected_field(list);
        for filtered in LISTS.into_iter().filter(|filtered| filters(filtered).contains(&field)) {
            let found = service.read(&format!("{filtered}?{field}={deleted}")).await;
            assert_eq!(found, last_page(0, vec![]), "{filtered} of {path}");
        }
        let about = json!({ "content": "x", field: deleted });
        service.post("/follow-ups", about).send().await.refused(400, field);
    }
}

fn expected_field(list: &str) -> &'static str {
    match list {
        "/customers" => "customerId",
        "/contacts" => "contactId",
        _ => "opportunityId",
    }
}

fn filters(list: &str) -> &'static [&'static str] {
    match list {
        "/customers" => &[],
        "/follow-ups" => &["customerId", "opportunityId"],
        _ => &["customerId"],
    }
}

/// Two customers with contacts, opportunities and follow-ups about each combination of them, and a follow-up about nothing.
async fn populate(service: &Service) {
    service.follow_up(json!({ "content": "x" })).await;
    for _customer in 0..2 {
        let customer = service.customer().await;
        let (mut contacts, mut opportunities) = (vec![Value::Null], vec![Value::Null]);
        for number in 0..2 {
            let primary = json!({ "customerId": customer, "name": "Li Lei", "isPrimary": number == 0 });
            contacts.push(service.create("/contacts", primary).await["contactId"].clone());
            opportunities.push(json!(service.opportunity(&customer).await));
        }
        for contact in &contacts {
            for opportunity in &opportunities {
                let about = json!({ "content": "x", "customerId": customer, "contactId": contact, "opportunityId": opportunity });
                service.follow_up(about).await;
            }
        }
    }
}

#[tokio::test]
async fn at_every_step_and_after_every_failure_a_deletion_is_seen_whole() {
    for seed in 0..4 {
        let service = Service::start().await;
        let mut random = Random(seed);
        populate(&service).await;
        let mut expected = seen(&service).await;
        let before = expected.clone();
        let mut deleted: Vec<(&'static str, String)> = Vec::new();
        let mut failed = 0;
        for _ in 0..400 {
            let deletable: Vec<_> =
                LISTS[..3].iter().flat_map(|list| expected[list].keys().map(|id| (*list, id.clone()))).collect();
            let pending = service.app.changes().deletions(None).await.unwrap();
            if deletable.is_empty() && pending.is_empty() {
                break;
            }
            if !deletable.is_empty() && (pending.is_empty() || random.below(6) == 0) {
                let (list, id) = deletable[random.below(deletable.len())].clone();
                service.delete(&format!("{list}/{id}")).send().await.expect(204);
                expected = without(expected, list, &id);
                deleted.push((list, id));
            } else {
                let deletion = pending[random.below(pending.len())].clone();
                let failing = random.below(12) as u64 + 1;
                let steps = service.app.database().steps();
                match random.below(3) {
                    0 => steps.fail(failing..=u64::MAX, Failure::NotDone),
                    1 => steps.fail(failing..=u64::MAX, Failure::AnswerLost),
                    _ => {}
                }
                let rows = random.below(4) as u64 + 1;
                failed += u32::from(service.app.changes().remove(deletion, rows).await.is_err());
                service.app.database().steps().stop_failing();
            }
            assert_seen(&service, &expected, &deleted).await;
        }
        assert!(deleted.len() > 2 && expected["/customers"].is_empty(), "the seed {seed} deletes too little");
        assert!(failed > 3, "with the seed {seed} only {failed} steps failed");
        assert_removed(&service, &before, &expected).await;
    }
}

/// Fails unless nothing is left of what was deleted but one entry and one event each.
async fn assert_removed(service: &Service, before: &Seen, after: &Seen) {
    let connection = service.database.connect().await;
    assert_eq!(scalar::<i64>(&connection, "SELECT count(*) FROM deletions").await, 0);
    for list in LISTS {
        let rows: i64 = scalar(&connection, &format!("SELECT count(*) FROM {}", table(list))).await;
        assert_eq!(usize::try_from(rows).unwrap(), after[list].len(), "{list}");
    }
    let events: Vec<String> = column(&connection, "SELECT data FROM outbox ORDER BY aggregate_id, version").await;
    let mut versions: HashMap<String, (i64, i64)> = HashMap::new();
    let types: Vec<String> = column(&connection, "SELECT event_type FROM outbox ORDER BY aggregate_id, version").await;
    for (data, event_type) in events.iter().zip(&types) {
        let data: Value = serde_json::from_str(data).unwrap();
        let (version, deletions) = versions.entry(id_of(&data["resource"])).or_default();
        *version += 1;
        *deletions += i64::from(event_type.ends_with(".deleted"));
        assert_eq!(data["version"], *version, "{event_type} {data}");
    }
    for (list, items) in before {
        for id in items.keys() {
            let gone = i64::from(!after[list].contains_key(id));
            assert_eq!(versions[id].1, gone, "events about the deletion of {list}/{id}");
            let entries = service.trail(&format!("resourceId={id}&action=delete")).await;
            assert_eq!(entries.len() as i64, gone, "entries about the deletion of {list}/{id}");
        }
    }
}

#[tokio::test]
async fn the_rest_of_a_deletion_is_in_the_trail_under_its_actor_and_request() {
    let service = Service::start().await;
    let customer = service.customer().await;
    let opportunity = service.opportunity(&customer).await;
    let follow_up = service.follow_up(json!({ "content": "x", "opportunityId": opportunity })).await;
    let call = service.delete(&format!("/opportunities/{opportunity}")).request_id("the-deletion");
    call.claims(json!({ "sub": "deleter", "scope": "crm:write" })).send().await.expect(204);
    service.remove_deleted().await;
    let entries = service.trail(&format!("resourceId={follow_up}&action=update")).await;
    assert_eq!(entries.len(), 1);
    assert_eq!((&entries[0]["actor"], &entries[0]["requestId"]), (&json!("deleter"), &json!("the-deletion")));
    let cleared = json!([{ "field": "opportunityId", "old": opportunity, "new": null }]);
    assert_eq!(entries[0]["changes"], cleared);
}

#[tokio::test]
async fn a_change_of_a_follow_up_leaves_the_clearing_of_its_reference_to_the_removal() {
    let service = Service::start().await;
    let customer = service.customer().await;
    let (opportunity, contact) = (service.opportunity(&customer).await, service.contact(&customer).await);
    let about = json!({ "content": "x", "opportunityId": opportunity, "contactId": contact });
    let (kept, moved) = (service.follow_up(about.clone()).await, service.follow_up(about).await);
    service.delete(&format!("/opportunities/{opportunity}")).send().await.expect(204);

    let changed =
        service.patch(&format!("/follow-ups/{kept}"), json!({ "content": "y" })).send().await.expect(200).body;
    assert_eq!((&changed["opportunityId"], &changed["contactId"]), (&Value::Null, &json!(contact)));
    let freed = json!({ "customerId": null, "contactId": null });
    let freed = service.patch(&format!("/follow-ups/{moved}"), freed).send().await.expect(200).body;
    assert_eq!((&freed["opportunityId"], &freed["customerId"]), (&Value::Null, &Value::Null));
    service.remove_deleted().await;

    let changes = |entries: Vec<Value>| -> Vec<Value> {
        let changes = entries.iter().rev().flat_map(|entry| entry["changes"].as_array().unwrap().clone());
        changes.map(|change| change["field"].clone()).collect()
    };
    let of_kept = service.trail(&format!("resourceId={kept}&action=update")).await;
    assert_eq!(changes(of_kept), ["content", "opportunityId"]);
    let of_moved = service.trail(&format!("resourceId={moved}&action=update")).await;
    assert_eq!(changes(of_moved), ["customerId", "contactId"]);
}

#[tokio::test]
async fn a_deleted_primary_contact_makes_way_for_another_at_once() {
    let service = Service::start().await;
    let customer = service.customer().await;
    let primary = json!({ "customerId": customer, "name": "Li Lei", "isPrimary": true });
    for _ in 0..3 {
        let contact = id(&service.create("/contacts", primary.clone()).await, "contactId");
        service.delete(&format!("/contacts/{contact}")).send().await.expect(204);
    }
    service.create("/contacts", primary).await;
    service.remove_deleted().await;
    assert_eq!(fields(&service.read("/contacts").await, "contactId").len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_that_cannot_be_finished_keeps_no_other_one() {
    let service = Service::start().await;
    let connection = service.database.connect().await;
    let later = "INSERT INTO deletions (tenant_id, resource_id, resource_type, deleted_at, actor, request_id, trace_id) \
                 SELECT tenant_id, customer_id, 'of a later release', created_at, '', '', '' FROM customers";
    service.customer().await;
    connection.execute_unprepared(later).await.unwrap();
    let customer = service.customer().await;
    service.contact(&customer).await;
    service.delete(&format!("/customers/{customer}")).send().await.expect(204);
    let _process = Process::start(&service.database);
    let left = async || scalar::<i64>(&connection, "SELECT count(*) FROM deletions").await;
    within(60, "the other deletion", async || left().await == 1).await;
    assert_eq!(scalar::<i64>(&connection, "SELECT count(*) FROM customers").await, 1);
}

/// Whoever comes first: either the contact goes with its customer, or it is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_added_to_a_customer_that_is_deleted_meanwhile() {
    let service = Service::start().await;
    let another = service.another_instance(2).await;
    for _round in 0..30 {
        let customer = service.customer().await;
        let path = format!("/customers/{customer}");
        let add = || service.post("/contacts", json!({ "customerId": customer, "name": "x" })).send();
        let (first, deleted, second) = tokio::join!(add(), service.delete(&path).send(), add());
        deleted.expect(204);
        for added in [first, second] {
            assert!([201, 400].contains(&added.status.as_u16()), "{}", added.text);
        }
        add().await.expect(400);
        // Two instances remove at once, each row once.
        let deletions = service.app.changes().deletions(None).await.unwrap();
        for deletion in deletions {
            let one = service.app.changes().remove(deletion.clone(), 1);
            let (one, two) = tokio::join!(one, another.changes().remove(deletion, 1));
            one.and(two).unwrap();
        }
    }
    service.remove_deleted().await;
    let connection = service.database.connect().await;
    assert_eq!(scalar::<i64>(&connection, "SELECT count(*) FROM contacts").await, 0);
    let twice = "SELECT count(*) FROM (SELECT 1 FROM outbox WHERE event_type LIKE '%.deleted' \
                 GROUP BY aggregate_id HAVING count(*) > 1) AS twice";
    assert_eq!(scalar::<i64>(&connection, twice).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_process_takes_up_its_deletions_when_it_starts_again() {
    const FOLLOW_UPS: i64 = 1_000;
    let database = TestDatabase::new().await;
    let process = Process::start(&database);
    let mut client = process.client().await;
    let created = client.send("POST", "/customers", "one", json!({ "name": "x" })).await.unwrap();
    let customer = id(&created.1, "customerId");
    let about = json!({ "content": "x", "customerId": customer });
    assert_eq!(client.send("POST", "/follow-ups", "two", about).await.unwrap().0, 201);
    drop(process);
    let id = if on_postgres() { "gen_random_uuid()" } else { "randomblob(16)" };
    let connection = database.connect().await;
    connection
        .execute_unprepared(&format!(
            "INSERT INTO follow_ups (tenant_id, follow_up_id, customer_id, content, follow_up_type, created_at, updated_at, version) \
             WITH RECURSIVE n(n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM n WHERE n < {FOLLOW_UPS}) \
             SELECT tenant_id, {id}, customer_id, content, follow_up_type, created_at, updated_at, 0 FROM follow_ups, n"
        ))
        .await
        .unwrap();
    let left = async || scalar::<i64>(&connection, "SELECT count(*) FROM follow_ups").await;
    assert_eq!(left().await, FOLLOW_UPS);

    let (mut starts, mut last) = (0, FOLLOW_UPS);
    while last > 0 {
        let process = Process::start(&database);
        let mut client = process.client().await;
        if starts == 0 {
            let deleted = client.send("DELETE", &format!("/customers/{customer}"), "d", Value::Null).await.unwrap();
            assert_eq!(deleted.0, 204);
        }
        let list = client.send("GET", "/follow-ups", "l", Value::Null).await.unwrap().1;
        assert_eq!(list, last_page(0, vec![]));
        within(60, "another step", async || left().await != last).await;
        drop(process);
        last = left().await;
        starts += 1;
        assert!(starts < 60, "the removal does not come to an end");
    }
    assert!(starts > 1, "no kill came in the middle");
    let process = Process::start(&database);
    let pending = async || scalar::<i64>(&connection, "SELECT count(*) FROM deletions").await;
    within(60, "the end of the removal", async || pending().await == 0).await;
    drop(process);
    assert_eq!(scalar::<i64>(&connection, "SELECT count(*) FROM customers").await, 0);
    let deleted = "SELECT count(*) FROM outbox WHERE event_type = 'crm.followup.deleted'";
    assert_eq!(scalar::<i64>(&connection, deleted).await, FOLLOW_UPS);
    let entries = "SELECT count(*) FROM audit_logs WHERE action = 'delete' AND resource_type = 'followUp'";
    assert_eq!(scalar::<i64>(&connection, entries).await, FOLLOW_UPS);
}
