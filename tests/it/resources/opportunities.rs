//! Opportunities: stages, status, amounts.

use crm::opportunities::{OpportunityStage, OpportunityStatus, stage::StageState};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::harness::{Service, UNKNOWN_ID, id};

async fn opportunity(service: &Service, fields: Value) -> Value {
    let mut body = json!({ "customerId": service.customer().await, "title": "Licence" });
    for (name, value) in fields.as_object().unwrap() {
        body[name] = value.clone();
    }
    service.create("/opportunities", body).await
}

#[tokio::test]
async fn a_created_opportunity_has_every_field_and_is_new_and_open() {
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
async fn a_status_sets_the_stage_and_reopening_restores_the_last_open_one() {
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
async fn a_status_that_contradicts_the_stage_is_400_and_changes_nothing() {
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
async fn amounts_are_exact_integers_up_to_the_largest_safe_one() {
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
async fn a_currency_is_an_active_iso_4217_code_with_a_configured_default() {
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
async fn an_opportunity_needs_an_existing_customer_and_cannot_change_it() {
    let service = Service::start().await;
    let body = json!({ "customerId": UNKNOWN_ID, "title": "x" });
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
async fn deleting_an_opportunity_clears_it_from_its_follow_ups() {
    let service = Service::start().await;
    let customer = service.customer().await;
    let opportunity = service.opportunity(&customer).await;
    let about = service.follow_up(json!({ "content": "x", "opportunityId": opportunity })).await;
    service.delete(&format!("/opportunities/{opportunity}")).send().await.expect(204);
    let follow_up = service.read(&format!("/follow-ups/{about}")).await;
    assert_eq!((&follow_up["opportunityId"], &follow_up["customerId"]), (&Value::Null, &json!(customer)));
}

/// In the order of their codes.
const STAGES: [OpportunityStage; 7] = [
    OpportunityStage::New,
    OpportunityStage::Prospecting,
    OpportunityStage::Qualification,
    OpportunityStage::Proposal,
    OpportunityStage::Negotiation,
    OpportunityStage::Won,
    OpportunityStage::Lost,
];
const STATUSES: [OpportunityStatus; 3] = [OpportunityStatus::Open, OpportunityStatus::Won, OpportunityStatus::Lost];

/// The status of a stage by the contract, in codes.
fn status_of(stage: usize) -> usize {
    match stage {
        5 => 1,
        6 => 2,
        _ => 0,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Against a model in codes: a contradiction changes nothing, and reopening restores the last open stage.
    #[test]
    fn status_always_follows_from_stage(
        first in 0_usize..7,
        moves in prop::collection::vec((prop::option::of(0_usize..7), prop::option::of(0_usize..3)), 1..12),
    ) {
        let mut state = StageState::new(STAGES[first]);
        let (mut stage, mut last_open) = (first, if status_of(first) == 0 { first } else { 0 });
        for (to_stage, to_status) in moves {
            let moved = state.moved(to_stage.map(|stage| STAGES[stage]), to_status.map(|status| STATUSES[status]));
            let contradicts = to_stage.zip(to_status).is_some_and(|(stage, status)| status_of(stage) != status);
            prop_assert_eq!(moved.is_err(), contradicts);
            if let Ok(moved) = moved {
                state = moved;
                stage = match (to_stage, to_status) {
                    (Some(stage), _) => stage,
                    (None, Some(status)) if status != status_of(stage) => [last_open, 5, 6][status],
                    _ => stage,
                };
                if status_of(stage) == 0 {
                    last_open = stage;
                }
            }
            prop_assert_eq!((state.stage, state.stage.kind()), (STAGES[stage], STATUSES[status_of(stage)]));
        }
    }
}
