//! Everything that runs statements: each operation of the contract with each of its parameters, each task of the background, each
//! command.

use std::sync::Arc;

use crm::{
    audit::chain,
    background,
    database::{
        counts::{COUNTERS, check, fold},
        horizon,
        pipeline::check as pipeline,
        search::build,
    },
    events::outbox,
    opportunities::history::fill,
    pii::{key_registry, reindex, rotate},
    pipeline::gauges,
    privacy::{self, LogEmptying},
    relay::{self, ReplayFrom, Selection},
    service::resources::{owned_tables, pii_tables, searched_tables},
    timeline,
    values::Tenant,
};
use futures_util::future::join_all;
use poem::http::Method;
use sea_orm::ConnectionTrait;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    data::{LARGE, MIDDLE},
    rows::{HUBS, hub},
    watch::Watch,
};
use crate::harness::{
    DAY, Reply, Service,
    broker::{MemoryBroker, relay_to},
    contract::Operation,
    contract_walk::{ResourceIds, changing_body, create_resources, operations, path, request},
    on_postgres,
};

/// How many changes are made at once.
const AT_ONCE: usize = 32;

/// A value of a parameter: as it is written in a query.
fn values(list: &str, name: &str) -> Vec<String> {
    let hub_of = |name: &str| HUBS.iter().find(|(of, _)| *of == name).map(|(_, kind)| hub(*kind).to_string());
    let fixed: &[&str] = match name {
        // Of one that has much, and of one that has little.
        "customerId" => return vec![hub(1).to_string(), Uuid::from_u128(hub(1).as_u128() + 76).to_string()],
        "opportunityId" => return hub_of(name).into_iter().collect(),
        "contactPhone" | "phone" => &["13812345678"],
        "contactEmail" | "email" => &["li@lei.example"],
        "status" if list == "/customers" => &["0", "1"],
        "status" => &["0", "1", "1,2"],
        "stage" => &["2", "1,6"],
        "currency" if list == "/pipeline/summary" => &["CNY", "EUR"],
        "currency" => &["CNY", "EUR", "EUR,USD"],
        "amountFrom" => &["100", "9000000"],
        "amountTo" => &["9000000", "200"],
        "createdFrom" | "updatedSince" => &["2026-01-10T00:00:00Z", "2026-01-21T00:00:00Z"],
        "createdTo" => &["2026-01-20T00:00:00Z", "2026-01-10T00:00:00Z"],
        "isPrimary" => &["true", "false"],
        "followUpType" => &["visit", "call", "visit,meeting"],
        "hasOpenOpportunities" => &["true", "false"],
        "stalledDays" => &["1", "3650"],
        "q" => &["Customer", "4711", "%E4%B8%AD%E5%9B%BD", "nothing+has+this"],
        "sort" => return sorts(list).iter().flat_map(|key| [(*key).to_owned(), format!("-{key}")]).collect(),
        "total" => &["false"],
        "page" => &["2", "90"],
        "pageSize" | "limit" => &["1", "100"],
        "resourceType" => &["customer"],
        "resourceId" => return vec![hub(1).to_string()],
        "actor" => &["actor7", "nobody"],
        "action" => &["update"],
        "from" if list == "/pipeline/summary" => &["2026-01-01"],
        "to" if list == "/pipeline/summary" => &["2026-01-31"],
        "interval" => &["month", "week"],
        "days" => &["1", "3650"],
        "from" => &["2026-01-10T00:00:00Z", "2026-01-21T00:00:00Z"],
        "to" => &["2026-01-20T00:00:00Z", "2026-01-10T00:00:00Z"],
        "types" if list == "/events" => &["crm.opportunity.closed", "crm.opportunity.closed,crm.customer.updated"],
        "types" => &["customer", "customer,contact"],
        "wait" => &["0"],
        "key" => &["nobody's"],
        // The cursor of a reply.
        "after" => &[],
        _ => panic!("{list} has a parameter {name}, whose statements are not explained: give it values here"),
    };
    fixed.iter().map(|value| (*value).to_owned()).collect()
}

/// The keys that a list can be sorted by.
fn sorts(list: &str) -> &'static [&'static str] {
    match list {
        "/customers" => &["createdAt", "updatedAt", "name", "status"],
        "/contacts" => &["createdAt", "updatedAt", "name"],
        "/opportunities" => &["createdAt", "updatedAt", "title", "amountCents", "stage"],
        "/follow-ups" => &["createdAt", "updatedAt"],
        _ => panic!("{list} is sorted in unknown ways"),
    }
}

/// The queries of a list: each parameter by itself, each filter with each sort, and all pairs of filters.
fn queries(list: &str, parameters: &[String]) -> Vec<String> {
    let paging = ["page", "pageSize", "limit", "total", "wait", "after", "sort"];
    let of =
        |name: &String| values(list, name).into_iter().map(move |value| format!("{name}={value}")).collect::<Vec<_>>();
    let needed = if list == "/search" { "q=4711" } else { "" };
    let singles: Vec<String> = parameters.iter().flat_map(of).collect();
    let sorts: Vec<&String> = singles.iter().filter(|one| one.starts_with("sort=")).collect();
    let filters: Vec<&String> = parameters.iter().filter(|name| !paging.contains(&name.as_str())).collect();
    let mut queries = vec![needed.to_owned()];
    queries
        .extend(singles.iter().map(|one| if one.starts_with("q=") { one.clone() } else { format!("{needed}&{one}") }));
    for (number, filter) in filters.iter().enumerate() {
        if let Some(value) = of(filter).first() {
            queries.extend(sorts.iter().map(|sort| format!("{value}&{sort}")));
        }
        for other in &filters[number + 1..] {
            let (one, other) = (of(filter), of(other));
            queries.push(format!("{}&{}", one[0], other[other.len() - 1]));
        }
    }
    if let [first, .., last] = sorts.as_slice() {
        let keys = |sort: &String| sort.trim_start_matches("sort=").to_owned();
        queries.push(format!("sort={},{}", keys(last), keys(first)));
    }
    queries.into_iter().map(|query| query.trim_start_matches('&').to_owned()).collect()
}

/// A customer in each tenant, whose name has words that all others have too.
pub async fn customers_to_compare(service: &Service) {
    let tenants = [LARGE, MIDDLE].map(str::to_owned).into_iter().chain((0..40).map(|number| format!("small{number}")));
    for tenant in tenants {
        let body = json!({ "name": "Customer 中国 Müller" });
        service.post("/customers", body).tenant(&tenant).send().await.expect(201);
    }
}

/// Each operation once; with lists, these in all ways.
pub async fn operations_of(service: &Service, watch: &Watch, with_lists: bool) -> ResourceIds {
    watch.begin("creating a resource of each kind");
    let ids = create_resources(service).await;
    for operation in operations(service) {
        let name = operation.definition["operationId"].as_str().unwrap();
        service.forget_what_is_kept().await;
        watch.begin(name);
        let call = match operation.method == Method::PATCH {
            true => service.patch(&path(&operation, &ids), changing_body(service, &operation, &ids)),
            false => request(service, &operation, &ids),
        };
        let reply = call.send_unchecked().await;
        assert!(reply.status.is_success(), "{name}: {}", reply.text);
        if operation.method == Method::GET && operation.template.ends_with('}') {
            request(service, &operation, &ids).header("If-None-Match", "\"1\"").send_unchecked().await;
        }
        let is_list = operation.method == Method::GET && !operation.template.contains('{') && operation.is_secured();
        if with_lists && is_list {
            list(service, watch, &operation).await;
        }
        if operation.template.ends_with("/timeline") {
            timeline(service, watch, &path(&operation, &ids)).await;
        }
    }
    ids
}

/// Changes at once, so that what they write alike is written together.
pub async fn changes_at_once(service: &Service, watch: &Watch) {
    let create = |number: usize| {
        let body = json!({ "name": "Customer", "contactPhone": format!("138{number:08}") });
        service.post("/customers", body).send()
    };
    watch.begin("creating customers at once");
    let customers = join_all((0..AT_ONCE).map(create)).await;
    let change = |(number, created): (usize, &Reply)| {
        let path = format!("/customers/{}", created.body["customerId"].as_str().unwrap());
        let change = match number % 2 {
            0 => json!({ "name": format!("Customer {number}") }),
            _ => json!({ "contactEmail": format!("{number}@example.com") }),
        };
        service.patch(&path, change).send()
    };
    watch.begin("changing customers at once");
    join_all(customers.iter().enumerate().map(change)).await.into_iter().for_each(|reply| drop(reply.expect(200)));
}

/// All of a timeline, some types of it, and the next pages.
async fn timeline(service: &Service, watch: &Watch, path: &str) {
    for query in ["limit=1", "limit=1&types=created,contactAdded"] {
        watch.begin(&format!("getCustomerTimeline ?{query}"));
        let first = service.read(&format!("{path}?{query}")).await;
        let Some(cursor) = first["nextCursor"].as_str() else { continue };
        watch.begin(&format!("getCustomerTimeline ?{query}&after"));
        service.read(&format!("{path}?{query}&after={cursor}")).await;
    }
}

async fn list(service: &Service, watch: &Watch, operation: &Operation) {
    let (list, name) = (operation.template.as_str(), operation.definition["operationId"].as_str().unwrap());
    let declared = service.contract.query_parameters(operation);
    for query in queries(list, &declared) {
        watch.begin(&format!("{name} ?{query}"));
        let mut reply = service.get(&format!("{list}?{query}")).send_unchecked().await;
        // The next pages, as far as there are any.
        for _ in 0..2 {
            assert!(reply.status.is_success() || operation.required_query().is_some(), "{query}: {}", reply.text);
            let Some(cursor) = reply.body["nextCursor"].as_str().or(reply.body["cursor"].as_str()) else { break };
            let next = if query.contains("after=") { break } else { format!("{list}?{query}&after={cursor}") };
            watch.begin(&format!("{name} ?{query}&after"));
            // A page by its number has none behind it.
            if query.contains("page=") {
                break;
            }
            reply = service.get(&next).send_unchecked().await;
        }
    }
}

/// The tasks of the background, each until it has nothing to do, among a few rows.
pub async fn tasks(service: &Service, watch: &Watch) {
    let (app, database) = (&service.app, service.app.database());
    watch.begin("begin the retention");
    app.horizon().begin(database).await.unwrap();
    let customer = service.customer().await;
    let opportunity = service.opportunity(&customer).await;
    service.contact(&customer).await;
    for event in [
        json!({ "eventId": "e1", "eventType": "erp.contract.signed", "source": "erp", "data":
            { "tenantId": "default", "customerId": customer, "opportunityId": opportunity, "amount": 1 } }),
        json!({ "eventId": "e2", "eventType": "oa.task.completed", "source": "oa", "data":
            { "tenantId": "default", "customerId": customer, "title": "x" } }),
    ] {
        watch.begin("consume events");
        let mut event = event;
        (event["timestamp"], event["traceId"]) = (json!("2026-01-31T09:30:00Z"), json!("x"));
        for _ in 0..2 {
            service.inbound().apply(event.to_string().as_bytes()).await.unwrap();
        }
    }
    watch.begin("consume an event that the release before knows");
    let known = "INSERT INTO inbox (consumer, event_id, tenant_id, event_type, created_at) \
                 SELECT consumer, 'e3', tenant_id, event_type, created_at FROM inbox WHERE event_id = 'e2'";
    service.database.connect().await.execute_unprepared(known).await.unwrap();
    let known = json!({ "eventId": "e3", "eventType": "oa.task.completed", "source": "oa", "traceId": "x",
        "timestamp": "2026-01-31T09:30:00Z", "data": { "tenantId": "default", "customerId": customer, "title": "x" } });
    service.inbound().apply(known.to_string().as_bytes()).await.unwrap();
    watch.begin("assign positions");
    outbox::assign_positions(database).await.unwrap();
    let end = service.read("/events?limit=100").await["cursor"].as_str().unwrap().to_owned();
    let waits =
        [format!("/events?wait=5&after={end}"), format!("/events?wait=5&types=crm.customer.created&after={end}")];
    let wakes = async {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        service.customer().await;
        outbox::assign_positions_and_wake(database, app.events()).await.unwrap();
    };
    let readers = waits.iter().map(|wait| service.get(wait).send_unchecked());
    futures_util::join!(join_all(readers), wakes);
    watch.begin("publish events");
    let broker = MemoryBroker::default();
    broker.state().refused.push("crm.opportunity.created".to_owned());
    broker.state().unrouted.push("crm.contact.created".to_owned());
    let mut relay = relay_to(app, Arc::new(broker.clone()));
    for _ in 0..40 {
        relay.step().await.unwrap();
        service.advance(60_000);
    }
    relay.release().await.unwrap();
    watch.begin("write audit entries");
    while app.audit_queue().flush(database).await.unwrap() > 0 {}
    watch.begin("read how long things wait");
    background::queues::refresh(app).await.unwrap();
    relay::oldest_waiting(database).await.unwrap();
    watch.begin("chain audit entries");
    chain::link_entries(database).await.unwrap();
    if on_postgres() {
        watch.begin("fold counters");
        fold::fold(database, None).await.unwrap();
    }
    watch.begin("register the key");
    for _ in 0..2 {
        key_registry::register(database, app.cipher(), app.now()).await.unwrap();
        key_registry::forget(database, "test").await.unwrap();
    }
    key_registry::register(database, app.cipher(), app.now()).await.unwrap();
    watch.begin("index anew");
    let unindexed = "UPDATE customers SET contact_phone_indexed = 'former' WHERE contact_phone_index IS NOT NULL";
    service.database.connect().await.execute_unprepared(unindexed).await.unwrap();
    let mut pass = reindex::Pass::default();
    for _ in 0..20 {
        reindex::step(database, app.cipher(), &pii_tables(), &mut pass).await.unwrap();
    }
    reindex::left(database, &pii_tables(), 10).await.unwrap();
    build_search(service, watch).await;
    fill_timelines(service, watch).await;
    fill_stage_history(service, watch).await;
    watch.begin("read the numbers of all tenants");
    gauges::refresh(database, &app.metrics().business, app.now().0).await.unwrap();
    watch.begin("erase");
    for _ in 0..2 {
        let path = format!("/customers/{customer}/erasure");
        service.post(&path, json!({ "followUps": "erase" })).send_unchecked().await;
    }
    pending_erasures(service).await;
    watch.begin("remove what is deleted");
    service.delete(&format!("/customers/{customer}")).send().await.expect(204);
    service.remove_deleted().await;
    watch.begin("remove timelines");
    while timeline::fill::remove(database).await.unwrap() {}
}

/// What is in the audit trail alone is filled in.
async fn fill_timelines(service: &Service, watch: &Watch) {
    let (database, tables) = (service.app.database(), owned_tables());
    let db = service.database.connect().await;
    for former in [
        "DELETE FROM timeline",
        "INSERT INTO timeline_queue (tenant_id, occurred_at, audit_log_id) \
         SELECT tenant_id, occurred_at, audit_log_id FROM audit_logs",
        "INSERT INTO timeline_builds (id, tenant_id) VALUES (1, '')",
    ] {
        db.execute_unprepared(former).await.unwrap();
    }
    watch.begin("fill timelines with what the release before has written");
    while timeline::fill::work_off(database, &tables).await.unwrap() {}
    watch.begin("fill timelines with what was there before");
    while timeline::fill::step(database, &tables).await.unwrap() != timeline::fill::Step::Done {}
}

/// What the release before writes, and what is built anew, is put into the search index.
async fn build_search(service: &Service, watch: &Watch) {
    let (database, tables) = (service.app.database(), searched_tables());
    let db = service.database.connect().await;
    for former in [
        "UPDATE customers SET name = 'written by the release before'",
        "INSERT INTO search_queue (tenant_id, resource_id, resource_type) \
         SELECT 'gone', customer_id, 'customer' FROM customers LIMIT 1",
    ] {
        db.execute_unprepared(former).await.unwrap();
    }
    watch.begin("write what is queued for the search index");
    let mut pass = build::Pass::default();
    for _ in 0..20 {
        if build::work_off(database, &tables, &mut pass).await.unwrap().is_none() {
            break;
        }
    }
    let tenant = Tenant::parse("default").unwrap();
    for only in [None, Some(&tenant)] {
        watch.begin("crm search rebuild");
        build::count(database, &tables, only).await.unwrap();
        build::begin(database, only).await.unwrap();
        watch.begin("build the search index");
        for _ in 0..100 {
            if matches!(build::step(database, &tables, Some(only)).await.unwrap(), build::Step::Done) {
                break;
            }
        }
    }
}

/// What was there before the stage history gets it.
async fn fill_stage_history(service: &Service, watch: &Watch) {
    let db = service.database.connect().await;
    for former in [
        "DELETE FROM opportunity_stages WHERE tenant_id = 'default'",
        "UPDATE opportunities SET stage_entered_at = NULL WHERE tenant_id = 'default'",
    ] {
        db.execute_unprepared(former).await.unwrap();
    }
    let mut pass = fill::Pass::default();
    for _ in 0..2 {
        watch.begin("fill in the stage history");
        for _ in 0..50 {
            if fill::step(service.app.database(), &mut pass).await.unwrap().is_none() {
                break;
            }
        }
        let unknown = "UPDATE opportunity_stages SET needs_actor = TRUE WHERE tenant_id = 'default'";
        db.execute_unprepared(unknown).await.unwrap();
    }
}

/// What is past its time goes, a year later.
pub async fn retention(service: &Service, watch: &Watch) {
    let (app, database) = (&service.app, service.app.database());
    let customer = service.customer().await;
    outbox::assign_positions(database).await.unwrap();
    chain::link_entries(database).await.unwrap();
    service.delete(&format!("/customers/{customer}")).send().await.expect(204);
    service.remove_deleted().await;
    outbox::assign_positions(database).await.unwrap();
    watch.begin("retention");
    service.advance(400 * DAY);
    for _ in 0..3 {
        horizon::confirm(database, app.now().0).await.unwrap();
        app.horizon().begin(database).await.unwrap();
        background::purge(app).await.unwrap();
        service.advance(DAY);
    }
}

async fn pending_erasures(service: &Service) {
    let changes = service.app.changes();
    let mut log = LogEmptying::default();
    let pending = privacy::pending(changes, None, &mut log).await.unwrap();
    for erasure in &pending {
        privacy::run(changes, erasure, &mut log).await.unwrap();
    }
    privacy::pending(changes, pending.last(), &mut log).await.unwrap();
}

/// The commands for operators.
pub async fn commands(service: &Service, watch: &Watch) {
    let (app, database) = (&service.app, service.app.database());
    let tenant = Tenant::parse("default").unwrap();
    let customer = service.customer().await;
    service.contact(&customer).await;
    outbox::assign_positions(database).await.unwrap();
    chain::link_entries(database).await.unwrap();
    watch.begin("crm doctor counts");
    check::next_tenant(database, None).await.unwrap();
    for counter in COUNTERS {
        let found = check::differences(database, &tenant, counter, Some(Uuid::nil())).await.unwrap();
        check::differences(database, &tenant, counter, None).await.unwrap();
        let difference = check::Difference { tenant: tenant.clone(), counter, owner: None, kept: 0, counted: 0 };
        check::mend(database, found.first().unwrap_or(&difference)).await.unwrap();
    }
    pipeline::next_tenant(database, None).await.unwrap();
    let found = pipeline::differences(database, &tenant).await.unwrap();
    let difference = pipeline::Difference {
        tenant: tenant.clone(),
        owner: Uuid::nil(),
        measure: "standing".to_owned(),
        day: 0,
        currency: "CNY".to_owned(),
        stages: (0, -1),
        excess: [0; 5],
    };
    pipeline::mend(database, found.first().unwrap_or(&difference)).await.unwrap();
    // Both read the heads: of each statement the first few are traced during each of these.
    watch.begin("crm audit verify, how much there is");
    chain::length(database).await.unwrap();
    watch.begin("crm audit verify");
    chain::verify(database).await.unwrap();
    watch.begin("crm audit export");
    let entries = crm::audit::entries_after(&database.read(), &tenant, None).await.unwrap();
    let last = entries.last().map(|newest| (newest.entry.occurred_at, newest.entry.audit_log_id));
    crm::audit::entries_after(&database.read(), &tenant, last).await.unwrap();
    crm::audit::audited_tenants(database).await.unwrap();
    watch.begin("crm retention");
    horizon::stored(database).await.unwrap();
    horizon::confirm(database, app.now().0).await.unwrap();
    watch.begin("crm keys rotate");
    for all in [true, false] {
        rotate::run(database, app.cipher(), &pii_tables(), all, &|_, _| {}).await.unwrap();
    }
    key_registry::names(database).await.unwrap();
    key_registry::forget(database, "former").await.unwrap();
    watch.begin("crm outbox");
    relay::status(database).await.unwrap();
    relay::parked(database, 100).await.unwrap();
    relay::retry(database, None).await.unwrap();
    relay::retry(database, Some(Uuid::nil())).await.unwrap();
    let types = vec!["crm.customer.created".to_owned()];
    for (from, types, of) in [
        (ReplayFrom::Position(1), Vec::new(), None),
        (ReplayFrom::Position(1), types.clone(), Some(tenant.clone())),
        (ReplayFrom::Time(app.now().0), types, None),
    ] {
        if let Ok(plan) = relay::plan(database, Selection { from, types, tenant: of }).await.unwrap() {
            let broker = MemoryBroker::default();
            relay::replay(database, &broker, &plan, &|_, _| {}, &CancellationToken::new()).await.unwrap();
        }
    }
    watch.begin("crm privacy erase");
    let id: Uuid = customer.parse().unwrap();
    privacy::erase_by_operator(app, &tenant, id, true, &|_| {}).await.unwrap();
    watch.begin("crm privacy erase what is deleted");
    let deleted = service.customer().await;
    service.contact(&deleted).await;
    service.delete(&format!("/customers/{deleted}")).send().await.expect(204);
    privacy::erase_by_operator(app, &tenant, deleted.parse().unwrap(), true, &|_| {}).await.unwrap();
    privacy::tenant::count(database, &tenant).await.unwrap();
    privacy::tenant::erase(app, &tenant, &|_| {}).await.unwrap();
}
