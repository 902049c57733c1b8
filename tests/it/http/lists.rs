//! Lists: pages, order, filters, totals.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::harness::{Service, UNKNOWN_ID, fields, last_page};

/// Creates customers, some in the same millisecond, and returns their ids in the order of the list.
async fn customers(service: &Service, count: usize) -> Vec<String> {
    let mut made = Vec::new();
    for number in 0..count {
        let customer = service.create("/customers", json!({ "name": format!("customer {number}") })).await;
        made.push((customer["createdAt"].to_string(), customer["customerId"].as_str().unwrap().to_owned()));
        service.advance(i64::from(number % 3 == 0));
    }
    made.sort_by(|one, other| other.cmp(one));
    made.into_iter().map(|(_, id)| id).collect()
}

#[tokio::test]
async fn a_list_is_newest_first_in_pages_of_20() {
    let service = Service::start().await;
    let ids = customers(&service, 23).await;
    let first = service.read("/customers").await;
    assert_eq!(fields(&first, "customerId"), ids[..20]);
    assert_eq!(first["total"], 23);
    assert_eq!(service.read("/customers?page=1&pageSize=20").await, first);
    assert_eq!(fields(&service.read("/customers?page=2").await, "customerId"), ids[20..]);
}

#[tokio::test]
async fn a_page_past_the_end_is_empty_with_the_total() {
    let service = Service::start().await;
    customers(&service, 3).await;
    for page in ["page=2&pageSize=100", "page=101&pageSize=100", "page=10001&pageSize=1"] {
        let list = service.read(&format!("/customers?{page}")).await;
        assert_eq!(list, last_page(3, vec![]));
    }
    assert_eq!(service.read("/contacts").await, last_page(0, vec![]));
}

#[tokio::test]
async fn page_and_page_size_out_of_range_are_400_and_never_clamped() {
    let service = Service::start().await;
    for (list, _) in service.contract.resources() {
        for page in ["0", "-1", "9007199254740992", "x", "", "1.0", "%2B1", "1e3", "99999999999999999999999999"] {
            service
                .get(&format!("{list}?page={page}"))
                .send()
                .await
                .refused(400, "page: must be a whole number from 1");
        }
        for size in ["0", "101", "-5", "ten", ""] {
            let details = "pageSize: must be a whole number from 1 to 100";
            service.get(&format!("{list}?pageSize={size}")).send().await.refused(400, details);
        }
    }
}

#[tokio::test]
async fn a_repeated_parameter_is_400() {
    let service = Service::start().await;
    let customer = service.customer().await;
    service.get("/customers?page=1&page=1").send().await.refused(400, "page: must be sent once");
    service.get("/customers?page=1&%70age=2").send().await.refused(400, "page: must be sent once");
    let twice = format!("/contacts?customerId={customer}&customerId={customer}");
    service.get(&twice).send().await.refused(400, "customerId: must be sent once");
}

#[tokio::test]
async fn a_filter_by_an_id_unknown_to_the_tenant_finds_nothing() {
    let service = Service::start().await;
    let customer = service.customer().await;
    let opportunity = service.opportunity(&customer).await;
    service.contact(&customer).await;
    service.follow_up(json!({ "content": "x", "opportunityId": opportunity })).await;
    let foreign = service.post("/customers", json!({ "name": "x" })).tenant("other").send().await.expect(201);
    let foreign = foreign.body["customerId"].as_str().unwrap();
    for id in [foreign, UNKNOWN_ID, "x", "", "%00"] {
        for list in ["/contacts", "/opportunities", "/follow-ups"] {
            let list = service.read(&format!("{list}?customerId={id}")).await;
            assert_eq!(list, last_page(0, vec![]));
        }
        assert_eq!(service.read(&format!("/follow-ups?opportunityId={id}")).await["total"], 0);
    }
    for (list, total) in [("/contacts", 1), ("/opportunities", 1), ("/follow-ups", 1)] {
        assert_eq!(service.read(&format!("{list}?customerId={customer}")).await["total"], total);
    }
}

#[tokio::test]
async fn the_total_counts_created_and_not_deleted_items() {
    let service = Service::start().await;
    let ids = customers(&service, 5).await;
    service.delete(&format!("/customers/{}", ids[2])).send().await.expect(204);
    for size in [1, 3, 4, 5] {
        assert_eq!(service.read(&format!("/customers?pageSize={size}")).await["total"], 4);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_item_is_skipped_or_repeated_at_any_page_size(count in 0_usize..40, size in 1_usize..45) {
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let service = Service::start().await;
            let ids = customers(&service, count).await;
            let mut seen = Vec::new();
            for page in 1..=count / size + 2 {
                let list = service.read(&format!("/customers?page={page}&pageSize={size}")).await;
                assert_eq!(list["total"], Value::from(count));
                seen.extend(fields(&list, "customerId").into_iter().map(str::to_owned));
            }
            assert_eq!(seen, ids);
        });
    }
}
