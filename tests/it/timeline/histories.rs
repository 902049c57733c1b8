//! Random histories: a timeline holds what a naive model of the requests says.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::harness::{FAR_FUTURE, Service, id, random::Random};

/// A resource of a customer, or of none.
struct Thing {
    list: &'static str,
    id: String,
    customer: Option<String>,
    stage: u8,
    last_open: u8,
    is_erased: bool,
}

/// A service, and what happened there by the requests that were accepted.
pub struct History {
    pub service: Service,
    random: Random,
    customers: Vec<String>,
    things: Vec<Thing>,
    /// What is expected in each timeline, oldest first: types, and the resource.
    expected: BTreeMap<String, Vec<(Value, String)>>,
}

const TYPES: [&str; 13] = [
    "created",
    "changed",
    "contractSigned",
    "contactAdded",
    "contactRemoved",
    "opportunityAdded",
    "opportunityRemoved",
    "followUpAdded",
    "followUpRemoved",
    "stageMoved",
    "closed",
    "reopened",
    "erased",
];

impl History {
    pub async fn start(seed: u64) -> Self {
        let service = Service::start().await;
        let (customers, things, expected) = (Vec::new(), Vec::new(), BTreeMap::new());
        let mut history = Self { service, random: Random(seed), customers, things, expected };
        for _ in 0..3 {
            history.create_customer().await;
        }
        history
    }

    pub async fn go_on(&mut self, steps: usize) {
        for _ in 0..steps {
            self.service.advance(i64::try_from(self.random.below(2)).unwrap());
            match self.random.below(14) {
                0 => self.create_customer().await,
                1 | 2 => self.create("/contacts").await,
                3 | 4 => self.create("/opportunities").await,
                5 | 6 => self.create("/follow-ups").await,
                7..=9 => self.move_stage().await,
                10 => self.move_follow_up().await,
                11 => self.rename().await,
                12 => self.delete().await,
                _ => self.erase().await,
            }
        }
    }

    fn any_customer(&mut self) -> String {
        self.customers[self.random.below(self.customers.len())].clone()
    }

    /// Any thing of a list.
    fn any(&mut self, list: &str) -> Option<usize> {
        let found: Vec<usize> = (0..self.things.len()).filter(|index| self.things[*index].list == list).collect();
        (!found.is_empty()).then(|| found[self.random.below(found.len())])
    }

    fn expect(&mut self, customer: Option<&str>, types: &[&str], resource: &str) {
        let Some(items) = customer.and_then(|customer| self.expected.get_mut(customer)) else { return };
        let mut sorted: Vec<&str> = TYPES.into_iter().filter(|one| types.contains(one)).collect();
        sorted.dedup();
        items.push((json!(sorted), resource.to_owned()));
    }

    async fn create_customer(&mut self) {
        let customer = self.service.customer().await;
        self.customers.push(customer.clone());
        self.expected.insert(customer.clone(), Vec::new());
        self.expect(Some(&customer), &["created"], &customer);
    }

    async fn create(&mut self, list: &'static str) {
        let customer = self.any_customer();
        let stage = u8::try_from(self.random.below(7)).unwrap();
        let of_nobody = list == "/follow-ups" && self.random.below(4) == 0;
        let (body, field, added) = match list {
            "/contacts" => (json!({ "customerId": customer, "name": "Li Lei" }), "contactId", "contactAdded"),
            "/opportunities" => {
                let body = json!({ "customerId": customer, "title": "x", "stage": stage });
                (body, "opportunityId", "opportunityAdded")
            }
            _ if of_nobody => (json!({ "content": "x" }), "followUpId", "followUpAdded"),
            _ => (json!({ "customerId": customer, "content": "x" }), "followUpId", "followUpAdded"),
        };
        let id = id(&self.service.create(list, body).await, field);
        let is_closed = list == "/opportunities" && stage > 4;
        let customer = Some(customer).filter(|_| !of_nobody);
        let types: &[&str] = if is_closed { &[added, "closed"] } else { &[added] };
        self.expect(customer.as_deref(), types, &id);
        let last_open = if stage > 4 { 0 } else { stage };
        self.things.push(Thing { list, id, customer, stage, last_open, is_erased: false });
    }

    async fn move_stage(&mut self) {
        let Some(index) = self.any("/opportunities") else { return };
        let stage = u8::try_from(self.random.below(7)).unwrap();
        let renames = self.random.below(3) == 0;
        let reopens = self.things[index].stage > 4 && self.random.below(2) == 0;
        let mut body = if reopens { json!({ "status": 0 }) } else { json!({ "stage": stage }) };
        if renames {
            body["title"] = json!(format!("x {}", self.random.below(1000)));
        }
        let before = self.things[index].stage;
        let after = if reopens { self.things[index].last_open } else { stage };
        let path = format!("/opportunities/{}", self.things[index].id);
        let changed = self.service.patch(&path, body).send().await.expect(200).body;
        assert_eq!(changed["stage"], after);
        let thing = &mut self.things[index];
        thing.stage = after;
        if after < 5 {
            thing.last_open = after;
        }
        let mut types = Vec::new();
        if before != after {
            types.push("stageMoved");
        }
        match (before > 4, after > 4) {
            (false, true) => types.push("closed"),
            (true, false) => types.push("reopened"),
            _ => {}
        }
        if renames {
            types.push("changed");
        }
        let (customer, id) = (thing.customer.clone(), thing.id.clone());
        if !types.is_empty() {
            self.expect(customer.as_deref(), &types, &id);
        }
    }

    async fn move_follow_up(&mut self) {
        let Some(index) = self.any("/follow-ups") else { return };
        let to = Some(self.any_customer()).filter(|_| self.random.below(4) > 0);
        let path = format!("/follow-ups/{}", self.things[index].id);
        self.service.patch(&path, json!({ "customerId": to })).send().await.expect(200);
        let from = std::mem::replace(&mut self.things[index].customer, to.clone());
        if from != to {
            let id = self.things[index].id.clone();
            self.expect(from.as_deref(), &["followUpRemoved"], &id);
            self.expect(to.as_deref(), &["followUpAdded"], &id);
        }
    }

    async fn rename(&mut self) {
        let customer = self.any_customer();
        let name = format!("Acme {}", self.random.below(1_000_000));
        self.service.patch(&format!("/customers/{customer}"), json!({ "name": name })).send().await.expect(200);
        self.expect(Some(&customer), &["changed"], &customer);
    }

    async fn delete(&mut self) {
        if self.customers.len() > 2 && self.random.below(4) == 0 {
            let customer = self.customers.swap_remove(self.random.below(self.customers.len()));
            self.service.delete(&format!("/customers/{customer}")).send().await.expect(204);
            self.expected.remove(&customer);
            self.things.retain(|thing| thing.customer.as_deref() != Some(&customer));
            self.service.remove_deleted().await;
            super::remove_all(&self.service).await;
            return;
        }
        if self.things.is_empty() {
            return;
        }
        let thing = self.things.swap_remove(self.random.below(self.things.len()));
        self.service.delete(&format!("{}/{}", thing.list, thing.id)).send().await.expect(204);
        self.service.remove_deleted().await;
        let removed = match thing.list {
            "/contacts" => "contactRemoved",
            "/opportunities" => "opportunityRemoved",
            _ => "followUpRemoved",
        };
        self.expect(thing.customer.as_deref(), &[removed], &thing.id);
    }

    async fn erase(&mut self) {
        let customer = self.any_customer();
        let path = format!("/customers/{customer}/erasure");
        let reply = self.service.post(&path, json!({ "followUps": "keep" })).send().await;
        // A second one of what is erased already changes nothing.
        if reply.status == 200 {
            return;
        }
        reply.expect(201);
        self.expect(Some(&customer), &["erased"], &customer);
        let is_unerased = |thing: &&mut Thing| {
            thing.list == "/contacts" && thing.customer.as_deref() == Some(&customer) && !thing.is_erased
        };
        let contacts = self.things.iter_mut().filter(is_unerased);
        let mut contacts: Vec<String> = contacts
            .map(|thing| {
                thing.is_erased = true;
                thing.id.clone()
            })
            .collect();
        contacts.sort_unstable();
        for contact in contacts {
            self.expect(Some(&customer), &["erased"], &contact);
        }
    }

    /// Compares each timeline with what is expected in it, walked in pages of any size and any types.
    pub async fn compare(&mut self) {
        for customer in self.customers.clone() {
            let (mut found, mut cursor) = (Vec::new(), String::new());
            let limit = 1 + self.random.below(7);
            let some: Vec<&str> = TYPES.into_iter().filter(|_| self.random.below(2) == 0).collect();
            let filter = if some.is_empty() { String::new() } else { format!("&types={}", some.join(",")) };
            loop {
                let path = format!("/customers/{customer}/timeline?limit={limit}{filter}{cursor}");
                let call = self.service.get(&path).claims(json!({ "scope": "crm:read", "exp": FAR_FUTURE }));
                let page = call.send().await.expect(200).body;
                let of_item = |item: &Value| (item["types"].clone(), id(item, "resourceId"));
                found.extend(page["data"].as_array().unwrap().iter().map(of_item));
                let Some(next) = page["nextCursor"].as_str() else { break };
                cursor = format!("&after={next}");
            }
            let is_some = |(types, _): &&(Value, String)| {
                some.is_empty() || types.as_array().unwrap().iter().any(|one| some.contains(&one.as_str().unwrap()))
            };
            let expected: Vec<_> = self.expected[&customer].iter().rev().filter(is_some).cloned().collect();
            assert_eq!(found, expected, "of {customer}, by {filter}");
        }
    }
}

#[tokio::test]
async fn timelines_hold_what_a_naive_model_says() {
    for seed in 0..4 {
        let mut history = History::start(seed).await;
        for _ in 0..4 {
            history.go_on(40).await;
            history.compare().await;
        }
    }
}
