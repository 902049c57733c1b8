//! Through random histories, the pipeline says what counting says, to the cent.

use std::collections::BTreeMap;

use crm::database::{counts::fold, pipeline::check::differences};
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};

use super::{
    lasting,
    model::{Known, summary, told_history},
    patch, read,
};
use crate::harness::{
    CommandOutput, DAY, PII_KEYS, Service, TestDatabase, counts::assert_right, fields, id as id_of, on_postgres,
    random::Random, run_crm, sql::scalar,
};

/// What a history has made so far.
#[derive(Default)]
struct World {
    customers: Vec<String>,
    /// The stages of each opportunity, deleted ones too.
    stays: BTreeMap<String, Vec<(i64, String)>>,
    events: usize,
}

fn any<'a>(random: &mut Random, mut ids: impl ExactSizeIterator<Item = &'a String>) -> Option<String> {
    let count = ids.len();
    if count == 0 { None } else { ids.nth(random.below(count)).cloned() }
}

fn amount(random: &mut Random) -> Value {
    [json!(0), json!(1), json!(12_345), json!(99), json!(9_007_199_254_740_991_i64)][random.below(5)].clone()
}

fn currency(random: &mut Random) -> &'static str {
    ["CNY", "EUR"][random.below(2)]
}

impl World {
    /// Does something at random. What is gone is 404.
    async fn act(&mut self, service: &Service, random: &mut Random) {
        if self.customers.len() < 2 {
            let body = json!({ "name": "x" });
            let made = lasting(service.post("/customers", body)).send_unchecked().await.expect(201).body;
            self.customers.push(id_of(&made, "customerId"));
            return;
        }
        let customer = any(random, self.customers.iter()).unwrap();
        let opportunity = any(random, self.stays.keys()).unwrap_or_else(|| customer.clone());
        let path = format!("/opportunities/{opportunity}");
        let call = match random.below(20) {
            0..6 => {
                let body = json!({ "customerId": customer, "title": "x", "amountCents": amount(random),
                    "currency": currency(random), "stage": random.below(7) });
                let reply = lasting(service.post("/opportunities", body)).send_unchecked().await;
                if reply.status == 201 {
                    self.note(&reply.body);
                }
                return;
            }
            6..12 => service.patch(&path, json!({ "stage": random.below(7) })),
            12 => service.patch(&path, json!({ "status": random.below(3) })),
            13 => service.patch(&path, json!({ "amountCents": amount(random) })),
            14 => service.patch(&path, json!({ "currency": currency(random), "stage": random.below(7) })),
            15 => service.delete(&path),
            16 if random.below(3) == 0 => service.delete(&format!("/customers/{customer}")),
            16 => service.post(&format!("/customers/{customer}/erasure"), json!({ "followUps": "keep" })),
            17 => service.post("/follow-ups", json!({ "content": "x", "opportunityId": opportunity })),
            _ => {
                self.events += 1;
                let event = json!({ "eventId": format!("e{}", self.events), "eventType": "erp.contract.signed",
                    "source": "erp", "traceId": "x", "timestamp": "2026-01-31T09:30:00Z", "data":
                    { "tenantId": "default", "customerId": customer, "opportunityId": opportunity, "amount": 1 } });
                let _may_be_refused = service.inbound().apply(event.to_string().as_bytes()).await;
                return self.look(service, &opportunity).await;
            }
        };
        let reply = lasting(call).send_unchecked().await;
        assert!([200, 201, 204, 400, 404].contains(&reply.status.as_u16()), "{}", reply.text);
        self.look(service, &opportunity).await;
    }

    async fn look(&mut self, service: &Service, opportunity: &str) {
        let reply = lasting(service.get(&format!("/opportunities/{opportunity}"))).send_unchecked().await;
        if reply.status == 200 {
            self.note(&reply.body);
        }
    }

    fn note(&mut self, item: &Value) {
        let stays = self.stays.entry(id_of(item, "opportunityId")).or_default();
        let stage = item["stage"].as_i64().unwrap();
        if stays.last().is_none_or(|(last, _)| *last != stage) {
            let at = if stays.is_empty() { &item["createdAt"] } else { &item["updatedAt"] };
            stays.push((stage, at.as_str().unwrap().to_owned()));
        }
    }

    /// The opportunities that are seen, of one customer or of all.
    async fn known(&self, service: &Service, customer: Option<&str>) -> Vec<Known> {
        let filter = customer.map(|id| format!("&customerId={id}")).unwrap_or_default();
        let list = read(service, &format!("/opportunities?pageSize=100{filter}")).await;
        let items = list["data"].as_array().unwrap();
        assert!(items.len() < 100, "more than a page");
        let known =
            |item: &Value| Known { item: item.clone(), stays: self.stays[&id_of(item, "opportunityId")].clone() };
        items.iter().map(known).collect()
    }

    async fn compare(&self, service: &Service, random: &mut Random) {
        let customer = any(random, self.customers.iter());
        for customer in [None, customer.as_deref()] {
            let known = self.known(service, customer).await;
            let filter = customer.map(|id| format!("customerId={id}")).unwrap_or_default();
            let months = ["2025-12", "2026-02", "2026-03", "2026-05"];
            let from = random.below(3);
            let window = format!("&from={}-11&to={}-20", months[from], months[from + 1]);
            for (query, only) in [(String::new(), None), (window, None), ("&currency=EUR".to_owned(), Some("EUR"))] {
                let told = read(service, &format!("/pipeline/summary?{filter}{query}")).await;
                let of: Vec<Known> =
                    known.iter().filter(|one| only.is_none_or(|only| one.item["currency"] == only)).cloned().collect();
                assert_eq!(told, summary(&of, &told), "{filter}{query}");
            }
        }
        if let Some(id) = any(random, self.stays.keys()) {
            let reply = lasting(service.get(&format!("/opportunities/{id}"))).send_unchecked().await;
            if reply.status == 200 {
                self.compare_history(service, &id).await;
            } else {
                let path = format!("/opportunities/{id}/stage-history");
                lasting(service.get(&path)).send_unchecked().await.expect(404);
            }
        }
    }

    async fn compare_history(&self, service: &Service, id: &str) {
        let (told, since) = told_history(service, id, 2).await;
        let stays = &self.stays[id];
        assert_eq!(told.len(), stays.len(), "{told:?} {stays:?}");
        assert_eq!(since, stays[0].1);
        for (number, (told, (stage, at))) in told.iter().zip(stays).enumerate() {
            assert_eq!((&told["stage"], &told["enteredAt"]), (&json!(stage), &json!(at)));
            let left = stays.get(number + 1).map_or(Value::Null, |(_, at)| json!(at));
            assert_eq!((&told["leftAt"], told["durationSeconds"].is_null()), (&left, left.is_null()));
            assert!(["li.lei", "erp"].iter().any(|actor| told["actor"] == *actor), "{told}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn through_random_histories_the_summary_says_what_counting_says() {
    let mut seen = 0;
    for seed in 0..2 {
        let service = Service::start().await;
        let (mut random, mut world) = (Random(seed), World::default());
        for step in 0..90 {
            service.advance([1, 1_000, 3_600_000, DAY, 3 * DAY][random.below(5)]);
            let deletion = service.app.changes().deletions(None).await.unwrap().into_iter().next();
            match deletion.filter(|_| random.below(4) == 0) {
                Some(deletion) => {
                    service.app.changes().remove(deletion, random.below(3) as u64 + 1).await.unwrap();
                }
                None => world.act(&service, &mut random).await,
            }
            if random.below(6) == 0 {
                fold::fold(service.app.database(), None).await.unwrap();
            }
            if step % 3 == 2 {
                world.compare(&service, &mut random).await;
                assert_right(service.app.database()).await;
            }
        }
        seen += world.known(&service, None).await.len();
        let all = read(&service, "/customers?pageSize=100").await;
        for id in fields(&all, "customerId") {
            lasting(service.delete(&format!("/customers/{id}"))).send().await.expect(204);
        }
        assert_eq!(read(&service, "/pipeline/summary").await["stages"], json!([]));
        service.remove_deleted().await;
        fold::fold(service.app.database(), None).await.unwrap();
        let connection = service.database.connect().await;
        let tables: &[&str] = if on_postgres() { &["pipeline_total_deltas"] } else { &[] };
        for table in tables.iter().chain(&["pipeline_totals", "opportunity_stages"]) {
            assert_eq!(scalar::<i64>(&connection, &format!("SELECT count(*) FROM {table}")).await, 0, "{table}");
        }
    }
    assert!(seen > 10, "only {seen} opportunities were left to be counted");
}

#[tokio::test]
async fn a_window_is_refused_that_ends_before_it_begins_or_is_too_long() {
    let service = Service::start().await;
    for (query, details) in [
        ("from=2026-02-01&to=2026-02-01", "from: must be before to"),
        ("from=2025-01-01&to=2026-01-03", "from: must be at most 366 days before to"),
        ("from=2026-02-30", "from: must be a date like 2026-01-31"),
        ("currency=eur", "currency: must be an ISO 4217 code in capitals"),
    ] {
        service.get(&format!("/pipeline/summary?{query}")).send_unchecked().await.refused(400, details);
    }
    service
        .get("/pipeline/forecast?interval=day")
        .send_unchecked()
        .await
        .refused(400, "interval: must be month or week");
}

#[tokio::test]
async fn a_forecast_comes_from_the_moves_that_were_made() {
    let service = Service::start().await;
    let customer = service.customer().await;
    let create = async |stage: i64, amount: i64| {
        let body =
            json!({ "customerId": customer, "title": "x", "stage": stage, "amountCents": amount, "currency": "EUR" });
        id_of(&lasting(service.post("/opportunities", body)).send().await.expect(201).body, "opportunityId")
    };
    let mut moved = Vec::new();
    for _ in 0..5 {
        moved.push(create(4, 100).await);
    }
    service.advance(10 * DAY);
    for id in &moved {
        patch(&service, &format!("/opportunities/{id}"), json!({ "stage": 5 })).await;
    }
    create(4, 1_000).await;
    create(3, 500).await;
    let told = read(&service, "/pipeline/forecast?interval=week").await;
    assert_eq!(
        told["velocity"][4],
        json!({ "stage": 4, "cases": 5, "meanSeconds": 864_000, "secondsToClose": 864_000 })
    );
    assert_eq!(told["velocity"][3], json!({ "stage": 3, "cases": 0, "meanSeconds": null, "secondsToClose": null }));
    let euros = &told["currencies"][0];
    assert_eq!((&euros["unknownCount"], &euros["unknownCents"]), (&json!(1), &json!(500)));
    let expected: i64 =
        euros["intervals"].as_array().unwrap().iter().map(|one| one["expectedCents"].as_i64().unwrap()).sum();
    assert_eq!(expected, 800);
    let of = euros["intervals"].as_array().unwrap().iter().position(|one| one["count"] == 1).unwrap();
    assert!([1, 2].contains(&of), "in ten days: {euros}");
    assert_eq!(
        lasting(service.get("/pipeline/forecast")).tenant("other").send().await.expect(200).body["currencies"],
        json!([])
    );
}

#[tokio::test]
async fn the_stages_are_those_of_the_contract() {
    let service = Service::start().await;
    let told = service.read("/pipeline/stages").await;
    let stages = told["data"].as_array().unwrap();
    assert_eq!(stages.len(), 7);
    assert_eq!(stages[3], json!({ "stage": 3, "name": "Proposal", "status": 0, "probabilityPercent": 50 }));
    assert_eq!(stages[6], json!({ "stage": 6, "name": "Lost", "status": 2, "probabilityPercent": 0 }));
}

fn doctor(database: &TestDatabase, arguments: &[&str]) -> CommandOutput {
    let variables = [("CRM_DATABASE_URL", &*database.service_url()), ("CRM_PII_KEYS", PII_KEYS)];
    run_crm(&[&["doctor", "counts"], arguments].concat(), &variables)
}

#[tokio::test]
async fn the_doctor_finds_and_mends_totals_of_the_pipeline() {
    let service = Service::start().await;
    let customer = service.customer().await;
    let opportunity = service.opportunity(&customer).await;
    service.advance(DAY / 2);
    patch(&service, &format!("/opportunities/{opportunity}"), json!({ "stage": 3 })).await;
    fold::fold(service.app.database(), None).await.unwrap();
    let right = read(&service, "/pipeline/summary").await["stages"].clone();
    let connection = service.database.connect().await;
    for change in [
        "UPDATE pipeline_totals SET count = 7 WHERE measure = 'standing'",
        "DELETE FROM pipeline_totals WHERE measure = 'moved'",
        "UPDATE pipeline_totals SET amount_high = amount_high + 1 WHERE measure = 'entered'",
    ] {
        assert_eq!(connection.execute_unprepared(change).await.unwrap().rows_affected(), 2, "{change}");
    }
    let found = doctor(&service.database, &[]);
    assert_eq!((found.code, found.stdout.lines().count()), (Some(1), 6), "{found:?}");
    assert!(found.stdout.contains("standing CNY day 0 stages 3 -1: the total is kept as 6"), "{found:?}");
    let mended = doctor(&service.database, &["--mend"]);
    assert_eq!(mended.code, Some(0), "{mended:?}");
    assert_eq!(doctor(&service.database, &[]).code, Some(0));
    fold::fold(service.app.database(), None).await.unwrap();
    let default = crm::values::Tenant::parse("default").unwrap();
    assert_eq!(differences(service.app.database(), &default).await.unwrap(), []);
    assert_eq!(read(&service, "/pipeline/summary").await["stages"], right);
}
