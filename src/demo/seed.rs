//! Writes as many invented customers as are asked for: those of the demo over and over, each with a number. The service's own
//! write path does it, so that each has its audit entries, events and sealed values like any other.

use chrono::{DateTime, Utc};
use futures_util::{StreamExt, TryStreamExt, stream};
use poem::{Endpoint, Response};
use tokio_util::sync::CancellationToken;

use super::{
    customers::{CustomerData, FILES, TenantData},
    history::history_of,
    writer::{Outcome, Writer, fault},
};
use crate::{app::App, config::Secret, service::service, values::Tenant};

/// How many customers are written at once: enough for SQLite to commit the changes of many together.
const AT_ONCE: u32 = 32;

/// By how much amounts differ, in minor units, and how many there are of them.
const STEP: i64 = 12_500;
const STEPS: u32 = 97;

/// Writes the customers from the first to the last number, and returns how many are there then. What an earlier run wrote is not
/// written again, as long as the ids of its requests are kept. `progress` is told how many customers are there.
///
/// # Errors
/// A request that was refused or failed.
pub async fn seed(
    app: &App,
    secret: &Secret,
    (tenant, customers): (&Tenant, u32),
    progress: &(dyn Fn(u32) + Sync),
    stop: &CancellationToken,
) -> Outcome<u32> {
    let mut templates: Vec<CustomerData> = Vec::new();
    for file in FILES {
        templates.extend(yaml_serde::from_str::<TenantData>(file)?.customers);
    }
    let (service, now) = (service(app), app.now().0);
    let begun = begun(app, tenant, customers).await?;
    // Those before are whole: no more than so many are ever begun and not ended, in their order.
    let whole = begun.saturating_sub(AT_ONCE);
    progress(whole);
    let numbers = templates.iter().cycle().zip(1..=customers).skip(whole as usize).take_while(|_| !stop.is_cancelled());
    stream::iter(numbers)
        .map(|(template, number)| {
            let writer = Writer::new(app, &service, secret, "crm-seed");
            write(writer, tenant, numbered(template, number), (number, number <= begun), now)
        })
        .buffered(AT_ONCE as usize)
        .try_fold(whole, async |written, ()| {
            progress(written + 1);
            Ok(written + 1)
        })
        .await
}

/// The last customer that an earlier run has begun, found by halves.
async fn begun(app: &App, tenant: &Tenant, customers: u32) -> Outcome<u32> {
    let (mut begun, mut not_begun) = (0, customers + 1);
    while not_begun - begun > 1 {
        let middle = begun + (not_begun - begun) / 2;
        match app.changes().receipt(tenant, &request_id(middle, 1)).await.map_err(fault)? {
            Some(_) => begun = middle,
            None => not_begun = middle,
        }
    }
    Ok(begun)
}

/// The id of the request that is so many steps into the history of the customer with this number.
fn request_id(number: u32, step: u32) -> String {
    format!("seed-{number}-{step}")
}

async fn write<S: Endpoint<Output = Response>>(
    mut writer: Writer<'_, S>,
    tenant: &Tenant,
    customer: CustomerData,
    (number, is_begun): (u32, bool),
    now: DateTime<Utc>,
) -> Outcome<()> {
    for (place, step) in (1..).zip(history_of(tenant.as_str(), customer)) {
        let request_id = request_id(number, place);
        if !is_begun || !writer.was_taken(&step, &request_id).await? {
            writer.take(step, now, request_id).await?;
        }
    }
    Ok(())
}

/// The customer with this number: it and its contacts can be told from those of the other numbers.
fn numbered(template: &CustomerData, number: u32) -> CustomerData {
    let mut customer = template.clone();
    customer.name = format!("{} {number}", customer.name);
    customer.email = format!("c{number}.{}", customer.email);
    for contact in &mut customer.contacts {
        contact.email = format!("c{number}.{}", contact.email);
    }
    for opportunity in &mut customer.opportunities {
        opportunity.amount += i64::from(number % STEPS) * STEP;
    }
    customer
}
