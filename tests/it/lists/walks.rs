//! Walks while others write: what existed all the time, and whose values did not change, is shown exactly once.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicBool, Ordering},
};

use serde_json::{Value, json};

use super::{
    combinations::walk,
    model::{IDS, Model, Question, lasting},
};
use crate::harness::{Service, id, random::Random};

/// Opportunities: the first half is written to while lists are walked, the other one stays as it is.
async fn fill(service: &Service, random: &mut Random) -> (Vec<String>, Vec<String>, String) {
    let customer = service.customer().await;
    let mut halves = (Vec::new(), Vec::new());
    for number in 0..160 {
        let body = opportunity(&customer, random);
        let made = id(&service.create("/opportunities", body).await, "opportunityId");
        if number % 2 == 0 { &mut halves.0 } else { &mut halves.1 }.push(made);
        service.advance(i64::from(number % 4 == 0));
    }
    (halves.0, halves.1, customer)
}

fn opportunity(customer: &str, random: &mut Random) -> Value {
    let title = ["a", "b", "c"][random.below(3)];
    json!({ "customerId": customer, "title": title, "stage": random.below(7), "amountCents": random.below(3) })
}

/// Creates, changes and deletes until it is told to stop.
async fn write(service: &Service, written: &[String], customer: &str, random: &mut Random, stop: &AtomicBool) -> usize {
    let mut mine: Vec<String> = written.to_vec();
    let mut count = 0;
    while !stop.load(Ordering::SeqCst) {
        let body = opportunity(customer, random);
        service.advance(i64::from(count % 2 == 0));
        if mine.len() < 40 || random.below(3) == 0 {
            let made = lasting(service.post("/opportunities", body)).send_unchecked().await.expect(201).body;
            mine.push(id(&made, "opportunityId"));
        } else {
            let chosen = random.below(mine.len());
            let path = format!("/opportunities/{}", mine[chosen]);
            if random.below(3) == 0 {
                lasting(service.delete(&path)).send_unchecked().await.expect(204);
                mine.swap_remove(chosen);
            } else {
                let changed =
                    json!({ "title": body["title"], "stage": body["stage"], "amountCents": body["amountCents"] });
                lasting(service.patch(&path, changed)).send_unchecked().await.expect(200);
            }
        }
        count += 1;
        if count % 20 == 0 {
            service.remove_deleted().await;
        }
    }
    count
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_walk_under_writes_shows_what_stays_exactly_once() {
    let service = Service::start().await;
    let mut random = Random(7);
    let (written, kept, customer) = fill(&service, &mut random).await;
    let mut model = Model::default();
    model.refresh(&service, &[vec![], vec![], kept.clone(), vec![]]).await;
    let sorts: [&[(&str, bool)]; 8] = [
        &[],
        &[("createdAt", false)],
        &[("updatedAt", true)],
        &[("title", false)],
        &[("stage", true)],
        &[("amountCents", false), ("title", true)],
        &[("stage", false), ("amountCents", true)],
        &[("title", true), ("stage", false), ("createdAt", true)],
    ];
    let filters: [&[(&str, &str)]; 5] = [
        &[],
        &[("stage", "0,1,2,3")],
        &[("status", "0")],
        &[("amountFrom", "1")],
        &[("status", "0,1"), ("amountTo", "1")],
    ];
    let stop = AtomicBool::new(false);
    let walks = async {
        for sort in sorts {
            for filters in filters {
                let filters = filters.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
                let question = Question { list: 2, filters, sort: sort.to_vec() };
                let shown = walk(&service, &question.path(), 7, IDS[2]).await;
                let mut times: HashMap<&String, usize> = HashMap::new();
                shown.iter().for_each(|id| *times.entry(id).or_default() += 1);
                let stayed: Vec<&String> = shown.iter().filter(|id| kept.contains(id)).collect();
                let expected = model.answer(&question);
                assert_eq!(stayed, expected.iter().collect::<Vec<_>>(), "{}: {times:?}", question.path());
            }
        }
        stop.store(true, Ordering::SeqCst);
    };
    let mut others = Random(8);
    let ((), writes) = tokio::join!(walks, write(&service, &written, &customer, &mut others, &stop));
    assert!(writes > 40, "only {writes} writes beside the walks");
}
