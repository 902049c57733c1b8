//! The operations on follow-ups.

use futures_util::FutureExt;
use poem::web::Data;
use poem_openapi::{OpenApi, param::Path};

use super::{
    FollowUp, FollowUpCreate, FollowUpUpdate,
    entity::{Entity, FOLLOW_UPS},
    store,
};
use crate::{
    app::App,
    change::Intent,
    error::Result,
    http::{
        body::Body,
        caller::{Caller, CanRead, CanWrite},
        listing::Listing,
        precondition::{IfMatch, IfNoneMatch},
        query::Query,
        reply::{Created, Current, Found, FoundList, NoContent, Tagged},
    },
    resource::searching::holding,
    values::{
        IdempotencyKey, SearchText,
        id::PathId,
        query::{IdFilter, TextsFilter},
    },
};

/// The operations on follow-ups.
#[derive(Default)]
pub(crate) struct FollowUpsApi;

#[OpenApi(tag = "FOLLOW_UPS")]
impl FollowUpsApi {
    /// List follow-ups
    ///
    /// The tenant's follow-ups that match all filters, newest first unless sorted.
    #[oai(path = "/follow-ups", method = "get", operation_id = "listFollowUps")]
    #[expect(clippy::too_many_arguments, reason = "each is a parameter of the contract")]
    async fn list(
        &self,
        caller: Caller<CanRead>,
        app: Data<&App>,
        /// Only follow-ups of this customer.
        #[oai(name = "customerId")]
        customer: Query<IdFilter>,
        /// Only follow-ups of this opportunity.
        #[oai(name = "opportunityId")]
        opportunity: Query<IdFilter>,
        /// Only follow-ups of this type, in the tenant's own words, or one of several separated by commas; a comma in one is
        /// written `\,` and a backslash `\\`.
        #[oai(name = "followUpType")]
        types: Query<TextsFilter>,
        /// Only follow-ups whose content holds all these words, each as a part of it, without regard to case, accents, width and style;
        /// at most 10 words and 200 characters, at least one word of two characters (one of Chinese, Japanese, Korean, emoji and
        /// symbols).
        q: Query<SearchText>,
        /// In which order: by `createdAt` and `updatedAt`, at most three of them separated by
        /// commas, each with a `-` before it to sort downwards. Equal follow-ups come in the order of their creation, in the
        /// direction of the last key. Without it, the newest come first.
        #[oai(name = "sort")]
        listing: Listing<Entity>,
    ) -> Result<FoundList<FollowUp>> {
        let database = app.database().read_recent(caller.tenant(), &caller.recency);
        let words = holding(&database, caller.tenant(), q.0.as_ref(), Vec::new()).await?;
        let filter = store::Filter { customer: customer.0, opportunity: opportunity.0, types: types.0, words };
        let page = listing.page(app.cipher(), caller.tenant())?;
        let rows = store::list(&database, caller.tenant(), filter, &listing, page.slice.clone()).await?;
        app.project_page(&caller, &page, rows)
    }

    /// Create a follow-up
    ///
    /// The opportunity and the contact must belong to the customer; without `customerId`, the customer is taken from
    /// them.
    #[oai(path = "/follow-ups", method = "post", operation_id = "createFollowUp")]
    async fn create(
        &self,
        caller: Caller<CanWrite>,
        app: Data<&App>,
        key: IdempotencyKey,
        body: Body<FollowUpCreate>,
    ) -> Result<Created<Tagged<FollowUp>>> {
        let id = app.new_id();
        let intent = Intent::create(caller, key, FOLLOW_UPS, id);
        let resource = app
            .changes()
            .apply_and_project(intent, move |change| store::insert(change, body.0.clone()).boxed())
            .await?;
        Ok(Created { location: FOLLOW_UPS.address(id), resource })
    }

    /// Get a follow-up
    ///
    /// One follow-up of the tenant.
    #[oai(path = "/follow-ups/:follow_up_id", method = "get", operation_id = "getFollowUp")]
    async fn get(
        &self,
        caller: Caller<CanRead>,
        app: Data<&App>,
        #[oai(name = "If-None-Match")] known: IfNoneMatch,
        /// The follow-up's id.
        follow_up_id: Path<PathId>,
    ) -> Result<Current<FollowUp>> {
        app.get(&caller, follow_up_id.0.uuid(), &known).await
    }

    /// Change a follow-up
    ///
    /// Changes the fields in the body and leaves the others unchanged; `{}` is accepted and changes nothing. After the
    /// change, the opportunity and the contact must belong to the customer.
    #[oai(path = "/follow-ups/:follow_up_id", method = "patch", operation_id = "updateFollowUp")]
    async fn update(
        &self,
        caller: Caller<CanWrite>,
        app: Data<&App>,
        key: IdempotencyKey,
        #[oai(name = "If-Match")] only_if: IfMatch,
        /// The follow-up's id.
        follow_up_id: Path<PathId>,
        body: Body<FollowUpUpdate>,
    ) -> Result<Found<Tagged<FollowUp>>> {
        let intent = Intent::update(caller, key, FOLLOW_UPS, follow_up_id.0.uuid()).only_if(only_if);
        let changed = app
            .changes()
            .apply_and_project(intent, move |change| store::update(change, body.0.clone()).boxed())
            .await?;
        Ok(Found(changed))
    }

    /// Delete a follow-up
    ///
    /// Deletes the follow-up.
    #[oai(path = "/follow-ups/:follow_up_id", method = "delete", operation_id = "deleteFollowUp")]
    async fn delete(
        &self,
        caller: Caller<CanWrite>,
        app: Data<&App>,
        #[oai(name = "If-Match")] only_if: IfMatch,
        /// The follow-up's id.
        follow_up_id: Path<PathId>,
    ) -> Result<NoContent> {
        let intent = Intent::inherent(caller, FOLLOW_UPS, follow_up_id.0.uuid()).only_if(only_if);
        app.changes().apply(intent, |change| store::delete(change).boxed()).await?;
        Ok(NoContent)
    }
}
