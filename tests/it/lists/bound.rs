//! Walks that meet the bound of what is looked at for a page: pages become short or empty, and nothing is left out.

use sea_orm::{ConnectionTrait, DatabaseConnection};
use serde_json::{Value, json};

use super::combinations::walk;
use crate::harness::{
    Service, fields, on_postgres,
    sql::{column, new_id, numbers},
};

/// Customers of the default tenant, of which nearly all have the same name; the later one is created, the earlier it was
/// changed.
async fn fill(database: &DatabaseConnection, rows: usize) {
    let instant = |seconds: &str| match on_postgres() {
        true => format!("timestamptz '2026-01-01 00:00:00+00' + ({seconds}) * interval '1 second'"),
        false => format!("strftime('%Y-%m-%dT%H:%M:%S+00:00', '2026-01-01', ({seconds}) || ' seconds')"),
    };
    let text = if on_postgres() { "lpad(n::text, 6, '0')" } else { "printf('%06d', n)" };
    let name = format!("CASE n % 50 WHEN 0 THEN 'customer ' || {text} ELSE 'tie' END");
    let id = new_id();
    let (created, updated) = (instant("n / 2"), instant(&format!("{} - n", 2 * rows)));
    let insert = format!(
        "INSERT INTO customers (tenant_id, customer_id, name, name_sort, status, created_at, updated_at, version) \
         SELECT 'default', {id}, {name}, {name}, CASE n % 3 WHEN 0 THEN 1 ELSE 0 END, {created}, {updated}, 1 \
         FROM ({}) AS numbers",
        numbers(rows)
    );
    database.execute_unprepared(&insert).await.unwrap();
    database.execute_unprepared("ANALYZE").await.unwrap();
}

/// The ids of the customers that a condition finds, in this order.
async fn expected(database: &DatabaseConnection, condition: &str, order: &str) -> Vec<String> {
    let id = if on_postgres() { "customer_id::text" } else { "lower(hex(customer_id))" };
    let query = format!("SELECT {id} FROM customers WHERE tenant_id = 'default' AND {condition} ORDER BY {order}");
    column::<String>(database, &query).await.into_iter().map(|id| id.replace('-', "")).collect()
}

async fn walked(service: &Service, path: &str) -> Vec<String> {
    let shown = walk(service, path, 100, "customerId").await;
    shown.into_iter().map(|id| id.replace('-', "")).collect()
}

#[tokio::test]
async fn what_is_far_in_the_order_comes_after_empty_pages() {
    let service = Service::start().await;
    let database = service.database.connect().await;
    fill(&database, 24_000).await;
    // Of those that each of the filters finds there are many; those that both find come last in the order.
    let (from, since) = ("2026-01-01T00:10:00Z", "2026-01-01T12:20:00Z");
    let path = format!("/customers?createdFrom={from}&updatedSince={since}");
    let condition = "created_at >= '2026-01-01T00:10:00+00:00' AND updated_at >= '2026-01-01T12:20:00+00:00'";
    let expected = expected(&database, condition, "created_at DESC, customer_id DESC").await;
    assert!((1_000..6_000).contains(&expected.len()), "{}", expected.len());
    let first = service.read(&path).await;
    assert_eq!((&first["data"], first["nextCursor"].is_string()), (&json!([]), true), "{first}");
    assert_eq!((&first["total"], &first["totalExact"]), (&json!(expected.len()), &json!(true)), "{first}");
    // Of what neither filter finds little, no more is counted than may be looked at.
    let many = service.read(&format!("/customers?createdFrom={from}&status=0&pageSize=1")).await;
    assert_eq!(many["totalExact"], false, "{many}");
    assert!(many["total"].as_u64().is_some_and(|total| (1..=10_000).contains(&total)), "{many}");
    assert_eq!(walked(&service, &path).await, expected);
    // The last pages are whole.
    let found = service.read(&format!("{path}&sort=createdAt&pageSize=100")).await;
    assert_eq!(fields(&found, "customerId").len(), 100);
    let none = service.read(&format!("{path}&total=false")).await;
    assert_eq!((&none["total"], &none["totalExact"]), (&Value::Null, &json!(false)));
}

#[tokio::test]
async fn groups_of_equal_values_may_be_larger_than_the_bound() {
    let service = Service::start().await;
    let database = service.database.connect().await;
    const ROWS: usize = 10_600;
    fill(&database, ROWS).await;
    for (sort, order) in [
        ("name,-updatedAt", "name_sort, updated_at DESC, created_at DESC, customer_id DESC"),
        ("-name,updatedAt", "name_sort DESC, updated_at, created_at, customer_id"),
        ("status,-name", "status, name_sort DESC, created_at DESC, customer_id DESC"),
    ] {
        let order =
            if on_postgres() { order.replace("name_sort", "name_sort COLLATE \"C\"") } else { order.to_owned() };
        let expected = expected(&database, "1 = 1", &order).await;
        assert_eq!(expected.len(), ROWS);
        if sort.starts_with("status") {
            // Where looking ends in the part with one status, the last row that was looked at may have the other.
            assert_eq!(walked(&service, &format!("/customers?sort={sort}")).await, expected, "{sort}");
        }
        // Into the large group, from what is before it.
        let (mut shown, mut after) = (Vec::new(), String::new());
        while shown.len() < 400 {
            let page = service.read(&format!("/customers?sort={sort}&pageSize=100{after}")).await;
            shown.extend(fields(&page, "customerId").into_iter().map(|id| id.replace('-', "")));
            after = format!("&after={}", page["nextCursor"].as_str().unwrap());
        }
        assert_eq!(shown, expected[..shown.len()], "{sort}");
        for page in [2, 60] {
            let found = service.read(&format!("/customers?sort={sort}&pageSize=100&page={page}")).await;
            let ids: Vec<_> = fields(&found, "customerId").into_iter().map(|id| id.replace('-', "")).collect();
            assert_eq!(ids, expected[(page - 1) * 100..page * 100], "{sort} page {page}");
        }
    }
}

/// Customers whose ids end in a zero byte, as one in 256 does: all of them are in the sample.
pub async fn fill_sample(database: &DatabaseConnection, tenant: &str, rows: usize) {
    let id = match on_postgres() {
        true => "CAST(lpad(to_hex(n), 30, '0') || '00' AS uuid)",
        false => "unhex(printf('%030x', n) || '00')",
    };
    let at = if on_postgres() { "timestamptz '2026-01-01'" } else { "'2026-01-01T00:00:00+00:00'" };
    let insert = format!(
        "INSERT INTO customers (tenant_id, customer_id, name, status, created_at, updated_at, version) \
         SELECT '{tenant}', {id}, 'x', 0, {at}, {at}, 1 FROM ({}) AS numbers",
        numbers(rows)
    );
    database.execute_unprepared(&insert).await.unwrap();
}

#[tokio::test]
async fn a_sample_tells_that_far_more_rows_than_are_counted_meet_the_filters() {
    let service = Service::start().await;
    let database = service.database.connect().await;
    // In a sample of one row in 256, ten thousand rows would be 39.
    fill_sample(&database, "few", 155).await;
    fill_sample(&database, "many", 156).await;
    for filters in ["status=0", "status=0&createdFrom=2025-12-31T00:00:00Z", "hasOpenOpportunities=false"] {
        for (tenant, total) in [("few", json!([155, true])), ("many", json!([10_000, false]))] {
            let path = format!("/customers?{filters}&pageSize=1");
            let page = service.get(&path).tenant(tenant).send().await.expect(200).body;
            assert_eq!(json!([page["total"], page["totalExact"]]), total, "{tenant}: {path}");
        }
        // What does not meet the filters is not in it.
        let other = filters.replace("status=0", "status=1").replace("=false", "=true");
        let page = service.get(&format!("/customers?{other}")).tenant("many").send().await.expect(200).body;
        assert_eq!((&page["total"], &page["totalExact"]), (&json!(0), &json!(true)), "{other}");
    }
}
