//! The pipeline for operators: `crm report`, and the gauges.

use crm::{database::counts::fold, pipeline::gauges};
use sea_orm::ConnectionTrait;
use serde_json::json;

use crate::harness::{CommandOutput, PII_KEYS, Service, on_postgres, run_crm, sql::uuid_literal};

fn report(service: &Service, arguments: &[&str], more: &[(&str, &str)]) -> CommandOutput {
    let url = service.database.service_url();
    let variables = [&[("CRM_DATABASE_URL", &*url), ("CRM_PII_KEYS", PII_KEYS)], more].concat();
    run_crm(&[&["report"], arguments].concat(), &variables)
}

/// Two opportunities of one tenant and one of another; one has had nothing happen to it since 2020.
async fn populate(service: &Service) {
    let customer = service.customer().await;
    let create = async |title: &str, stage: i64, currency: &str| {
        let body =
            json!({ "customerId": customer, "title": title, "stage": stage, "amountCents": 250, "currency": currency });
        service.create("/opportunities", body).await["opportunityId"].as_str().unwrap().to_owned()
    };
    create("x", 3, "EUR").await;
    let idle = create("=<b>\"A\" & B, 中国</b>", 4, "EUR").await;
    let other = service.post("/customers", json!({ "name": "x" })).tenant("other").send().await.expect(201).body;
    let body = json!({ "customerId": other["customerId"], "title": "x", "stage": 5, "currency": "JPY" });
    service.post("/opportunities", body).tenant("other").send().await.expect(201);
    let id = uuid_literal(&idle);
    let since = "'2020-01-01 00:00:00.000+00:00'";
    let long_ago = format!("UPDATE opportunities SET idle_since = {since} WHERE opportunity_id = {id}");
    service.database.connect().await.execute_unprepared(&long_ago).await.unwrap();
}

#[tokio::test]
async fn the_pipeline_is_printed_in_each_form() {
    let service = Service::start().await;
    let nothing = report(&service, &["pipeline"], &[]);
    assert_eq!((nothing.code, &*nothing.stdout), (Some(0), "no opportunities\n"), "{nothing:?}");
    populate(&service).await;
    let table = report(&service, &["pipeline", "--tenant", "default"], &[("NO_COLOR", "1")]);
    assert_eq!(table.code, Some(0), "{table:?}");
    let line = table.stdout.lines().find(|line| line.starts_with("Proposal")).unwrap();
    assert!(line.contains("250") && line.contains("125") && line.contains('█'), "{line}");
    assert!(!table.stdout.contains("JPY") && !table.stdout.contains('\u{1b}'), "{table:?}");
    let csv = report(&service, &["pipeline", "--format", "csv"], &[]).stdout;
    assert!(csv.starts_with("currency,stage,name,count,amountCents,weightedCents\r\n"), "{csv}");
    assert!(csv.contains("EUR,4,Negotiation,1,250,200\r\n") && csv.contains("JPY,5,Won,1,0,0\r\n"), "{csv}");
    let svg = report(&service, &["pipeline", "--format", "svg"], &[]).stdout;
    assert!(svg.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\"") && svg.ends_with("</svg>\n"));
    assert!(
        svg.contains("<title id=\"title\">Opportunities by stage</title>") && svg.contains("Negotiation 1"),
        "{svg}"
    );
    let wrong = report(&service, &["pipeline", "--tenant", "a b"], &[]);
    assert_eq!(wrong.code, Some(1), "{wrong:?}");
}

#[tokio::test]
async fn what_is_stalled_is_printed_in_each_form() {
    let service = Service::start().await;
    let nothing = report(&service, &["stalled"], &[]);
    assert_eq!((nothing.code, &*nothing.stdout), (Some(0), "nothing is stalled\n"), "{nothing:?}");
    populate(&service).await;
    let table = report(&service, &["stalled"], &[]).stdout;
    let line = table.lines().nth(1).unwrap();
    assert!(line.contains("Negotiation") && line.contains("中国"), "{table}");
    assert_eq!(report(&service, &["stalled", "--tenant", "other"], &[]).stdout, "nothing is stalled\n");
    let csv = report(&service, &["stalled", "--format", "csv"], &[]).stdout;
    assert!(csv.contains(",\"'=<b>\"\"A\"\" & B, 中国</b>\",Negotiation,EUR,250,2020-01-01T00:00:00.000Z,"), "{csv}");
    let svg = report(&service, &["stalled", "--format", "svg"], &[]).stdout;
    assert!(svg.contains("=&lt;b&gt;&quot;A&quot; &amp; B, 中国&lt;/b&gt;") && !svg.contains("<b>"), "{svg}");
}

#[tokio::test]
async fn gauges_are_of_all_tenants_together() {
    let service = Service::start().await;
    populate(&service).await;
    let customer = service.customer().await;
    service.follow_up(json!({ "content": "x", "customerId": customer })).await;
    if on_postgres() {
        fold::fold(service.app.database(), None).await.unwrap();
    }
    let metrics = service.app.metrics();
    let refresh = async || {
        gauges::refresh(service.app.database(), &metrics.business, service.app.now().0).await.unwrap();
        metrics.text()
    };
    let text = refresh().await;
    for line in [
        "crm_opportunities{stage=\"proposal\",status=\"open\"} 1",
        "crm_opportunities{stage=\"won\",status=\"won\"} 1",
        "crm_opportunity_amount_minor_units{currency=\"EUR\",status=\"open\"} 500.0",
        "crm_customers{status=\"prospect\"} 3",
        "crm_customers{status=\"signed\"} 0",
        "crm_follow_ups_created_on{day=\"today\"} 1",
    ] {
        assert!(text.lines().any(|one| one == line), "{line} is not in\n{text}");
    }
    assert!(!text.contains("default") && !text.contains("other\""), "{text}");
    // What is no more is 0.
    for opportunity in crate::harness::fields(&service.read("/opportunities").await, "opportunityId") {
        service.delete(&format!("/opportunities/{opportunity}")).send().await.expect(204);
    }
    let text = refresh().await;
    assert!(text.contains("crm_opportunities{stage=\"proposal\",status=\"open\"} 0\n"), "{text}");
}
