//! The operations of privacy.

use futures_util::FutureExt;
use poem::{IntoResponse, Response, web::Data};
use poem_openapi::{
    ApiResponse, OpenApi,
    param::Path,
    registry::{MetaResponse, MetaResponses, Registry},
    types::Type,
};

use super::{
    entity::Model,
    export::{self, Exported},
    request,
    steps::{self, ERASURES as PRIVACY},
    types::{Erasure, ErasureCreate, FollowUpTexts},
};
use crate::{
    app::App,
    change::Intent,
    customers::CUSTOMERS,
    error::{Error, Result},
    http::{
        body::Body,
        caller::{Caller, CanErase, CanExport},
        reply::{Created, Found},
    },
    values::{IdempotencyKey, id::PathId},
};

/// The operations of privacy.
pub struct PrivacyApi;

#[OpenApi(tag = "PRIVACY")]
impl PrivacyApi {
    /// Erase a customer's personal data
    ///
    /// The customer stays, with the name `erased`, without phone number and e-mail address, and with its status; so do its
    /// contacts. With `"followUps": "erase"` the texts of its follow-ups become `erased` too; titles of opportunities stay.
    /// The search finds nothing of it any more, and every stored event about them is changed in place, so that
    /// `GET /events` shows what is left. It cannot be undone. Consumers of events learn from `crm.customer.erased` to
    /// erase their copies; messages that were published and backups are not reached.
    ///
    /// The reply is the certificate. `completedAt` is `null` while stored events, or contacts and follow-ups beyond the
    /// first 200 of each, are still being erased: `GET` shows how far it is. A further erasure is answered 200, with the
    /// certificate of the last one, unless personal data was written about the customer since, or follow-ups are to be
    /// erased and were not. The customer can be changed as before: what is written then is new data.
    #[oai(path = "/customers/:customer_id/erasure", method = "post", operation_id = "eraseCustomer")]
    async fn erase(
        &self,
        caller: Caller<CanErase>,
        app: Data<&App>,
        key: IdempotencyKey,
        /// The customer's id.
        customer_id: Path<PathId>,
        body: Body<ErasureCreate>,
    ) -> Result<Certified> {
        let follow_ups = body.0.follow_ups.into_option() == Some(FollowUpTexts::Erase);
        let id = customer_id.0.uuid();
        let checked = request::check(app.database(), caller.tenant(), id, follow_ups).await?;
        let (tenant, recency) = (caller.tenant().clone(), caller.recency.clone());
        let intent = Intent::erase(caller, key, CUSTOMERS, id);
        let (row, is_new) = app
            .changes()
            .apply(intent, move |change| {
                let checked = checked.clone();
                async move { request::request(change, follow_ups, checked.as_ref()).await }.boxed()
            })
            .await?;
        let row = steps::for_a_moment(app.changes(), row).await;
        // What the steps have erased is behind what the change has reached.
        app.database().note_position(&tenant, &recency).await;
        Ok(Certified::of(row, is_new))
    }

    /// Get the certificate of an erasure
    ///
    /// The certificate of the customer's last erasure, also once the customer is deleted.
    #[oai(path = "/customers/:customer_id/erasure", method = "get", operation_id = "getErasure")]
    async fn certificate(
        &self,
        caller: Caller<CanErase>,
        app: Data<&App>,
        /// The customer's id.
        customer_id: Path<PathId>,
    ) -> Result<Found<Erasure>> {
        let last =
            request::last(&app.database().read_for(caller.tenant()), caller.tenant(), customer_id.0.uuid()).await?;
        last.map(|row| Found(Erasure::from_row(row))).ok_or_else(Error::not_found)
    }

    /// Export a customer's data
    ///
    /// All that is kept about the customer, as it was at one instant: the customer, its contacts, opportunities and
    /// follow-ups, as one JSON document. Phone numbers and e-mail addresses are in clear, so it needs the scope
    /// `crm:pii:read` too (403 without it), unless the service shows personal data to everybody; it is noted in the audit
    /// trail. The document comes as a stream: one that breaks off has no end, and is not valid JSON.
    #[oai(path = "/customers/:customer_id/export", method = "get", operation_id = "exportCustomer")]
    async fn export(
        &self,
        caller: Caller<CanExport>,
        app: Data<&App>,
        /// The customer's id.
        customer_id: Path<PathId>,
    ) -> Result<Exported> {
        export::export(&app, &caller, customer_id.0.uuid()).await
    }
}

/// The certificate of an erasure: of a new one, or of the last one, where nothing was left to erase.
pub enum Certified {
    /// 201.
    New(Created<Erasure>),
    /// 200.
    Former(Found<Erasure>),
}

impl Certified {
    fn of(row: Model, is_new: bool) -> Self {
        let location = format!("{}/erasure", CUSTOMERS.address(row.customer_id));
        let resource = Erasure::from_row(row);
        if is_new { Self::New(Created { location, resource }) } else { Self::Former(Found(resource)) }
    }
}

impl ApiResponse for Certified {
    fn meta() -> MetaResponses {
        let mut responses = Created::<Erasure>::meta().responses;
        for response in &mut responses {
            response.description = "Created: the certificate of the new erasure.";
        }
        let former = Found::<Erasure>::meta().responses.into_iter().map(|response| MetaResponse {
            description: "OK: nothing was left to erase; the certificate of the last erasure.",
            ..response
        });
        responses.extend(former);
        MetaResponses { responses }
    }

    fn register(registry: &mut Registry) {
        Erasure::register(registry);
    }
}

impl IntoResponse for Certified {
    fn into_response(self) -> Response {
        match self {
            Self::New(created) => created.into_response(),
            Self::Former(found) => found.into_response(),
        }
    }
}
