//! The operations on receipts.

use poem::web::Data;
use poem_openapi::{OpenApi, param::Path};

use super::types::{KeyFilter, PathKey, Receipt};
use crate::{
    app::App,
    error::{Error, Result},
    http::{
        caller::{Caller, CanReadOrWrite},
        query::Query,
        reply::Found,
        tag::Tag,
    },
};

const REQUESTS: Tag = Tag { name: "Requests", description: "What came of requests whose response was lost." };

/// The operations on receipts.
pub struct ReceiptsApi;

#[OpenApi(tag = "REQUESTS")]
impl ReceiptsApi {
    /// Find the receipt of a request
    ///
    /// The same as `GET /requests/{request_id}`, for keys that do not survive in a path: some gateways decode `%2F`, and
    /// refuse or cut what they make of it.
    #[oai(path = "/requests", method = "get", operation_id = "findRequest")]
    async fn find(
        &self,
        caller: Caller<CanReadOrWrite>,
        app: Data<&App>,
        /// The key of the request: its `Idempotency-Key`, without quotes around it, or else its `X-Request-ID`.
        key: Query<KeyFilter>,
    ) -> Result<Found<Receipt>> {
        receipt(&app, &caller, Some(key.0)).await
    }

    /// Get the receipt of a request
    ///
    /// Whether a POST or PATCH of the tenant was committed, when, and what it created or changed. For keys that were never
    /// used, whose request was rejected, that are no longer kept, or that belong to another tenant, the response is 404; a
    /// request that is still under way has no receipt yet. DELETE leaves none. Whoever may read or write may ask (scope
    /// `crm:read` or `crm:write`).
    #[oai(path = "/requests/:request_id", method = "get", operation_id = "getRequest")]
    async fn get(
        &self,
        caller: Caller<CanReadOrWrite>,
        app: Data<&App>,
        /// The key of the request, percent-encoded: its `Idempotency-Key`, without quotes around it, or else its
        /// `X-Request-ID`.
        request_id: Path<PathKey>,
    ) -> Result<Found<Receipt>> {
        receipt(&app, &caller, request_id.0.key()).await
    }
}

async fn receipt(app: &App, caller: &Caller<CanReadOrWrite>, key: Option<String>) -> Result<Found<Receipt>> {
    let key = key.ok_or_else(Error::not_found)?;
    let receipt = app.changes().receipt(caller.tenant(), &key).await?.ok_or_else(Error::not_found)?;
    Ok(Found(Receipt::of(receipt)))
}
