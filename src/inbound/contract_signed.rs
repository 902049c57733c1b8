//! `erp.contract.signed`: the customer is signed; the opportunity, if one is named, is won.

use futures_util::{FutureExt, future::BoxFuture};
use serde::Deserialize;

use super::{
    consumed_event::{ConsumedEvent, DataField},
    envelope::Envelope,
};
use crate::{
    change::Changes,
    customers::{self, CUSTOMERS},
    error::Result,
    opportunities,
    values::{Clearable, Id, IdSource, Tenant},
};

pub(super) const EVENT: ConsumedEvent = ConsumedEvent {
    event_type: "erp.contract.signed",
    summary: "A contract was signed: the customer becomes signed, and the opportunity, if one is named, won.",
    required: &["tenantId", "customerId"],
    data: fields,
    apply,
};

/// The event's `data`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ContractSigned {
    tenant_id: Tenant,
    customer_id: Id,
    #[serde(default)]
    opportunity_id: Clearable<Id>,
}

fn fields() -> Vec<DataField> {
    vec![
        DataField::of::<Tenant>("tenantId", "The tenant."),
        DataField::of::<Id>("customerId", "The customer who signed."),
        DataField::nullable::<Id>("opportunityId", "The opportunity that led to it; one of the customer's."),
    ]
}

fn apply<'a>(changes: &'a Changes, ids: &'a IdSource, envelope: &'a Envelope) -> BoxFuture<'a, Result<()>> {
    async move {
        let ContractSigned { tenant_id, customer_id, opportunity_id } = envelope.data()?;
        let intent = envelope.context(tenant_id, ids).intent(CUSTOMERS, customer_id.0);
        let opportunity = opportunity_id.into_option().map(|id| id.0);
        changes
            .apply(intent, move |change| {
                async move {
                    customers::store::sign(change).await?;
                    match opportunity {
                        Some(id) => opportunities::store::win(change, id).await,
                        None => Ok(()),
                    }
                }
                .boxed()
            })
            .await
    }
    .boxed()
}
