//! What is filled in from the trail is what would have been written with the changes.

use crm::{
    database::Failure,
    service::resources::owned_tables,
    timeline::fill::{self, Step},
};
use sea_orm::{ConnectionTrait, DatabaseConnection};

use super::{begin_anew, count, fill_all};
use crate::harness::{
    Service,
    random::Random,
    sql::{column, scalar},
};

use super::histories::History;

/// All items, in a form that can be compared.
async fn stored(connection: &DatabaseConnection) -> Vec<String> {
    let text = |column: &str| format!("CAST({column} AS text)");
    let columns =
        ["types", "resource_type", "occurred_at", "actor", "changes", "summary"].map(text).join(" || '|' || ");
    let keys = "tenant_id, customer_id, occurred_at, audit_log_id";
    column(connection, &format!("SELECT {columns} FROM timeline ORDER BY {keys}")).await
}

#[tokio::test]
async fn timelines_are_filled_from_the_trail_as_they_were_written() {
    let mut history = History::start(7).await;
    history.go_on(120).await;
    let (service, connection) = (&history.service, history.service.database.connect().await);
    let written = stored(&connection).await;
    begin_anew(&connection).await;
    // Steps that fail, and another process that goes on.
    let another = service.another_instance(9).await;
    let mut random = Random(3);
    let mut steps = 0;
    loop {
        if random.below(2) == 0 {
            service.app.database().steps().fail(1..=1 + random.below(40) as u64, Failure::NotDone);
            let _failed = fill::step(service.app.database(), &owned_tables()).await;
            service.app.database().steps().stop_failing();
        }
        steps += 1;
        if fill::step(another.database(), &owned_tables()).await.unwrap() == Step::Done {
            break;
        }
    }
    assert!(steps > 3, "{steps} steps");
    assert_eq!(stored(&connection).await, written);
    // Once more, beside what is there.
    connection.execute_unprepared("INSERT INTO timeline_builds (id, tenant_id) VALUES (1, '')").await.unwrap();
    fill_all(service).await;
    assert_eq!(stored(&connection).await, written);
    let tenants: Vec<String> = column(&connection, "SELECT tenant_id FROM timeline_starts ORDER BY tenant_id").await;
    assert_eq!(tenants, ["default"]);
}

#[tokio::test]
async fn what_the_release_before_writes_is_worked_off_in_any_order() {
    let mut history = History::start(11).await;
    history.go_on(80).await;
    let (service, connection) = (&history.service, history.service.database.connect().await);
    let written = stored(&connection).await;
    for sql in [
        "DELETE FROM timeline",
        "INSERT INTO timeline_queue (tenant_id, occurred_at, audit_log_id) \
         SELECT tenant_id, occurred_at, audit_log_id FROM audit_logs",
    ] {
        connection.execute_unprepared(sql).await.unwrap();
    }
    fill_all(service).await;
    assert_eq!(stored(&connection).await, written);
    assert_eq!(count(&connection, "timeline_queue").await, 0);
}

#[tokio::test]
async fn only_entries_of_the_release_before_are_queued() {
    let service = Service::start().await;
    let customer = service.customer().await;
    service.contact(&customer).await;
    let connection = service.database.connect().await;
    assert_eq!(count(&connection, "timeline_queue").await, 0);
    let entry = |action: &str, kind: &str| {
        format!(
            "INSERT INTO audit_logs (tenant_id, audit_log_id, occurred_at, actor, action, resource_type, resource_id, \
             request_id, trace_id, changes, summary) SELECT tenant_id, {}, occurred_at, actor, '{action}', '{kind}', \
             resource_id, request_id, trace_id, '[]', 'x' FROM audit_logs \
             WHERE resource_type = 'customer' AND action = 'create'",
            crate::harness::sql::new_id()
        )
    };
    for (action, kind, queued) in
        [("read", "customer", 0), ("refuse", "customer", 0), ("update", "erasure", 0), ("update", "customer", 1)]
    {
        connection.execute_unprepared(&entry(action, kind)).await.unwrap();
        assert_eq!(count(&connection, "timeline_queue").await, queued, "{action} {kind}");
    }
}

#[tokio::test]
async fn an_entry_that_is_damaged_keeps_no_other_from_being_filled_in() {
    let service = Service::start().await;
    let customer = service.customer().await;
    let connection = service.database.connect().await;
    let damaged = format!(
        "INSERT INTO audit_logs (tenant_id, audit_log_id, occurred_at, actor, action, resource_type, resource_id, \
         request_id, trace_id, changes, summary) SELECT tenant_id, {}, occurred_at, actor, 'update', resource_type, \
         resource_id, request_id, trace_id, '[', 'x' FROM audit_logs",
        crate::harness::sql::new_id()
    );
    connection.execute_unprepared(&damaged).await.unwrap();
    service.contact(&customer).await;
    begin_anew(&connection).await;
    fill_all(&service).await;
    assert_eq!((count(&connection, "timeline").await, count(&connection, "timeline_queue").await), (2, 0));
}

#[tokio::test]
async fn nothing_is_filled_in_for_customers_that_are_gone() {
    let service = Service::start().await;
    let (gone, deleted) = (service.customer().await, service.customer().await);
    for customer in [&gone, &deleted] {
        service.contact(customer).await;
    }
    let connection = service.database.connect().await;
    service.delete(&format!("/customers/{gone}")).send().await.expect(204);
    service.remove_deleted().await;
    service.delete(&format!("/customers/{deleted}")).send().await.expect(204);
    begin_anew(&connection).await;
    fill_all(&service).await;
    assert_eq!(count(&connection, "timeline").await, 0);
}

#[tokio::test]
async fn a_tenant_that_leaves_takes_its_timelines_along() {
    let service = Service::start().await;
    let customer = service.customer().await;
    service.contact(&customer).await;
    let tenant = crm::values::Tenant::parse("default").unwrap();
    let connection = service.database.connect().await;
    for sql in [
        "INSERT INTO timeline_queue (tenant_id, occurred_at, audit_log_id) \
         SELECT tenant_id, occurred_at, audit_log_id FROM audit_logs",
        "INSERT INTO timeline_starts (tenant_id, since) SELECT tenant_id, created_at FROM customers",
    ] {
        connection.execute_unprepared(sql).await.unwrap();
    }
    let (_, left) = crm::privacy::tenant::erase(&service.app, &tenant, &|_| {}).await.unwrap();
    assert_eq!(left, 0);
    for table in ["timeline", "timeline_queue", "timeline_starts", "timeline_removals"] {
        let left = format!("SELECT count(*) FROM {table} WHERE tenant_id = 'default'");
        assert_eq!(scalar::<i64>(&connection, &left).await, 0, "{table}");
    }
    // What is gone through later of its trail is of nobody.
    begin_anew(&connection).await;
    fill_all(&service).await;
    assert_eq!(count(&connection, "timeline").await, 0);
}
