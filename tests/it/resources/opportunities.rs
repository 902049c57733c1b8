//! Opportunities: stages, status, amounts.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::harness::{Service, id};

async fn opportunity(service: &Service, fields: Value) -> Value {
    let mut body = json!({ "customerId": service.customer().await, "title": "Licence" });
    for (name, value) in fields.as_object().unwrap() {
        body[name] = value.clone();
    }
    service.create("/opportunities", body).await
}

#[tokio::test]
async fn a_created_opportunity_is_new_and_open_and_has_every_field() {
    let service = Service::start().await;
    let created = opportunity(&service, json!({})).await;
    assert_eq!(
        created,
        json!({
            "opportunityId": created["opportunityId"],
            "tenantId": "default",
            "customerId": created["customerId"],
            "title": "Licence",
            "amountCents": 0,
            "currency": "CNY",
            "stage": 0,
            "status": 0,
            "createdAt": "2026-01-31T09:30:00.125Z",
            "updatedAt": "2026-01-31T09:30:00.125Z",
        })
    );
}

#[tokio::test]
async fn a_created_opportunity_has_the_status_of_its_stage() {
    let service = Service::start().await;
    for (stage, status) in [(0, 0), (1, 0), (2, 0), (3, 0), (4, 0), (5, 1), (6, 2)] {
        let created = opportunity(&service, json!({ "stage": stage })).await;
        assert_eq!((&created["stage"], &created["status"]), (&json!(stage), &json!(status)));
    }
}

#[tokio::test]
async fn a_status_moves_the_stage_and_reopening_returns_to_the_last_open_one() {
    let service = Service::start().await;
    let path = format!("/opportunities/{}", id(&opportunity(&service, json!({ "stage": 3 })).await, "opportunityId"));
    for (body, stage, status) in [
        (json!({ "status": 1 }), 5, 1),
        (json!({ "status": 0 }), 3, 0),
        (json!({ "stage": 4 }), 4, 0),
        (json!({ "status": 2 }), 6, 2),
        (json!({ "status": 1 }), 5, 1),
        (json!({ "status": 1 }), 5, 1),
        (json!({ "status": 0 }), 4, 0),
        (json!({ "stage": 6, "status": 2 }), 6, 2),
        (json!({ "stage": 1 }), 1, 0),
        (json!({ "stage": 2, "status": 0 }), 2, 0),
    ] {
        let changed = service.patch(&path, body.clone()).send().await.expect(200).body;
        assert_eq!((&changed["stage"], &changed["status"]), (&json!(stage), &json!(status)), "{body}");
    }
}

#[tokio::test]
async fn a_contradiction_of_stage_and_status_is_refused_and_changes_nothing() {
    let service = Service::start().await;
    let created = opportunity(&service, json!({})).await;
    let path = format!("/opportunities/{}", id(&created, "opportunityId"));
    for (stage, status) in [(0, 1), (4, 2), (5, 0), (5, 2), (6, 0), (6, 1)] {
        let body = json!({ "stage": stage, "status": status, "title": "other" });
        service.patch(&path, body).send().await.refused(400, "status: contradicts the stage");
    }
    assert_eq!(service.read(&path).await, created);
}

#[tokio::test]
async fn amounts_are_whole_and_exact_up_to_the_largest_safe_integer() {
    let service = Service::start().await;
    for amount in [0_i64, 1, 9_007_199_254_740_991] {
        assert_eq!(opportunity(&service, json!({ "amountCents": amount })).await["amountCents"], json!(amount));
    }
    let customer = service.customer().await;
    for wrong in ["-1", "9007199254740992", "1.5", "1e300", "\"5\"", "true", "99999999999999999999999"] {
        let body = format!(r#"{{"customerId": "{customer}", "title": "x", "amountCents": {wrong}}}"#);
        service.post("/opportunities", json!({})).body(body).send().await.refused(400, "amountCents: must be a whole");
    }
}

#[tokio::test]
async fn currencies_are_active_codes_in_capitals_and_the_default_is_configured() {
    let service = Service::with(&[("CRM_DEFAULT_CURRENCY", "EUR")]).await;
    assert_eq!(opportunity(&service, json!({})).await["currency"], "EUR");
    for active in ["CNY", "USD", "JPY", "VES", "XCG", "ZWG"] {
        assert_eq!(opportunity(&service, json!({ "currency": active })).await["currency"], active);
    }
    let customer = service.customer().await;
    for wrong in ["cny", "DEM", "HRK", "BGN", "CN", "CNYX", "", "AAA"] {
        let body = json!({ "customerId": customer, "title": "x", "currency": wrong });
        service.post("/opportunities", body).send().await.refused(400, "currency: must be an active ISO 4217 code");
    }
}

#[tokio::test]
async fn an_opportunity_needs_an_existing_customer_and_keeps_it() {
    let service = Service::start().await;
    let body = json!({ "customerId": "019aa5c8-7d40-7c1e-b3a2-5f0e6d1c2b3a", "title": "x" });
    service
        .post("/opportunities", body)
        .send()
        .await
        .refused(400, "customerId: must be the id of an existing resource");
    let customer = service.customer().await;
    let path = format!("/opportunities/{}", service.opportunity(&customer).await);
    let body = json!({ "customerId": customer });
    service.patch(&path, body).send().await.refused(400, "customerId: is not a field");
}

#[tokio::test]
async fn deleting_an_opportunity_keeps_its_follow_ups_and_clears_their_reference() {
    let service = Service::start().await;
    let customer = service.customer().await;
    let opportunity = service.opportunity(&customer).await;
    let about = service.follow_up(json!({ "content": "x", "opportunityId": opportunity })).await;
    service.delete(&format!("/opportunities/{opportunity}")).send().await.expect(204);
    let follow_up = service.read(&format!("/follow-ups/{about}")).await;
    assert_eq!((&follow_up["opportunityId"], &follow_up["customerId"]), (&Value::Null, &json!(customer)));
}

/// The table of stages, written a second time.
fn kind(stage: i64) -> i64 {
    match stage {
        5 => 1,
        6 => 2,
        _ => 0,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// Against a model: whatever is sent in whatever order, the status is the kind of the stage, a contradiction changes
    /// nothing, and reopening returns to the last open stage.
    #[test]
    fn stage_and_status_never_part(
        first in 0_i64..7,
        moves in prop::collection::vec((prop::option::of(0_i64..7), prop::option::of(0_i64..3)), 1..12),
    ) {
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let service = Service::start().await;
            let created = opportunity(&service, json!({ "stage": first })).await;
            let path = format!("/opportunities/{}", id(&created, "opportunityId"));
            let (mut stage, mut last_open) = (first, if kind(first) == 0 { first } else { 0 });
            for (to_stage, to_status) in moves {
                let mut body = json!({});
                if let Some(stage) = to_stage { body["stage"] = json!(stage); }
                if let Some(status) = to_status { body["status"] = json!(status); }
                let contradiction = matches!((to_stage, to_status), (Some(stage), Some(status)) if kind(stage) != status);
                service.patch(&path, body).send().await.expect(if contradiction { 400 } else { 200 });
                if !contradiction {
                    stage = match (to_stage, to_status) {
                        (Some(stage), _) => stage,
                        (None, Some(status)) if status != kind(stage) => [last_open, 5, 6][usize::try_from(status).unwrap()],
                        _ => stage,
                    };
                    if kind(stage) == 0 { last_open = stage; }
                }
                let now = service.read(&path).await;
                assert_eq!((&now["stage"], &now["status"]), (&json!(stage), &json!(kind(stage))));
            }
        });
    }
}
