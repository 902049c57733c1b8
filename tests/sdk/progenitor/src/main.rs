//! One walk through the API with the client that progenitor makes.

mod recipe;

use std::{env, error::Error as StdError};

use crm_client::{
    Client, CustomerStatus, Error, ErrorCode, HealthStatus, Nullable, OpportunityStage, OpportunityStatus,
    ResponseValue,
    types::{
        ContactCreate, Customer, CustomerCreate, CustomerUpdate, ErrorBody, Event, FollowUpCreate, Opportunity,
        OpportunityCreate,
    },
};
use recipe::{Reply, change_unchanged, entity_tag, send_once};
use reqwest::header::{AUTHORIZATION, HeaderMap};
use serde_json::json;
use uuid::Uuid;

type Outcome<T> = Result<T, Box<dyn StdError>>;

const TYPES: &str = "crm.customer.created,crm.opportunity.closed";
const UNKNOWN: &str = "019c1363-0000-7000-8000-000000000000";
const ACME: &str = "Café 北京 🚀";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome<()> {
    let api = client(&env::var("CRM_URL")?)?;
    let key = Uuid::new_v4();
    let email = "li.lei@example.com".to_owned();
    let acme = CustomerCreate { name: ACME.into(), contact_phone: None, contact_email: Some(email.clone()) };
    let customer = create(&api, key, &acme).await?.into_inner();
    assert_eq!((&*customer.name, &customer.contact_phone, &customer.contact_email), (ACME, &None, &Some(email)));
    let id = customer.customer_id;
    let li_lei = ContactCreate::builder().customer_id(id).name("李雷").phone(Some("13812345678".into()));
    let contact = api.create_contact().x_request_id(Uuid::new_v4()).body(li_lei).send().await?.into_inner();
    assert_eq!((&*contact.name, contact.phone.as_deref(), &contact.email), ("李雷", Some("13812345678"), &None));
    let opportunity = create_opportunity(&api, id, "Licence", OpportunityStage::Proposal).await?;
    assert_eq!((&opportunity.stage, opportunity.amount_cents), (&OpportunityStage::Proposal, 1_250_000));
    let called =
        FollowUpCreate::builder().opportunity_id(Some(opportunity.opportunity_id)).content("Called:\nwants an offer");
    let follow_up = api.create_follow_up().x_request_id(Uuid::new_v4()).body(called).send().await?.into_inner();
    assert_eq!((follow_up.customer_id, follow_up.contact_id), (Some(id), None));
    println!("1 created all four");

    let conflict = refusal(create(&api, key, &acme).await, 409);
    assert_eq!(conflict.code, ErrorCode::IdempotentConflict);
    assert!(conflict.resource.is_some_and(|made| made.type_ == "customer" && made.id == id));
    println!("2 a repeated request is 409 with its resource");

    list(&api).await?;
    println!("3 a lost reply made no second customer; three are listed by two");

    let clearing = CustomerUpdate { contact_email: Some(Nullable::Clear), contact_phone: None, name: None };
    let changed = api.update_customer().customer_id(id).x_request_id(Uuid::new_v4()).body(clearing).send().await?;
    assert_eq!((&changed.contact_email, &*changed.name), (&None, ACME));
    println!("4 null clears a field, and what is left out stays");

    change(&api, id).await?;
    println!("5 an old version is 412; read again, it is changed");

    let missing =
        refusal(api.get_customer().customer_id(Uuid::parse_str(UNKNOWN)?).x_request_id("asked-for").send().await, 404);
    assert_eq!((missing.code, &*missing.request_id), (ErrorCode::NotFound, "asked-for"));
    assert!(!missing.message.is_empty() && missing.details.is_some_and(|text| !text.is_empty()));
    assert!(missing.resource.is_none());
    println!("6 an unknown id is 404");

    let closed = create_opportunity(&api, id, "Won", OpportunityStage::Won).await?;
    assert_eq!((&closed.status, customer.status), (&OpportunityStatus::Won, CustomerStatus::Prospect));
    follow(&api, id).await?;
    assert_eq!(api.get_health().send().await?.status, HealthStatus::Up);
    expect_more(&closed)?;
    println!("7 enums have names, events their resources, and the service is up");

    api.delete_follow_up().follow_up_id(follow_up.follow_up_id).send().await?;
    api.delete_opportunity().opportunity_id(opportunity.opportunity_id).send().await?;
    api.delete_contact().contact_id(contact.contact_id).send().await?;
    assert_eq!(api.delete_customer().customer_id(id).send().await?.status(), 204);
    refusal(api.get_follow_up().follow_up_id(follow_up.follow_up_id).send().await, 404);
    refusal(api.get_opportunity().opportunity_id(opportunity.opportunity_id).send().await, 404);
    refusal(api.get_contact().contact_id(contact.contact_id).send().await, 404);
    refusal(api.get_customer().customer_id(id).send().await, 404);
    println!("8 deleted all four");
    Ok(())
}

async fn list(api: &Client) -> Outcome<()> {
    let fragile = client(&env::var("CRM_LOSSY_URL")?)?;
    let named = |name: &str| CustomerCreate { name: name.into(), contact_phone: None, contact_email: None };
    let second = send_once(
        async |key| create(&fragile, key, &named("Second")).await,
        async |made| fragile.get_customer().customer_id(made).send().await,
    );
    assert_eq!(second.await?.name, "Second");
    create(api, Uuid::new_v4(), &named("Third")).await?;
    for (page, names) in [(1, vec!["Third", "Second"]), (2, vec![ACME])] {
        let listed = api.list_customers().page(page).page_size(2).send().await?;
        let found: Vec<&str> = listed.data.iter().map(|customer| &*customer.name).collect();
        assert_eq!((listed.total, found), (Some(3), names));
    }
    Ok(())
}

async fn change(api: &Client, id: Uuid) -> Outcome<()> {
    let rename = async |name: &str, tag: String| {
        let named = CustomerUpdate { name: Some(name.into()), contact_email: None, contact_phone: None };
        api.update_customer().customer_id(id).x_request_id(Uuid::new_v4()).if_match(tag).body(named).send().await
    };
    let before = api.get_customer().customer_id(id).send().await?;
    let old = entity_tag(&before);
    rename("Meanwhile", old.clone()).await?;
    assert_eq!(refusal(rename("Stale", old).await, 412).code, ErrorCode::PreconditionFailed);
    let mut reads = vec![before];
    let renamed = change_unchanged(
        async || match reads.pop() {
            Some(before) => Ok(before),
            None => api.get_customer().customer_id(id).send().await,
        },
        async |_, tag| rename("Renamed", tag).await,
    );
    assert_eq!(renamed.await?.name, "Renamed");
    Ok(())
}

async fn follow(api: &Client, id: Uuid) -> Outcome<()> {
    let mut page = api.list_events().types(TYPES).send().await?.into_inner();
    let mut events: Vec<Event> = std::mem::take(&mut page.data);
    while events.len() < 4 {
        page = api.list_events().after(page.cursor).types(TYPES).wait(5).send().await?.into_inner();
        assert!(!page.data.is_empty(), "{events:?}");
        events.append(&mut page.data);
    }
    assert_eq!((&events[0].data.resource["customerId"], events[0].data.version), (&json!(id), 1));
    let types: Vec<&str> = events.iter().map(|event| event.event_type.as_str()).collect();
    let created = "crm.customer.created";
    assert_eq!(types, [created, created, created, "crm.opportunity.closed"]);
    Ok(())
}

/// What a later minor version may answer: a stage and a field that this client does not know.
fn expect_more(known: &Opportunity) -> Outcome<()> {
    let mut later = serde_json::to_value(known)?;
    later["stage"] = json!(7);
    later["later"] = json!(true);
    let read: Opportunity = serde_json::from_value(later)?;
    assert_eq!((read.stage, read.title), (OpportunityStage::Unknown(7), known.title.clone()));
    Ok(())
}

fn client(url: &str) -> Outcome<Client> {
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, format!("Bearer {}", env::var("CRM_TOKEN")?).parse()?);
    Ok(Client::new_with_client(url, reqwest::Client::builder().default_headers(headers).build()?))
}

async fn create(api: &Client, key: Uuid, customer: &CustomerCreate) -> Reply<Customer> {
    api.create_customer().x_request_id(key).body(customer.clone()).send().await
}

async fn create_opportunity(
    api: &Client,
    customer: Uuid,
    title: &str,
    stage: OpportunityStage,
) -> Outcome<Opportunity> {
    let wanted = OpportunityCreate::builder().customer_id(customer).title(title).amount_cents(1_250_000).stage(stage);
    Ok(api.create_opportunity().x_request_id(Uuid::new_v4()).body(wanted).send().await?.into_inner())
}

/// The error with this status, as the service described it.
fn refusal<T: std::fmt::Debug>(reply: Result<ResponseValue<T>, Error<ErrorBody>>, status: u16) -> ErrorBody {
    match reply {
        Err(Error::ErrorResponse(refused)) if refused.status() == status => refused.into_inner(),
        other => panic!("not {status}, but {other:?}"),
    }
}
