//! Section 4.2: a request is done once.

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;

use super::{
    client::{Client, Reply},
    line::{Found, ensure},
    sample::{Sample, body, new_id},
    target::Target,
};

/// How many ask at once for the same.
const AT_ONCE: usize = 8;

/// The reply to the request that made the customer, sent once more.
pub(super) async fn duplicate(client: &Client, target: &Target, sample: &Sample) -> Result<Reply, String> {
    let again = client.ask(Method::POST, "/customers").by(&target.caller).request_id(&sample.request_id);
    again.json(&sample.body).send().await
}

/// What is sent again is refused, and names the resource; what is sent several times at once is done once.
pub(super) async fn once(client: &Client, target: &Target, sample: &Sample, duplicate: &Reply) -> Found {
    if let Some(second) = duplicate.field("customerId") {
        let _left_over = client.ask(Method::DELETE, &format!("/customers/{second}")).by(&target.caller).send().await?;
    }
    conflict(duplicate, &sample.location)?;
    let (id, names) = (new_id(), ["crm verify, renamed", "crm verify, renamed again"]);
    let rename = |name: &str| {
        let ask = client.ask(Method::PATCH, &sample.path).by(&target.caller).request_id(&id);
        ask.json(&json!({ "name": name })).send()
    };
    let [first, second] = names;
    rename(first).await?.expect(&[200])?;
    conflict(&rename(second).await?, &sample.location)?;
    let now = client.get(&sample.path).by(&target.caller).send().await?.expect(&[200])?;
    let name = now.field("name").unwrap_or_default();
    ensure(name == first, || format!("a PATCH that was sent again was done again: the name is {name:?}"))?;
    at_once(client, target).await?;
    Ok(format!(
        "POST and PATCH sent again: 409 IDEMPOTENT_CONFLICT with the resource, nothing changed; of {AT_ONCE} at once one was done"
    ))
}

fn conflict(reply: &Reply, location: &str) -> Result<(), String> {
    ensure(reply.status == 409 && reply.field("code") == Some("IDEMPOTENT_CONFLICT"), || {
        format!("{}, sent again under its X-Request-ID, was answered {}, and not 409", reply.what, reply.shown())
    })?;
    let named = reply.header("Location").unwrap_or_default();
    ensure(named == location, || format!("{}, sent again: Location is {named:?}, and not {location}", reply.what))
}

/// Several ask at once for the same customer: one gets it. All that were made are deleted again.
async fn at_once(client: &Client, target: &Target) -> Result<(), String> {
    let ((body, _), id) = (body(), new_id());
    let ask = |_| client.ask(Method::POST, "/customers").by(&target.caller).request_id(&id).json(&body).send();
    let mut statuses = Vec::new();
    for reply in join_all((0..AT_ONCE).map(ask)).await {
        let reply = reply?;
        statuses.push(reply.status);
        if let Some(made) = reply.field("customerId") {
            client
                .ask(Method::DELETE, &format!("/customers/{made}"))
                .by(&target.caller)
                .send()
                .await?
                .expect(&[204])?;
        }
    }
    let count = |status: u16| statuses.iter().filter(|found| **found == status).count();
    ensure(count(201) == 1 && count(409) == AT_ONCE - 1, || {
        format!("of {AT_ONCE} at once under one X-Request-ID, {} were answered 201: {statuses:?}", count(201))
    })
}
