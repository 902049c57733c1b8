//! The totals of lists, which are kept and not counted: through random histories they say what counting says.

use crm::database::{Failure, counts::fold};
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};

use crate::harness::{
    Service, UNKNOWN_ID, counts::assert_right, fields, last_page, on_postgres, random::Random, sql::scalar,
};

const TENANTS: [&str; 2] = ["one", "two"];
const LISTS: [&str; 4] = ["/customers", "/contacts", "/opportunities", "/follow-ups"];
const IDS: [&str; 4] = ["customerId", "contactId", "opportunityId", "followUpId"];

impl Random {
    /// One of them, or null.
    fn any(&mut self, ids: &[String]) -> Value {
        ids.get(self.below(ids.len() + 1)).map_or(Value::Null, |id| json!(id))
    }
}

/// The ids of a tenant's resources, list by list; those that are deleted among them.
type Ids = [Vec<String>; 4];

async fn read(service: &Service, tenant: &str, path: &str) -> Value {
    service.get(path).tenant(tenant).send_unchecked().await.expect(200).body
}

/// Fails unless each kept total is how many items are seen: a page past the end has no items to tell it by.
async fn assert_totals(service: &Service, tenant: &str, ids: &Ids, foreign: &Ids, random: &mut Random) {
    let [customers, _, opportunities, _] = ids;
    let mut filters: Vec<(&str, String)> = LISTS.map(|list| (list, String::new())).to_vec();
    let none = [random.any(&foreign[0]), json!(UNKNOWN_ID), json!("x")][random.below(3)].clone();
    let owners = [random.any(customers), json!(customers.last()), none];
    for customer in owners.iter().filter_map(Value::as_str) {
        filters.extend(LISTS[1..].iter().map(|list| (*list, format!("&customerId={customer}"))));
        let opportunity = random.any(opportunities);
        let opportunity = opportunity.as_str().unwrap_or(UNKNOWN_ID);
        filters.push(("/follow-ups", format!("&customerId={customer}&opportunityId={opportunity}")));
    }
    let none = [random.any(&foreign[2]), json!("x")][random.below(2)].clone();
    let owners = [random.any(opportunities), json!(opportunities.last()), none];
    for opportunity in owners.iter().filter_map(Value::as_str) {
        filters.push(("/follow-ups", format!("&opportunityId={opportunity}")));
    }
    for (list, filter) in filters {
        let all = read(service, tenant, &format!("{list}?pageSize=100{filter}")).await;
        let seen = all["data"].as_array().unwrap().len();
        assert!(seen < 100 && all["total"] == seen, "{tenant} {list} {filter}: {seen} of {}", all["total"]);
        let page = ["page=1&pageSize=1", "page=101&pageSize=100"][random.below(2)];
        let total = read(service, tenant, &format!("{list}?{page}{filter}")).await["total"].clone();
        assert_eq!(total, seen, "{tenant} {list} {page} {filter}");
    }
}

/// Something to create, at random: mostly about what is there.
fn created(random: &mut Random, [customers, contacts, opportunities, _]: &Ids) -> (usize, Value) {
    let list = if customers.len() < 2 { 0 } else { [0, 1, 1, 2, 2, 3, 3, 3, 3][random.below(9)] };
    let body = match list {
        0 => json!({ "name": "x" }),
        1 => json!({ "customerId": random.any(customers), "name": "x", "isPrimary": random.below(2) == 0 }),
        2 => json!({ "customerId": random.any(customers), "title": "x" }),
        _ => about(random, customers, contacts, opportunities),
    };
    (list, body)
}

/// What a follow-up is about: often it is refused, because these do not belong together.
fn about(random: &mut Random, customers: &[String], contacts: &[String], opportunities: &[String]) -> Value {
    let mut about = json!({ "content": "x" });
    match random.below(4) {
        0 => about["customerId"] = random.any(customers),
        1 => about["opportunityId"] = random.any(opportunities),
        2 => about["contactId"] = random.any(contacts),
        _ => {
            about["customerId"] = random.any(customers);
            about["opportunityId"] = random.any(opportunities);
        }
    }
    about
}

/// Does something at random as this tenant. What the steps of the database make fail, fails.
async fn act(service: &Service, tenant: &str, ids: &mut Ids, random: &mut Random) {
    // Mostly one that is still there.
    let any = |random: &mut Random, ids: &Ids, list: usize| {
        let id = random.any(&ids[list][ids[list].len().saturating_sub(5)..]);
        format!("{}/{}", LISTS[list], id.as_str().unwrap_or(UNKNOWN_ID))
    };
    let reply = match random.below(10) {
        0..4 => {
            let (list, body) = created(random, ids);
            let reply = service.post(LISTS[list], body).tenant(tenant).send_unchecked().await;
            if reply.status == 201 {
                ids[list].push(reply.body[IDS[list]].as_str().unwrap().to_owned());
            }
            reply
        }
        4 => {
            let list = random.below(4);
            let text = json!({ ["name", "name", "title", "content"][list]: "y" });
            service.patch(&any(random, ids, list), text).tenant(tenant).send_unchecked().await
        }
        5 | 6 => {
            let body = about(random, &ids[0], &ids[1], &ids[2]);
            service.patch(&any(random, ids, 3), body).tenant(tenant).send_unchecked().await
        }
        _ => {
            let list = [0, 1, 2, 2, 3, 3][random.below(6)];
            service.delete(&any(random, ids, list)).tenant(tenant).send_unchecked().await
        }
    };
    let status = reply.status.as_u16();
    assert!([200, 201, 204, 400, 404, 503].contains(&status), "{}", reply.text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn through_random_histories_every_total_says_what_counting_says() {
    let (mut failed, mut removed) = (0, 0);
    for seed in 0..2 {
        let mut service = Service::start().await;
        let mut random = Random(seed);
        let mut ids: [Ids; 2] = Default::default();
        for step in 0..120 {
            let tenant = random.below(2);
            let failing = random.below(15) as u64 + 1;
            match random.below(8) {
                0 => service.app.database().steps().fail(failing..=u64::MAX, Failure::NotDone),
                1 => service.app.database().steps().fail(failing..=u64::MAX, Failure::AnswerLost),
                _ => {}
            }
            let deletion = service.app.changes().deletions(None).await.unwrap().into_iter().next();
            if let Some(deletion) = deletion.filter(|_| random.below(3) == 0) {
                let outcome = service.app.changes().remove(deletion, random.below(3) as u64 + 1).await;
                failed += u32::from(outcome.is_err());
                removed += 1;
            } else {
                act(&service, TENANTS[tenant], &mut ids[tenant], &mut random).await;
            }
            service.app.database().steps().stop_failing();
            if random.below(4) == 0 {
                fold::fold(service.app.database(), None).await.unwrap();
            }
            if random.below(40) == 0 {
                service = service.restart(0).await;
            }
            assert_right(service.app.database()).await;
            let [one, two] = &ids;
            let (own, foreign) = if tenant == 0 { (one, two) } else { (two, one) };
            assert_totals(&service, TENANTS[tenant], own, foreign, &mut random).await;
            assert!(own.iter().flatten().count() < 100, "the step {step} of the seed {seed} is too far");
        }
        assert_nothing_is_left(&service).await;
    }
    assert!(failed > 0 && removed > 9, "{failed} of {removed} steps of removals failed");
}

/// Deletes everything, also what was created without an answer; then no counter is left.
async fn assert_nothing_is_left(service: &Service) {
    for tenant in TENANTS {
        for (list, id) in LISTS.iter().zip(IDS).rev() {
            let all = read(service, tenant, &format!("{list}?pageSize=100")).await;
            for id in fields(&all, id) {
                service.delete(&format!("{list}/{id}")).tenant(tenant).send_unchecked().await.expect(204);
            }
        }
        for list in LISTS {
            assert_eq!(read(service, tenant, &format!("{list}?page=2")).await, last_page(0, vec![]));
        }
    }
    service.remove_deleted().await;
    fold::fold(service.app.database(), None).await.unwrap();
    let connection = service.database.connect().await;
    let tables = if on_postgres() { &["list_counts", "list_count_deltas"][..] } else { &["list_counts"] };
    for table in tables {
        assert_eq!(scalar::<i64>(&connection, &format!("SELECT count(*) FROM {table}")).await, 0, "{table}");
    }
}

#[tokio::test]
async fn a_counter_that_is_too_small_keeps_nobody_from_writing() {
    let service = Service::start().await;
    let (customer, other) = (service.customer().await, service.customer().await);
    let connection = service.database.connect().await;
    fold::fold(service.app.database(), None).await.unwrap();
    connection.execute_unprepared("DELETE FROM list_counts").await.unwrap();
    for id in [&customer, &other] {
        service.delete(&format!("/customers/{id}")).send().await.expect(204);
        assert_eq!(service.read("/customers?page=2").await["total"], 0);
    }
    service.remove_deleted().await;
    fold::fold(service.app.database(), None).await.unwrap();
    service.customer().await;
    fold::fold(service.app.database(), None).await.unwrap();
    assert_eq!(service.read("/customers?page=2").await["total"], 1);
    assert_right(service.app.database()).await;
}
