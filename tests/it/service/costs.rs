//! What an operation costs, told without a clock: how many statements it runs, and how often it allocates memory. Both are the same on
//! every machine, so that what makes an operation dearer is seen in each run of the tests. Whoever does so on purpose writes
//! here what it costs now.

use std::sync::{Arc, Mutex};

use serde_json::json;

use crate::{
    ALLOCATOR,
    harness::{Call, Service, on_postgres},
};

/// How often an operation is repeated. The least that it took counts: now and then a map grows, or a connection reads the schema.
const TIMES: u64 = 30;

/// What an operation costs, on SQLite and on PostgreSQL: statements, with those that open and end its transaction, and allocations of the
/// service, without those of SQLite.
struct Cost {
    what: &'static str,
    statements: [usize; 2],
    allocations: [usize; 2],
}

impl Cost {
    const fn new(what: &'static str, statements: [usize; 2], allocations: [usize; 2]) -> Self {
        Self { what, statements, allocations }
    }
}

const COSTS: [Cost; 11] = [
    Cost::new("get", [1, 1], [162, 152]),
    Cost::new("get again", [0, 1], [118, 152]),
    Cost::new("list", [1, 1], [485, 356]),
    Cost::new("list again", [0, 1], [232, 356]),
    Cost::new("create", [9, 9], [496, 465]),
    Cost::new("change the name", [12, 10], [856, 696]),
    Cost::new("change the name again", [11, 10], [729, 695]),
    Cost::new("change the phone number", [9, 9], [726, 760]),
    Cost::new("create a contact", [10, 10], [667, 690]),
    Cost::new("search", [8, 8], [2743, 2734]),
    Cost::new("delete a contact", [10, 11], [1058, 1436]),
];

const LIST: &str = "/customers?pageSize=20";

/// A service with a page of customers, one of them to work on.
async fn start() -> (Service, String) {
    let service = Service::start().await;
    for _ in 0..30 {
        service.customer().await;
    }
    let customer = service.customer().await;
    (service, customer)
}

/// A request for an operation, and what has to be there before; `number` is another one each time.
async fn call<'s>(service: &'s Service, what: &str, number: u64, customer: &str) -> Call<'s> {
    let path = format!("/customers/{customer}");
    // What is kept of the customer in memory is out of date after this.
    let contact = service.contact(customer).await;
    match what {
        "get again" => drop(service.get(&path).send().await.expect(200)),
        "list again" => drop(service.get(LIST).send().await.expect(200)),
        "change the name again" => drop(service.patch(&path, json!({ "name": "Acme" })).send().await.expect(200)),
        _ => {}
    }
    match what {
        "get" | "get again" => service.get(&path),
        "list" | "list again" => service.get(LIST),
        "create" => service.post("/customers", json!({ "name": "Acme", "contactPhone": "13812345678" })),
        "change the name" | "change the name again" => {
            service.patch(&path, json!({ "name": format!("Acme {}", number + 1000) }))
        }
        "change the phone number" => {
            service.patch(&path, json!({ "contactPhone": format!("1381234{:04}", number + 1) }))
        }
        "create a contact" => service.post("/contacts", json!({ "customerId": customer, "name": "Li Lei" })),
        "search" => service.get("/search?q=acme"),
        "delete a contact" => service.delete(&format!("/contacts/{contact}")),
        _ => panic!("{what}"),
    }
}

#[tokio::test]
async fn operations_run_as_many_statements_as_is_written_here() {
    let (service, customer) = start().await;
    let observed = Arc::<Mutex<Vec<String>>>::default();
    let noted = Arc::clone(&observed);
    service.app.database().statements().observe(move |statement| noted.lock().unwrap().push(statement.sql.clone()));
    let mut wrong = Vec::new();
    for Cost { what, statements, .. } in COSTS {
        let expected = statements[usize::from(on_postgres())];
        let call = call(&service, what, 0, &customer).await;
        observed.lock().unwrap().clear();
        let reply = call.send().await;
        assert!(reply.status.is_success(), "{what}: {}", reply.text);
        let run = std::mem::take(&mut *observed.lock().unwrap());
        if run.len() != expected {
            wrong.push(format!("{what}: {} statements, not {expected}:\n{}", run.len(), run.join("\n")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[tokio::test]
async fn operations_allocate_as_often_as_is_written_here() {
    let (service, customer) = start().await;
    let mut wrong = Vec::new();
    for Cost { what, allocations, .. } in COSTS {
        let expected = allocations[usize::from(on_postgres())];
        let mut least = usize::MAX;
        for number in 0..TIMES {
            let call = call(&service, what, number, &customer).await;
            let before = ALLOCATOR.stats();
            let (response, text) = call.stream().await;
            let after = ALLOCATOR.stats();
            assert!(response.status().is_success(), "{what}: {text:?}");
            let taken = after.allocations + after.reallocations - before.allocations - before.reallocations;
            least = least.min(taken);
        }
        // A little more or less is another machine's number of cores, or another version of a library.
        if !(expected * 9 / 10..=expected * 21 / 20).contains(&least) {
            wrong.push(format!("{what}: {least} allocations, not {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
