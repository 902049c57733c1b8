//! The operations on opportunities.

use futures_util::FutureExt;
use poem::web::Data;
use poem_openapi::{OpenApi, param::Path};

use super::{Opportunity, OpportunityCreate, OpportunityUpdate, entity::OPPORTUNITIES, store};
use crate::{
    app::App,
    change::Intent,
    error::Result,
    http::{
        body::Body,
        caller::{Caller, CanRead, CanWrite},
        pages::After,
        precondition::{IfMatch, IfNoneMatch},
        query::Query,
        reply::{Created, Current, Found, NoContent, Tagged},
    },
    values::{
        IdempotencyKey,
        id::PathId,
        page::{List, PageNumber, PageSize},
        query::IdFilter,
    },
};

/// The operations on opportunities.
#[derive(Default)]
pub(crate) struct OpportunitiesApi;

#[OpenApi(tag = "OPPORTUNITIES")]
impl OpportunitiesApi {
    /// List opportunities
    ///
    /// The tenant's opportunities, newest first, optionally only those of one customer.
    #[oai(path = "/opportunities", method = "get", operation_id = "listOpportunities")]
    async fn list(
        &self,
        caller: Caller<CanRead>,
        app: Data<&App>,
        /// Only opportunities of this customer.
        #[oai(name = "customerId")]
        customer: Query<IdFilter>,
        /// Page number, starting at 1.
        page: Query<PageNumber>,
        /// Number of opportunities per page.
        #[oai(name = "pageSize")]
        page_size: Query<PageSize>,
        /// Only what comes behind this cursor: the `nextCursor` of a page, asked with the same filters.
        after: After,
    ) -> Result<Found<List<Opportunity>>> {
        let page = after.page(app.cipher(), caller.tenant(), page.0, page_size.0)?;
        let rows =
            store::list(&app.database().read_for(caller.tenant()), caller.tenant(), customer.0, page.slice.clone())
                .await?;
        Ok(Found(app.project_page(&caller, &page, rows)?))
    }

    /// Create an opportunity
    ///
    /// `status` follows from the stage.
    #[oai(path = "/opportunities", method = "post", operation_id = "createOpportunity")]
    async fn create(
        &self,
        caller: Caller<CanWrite>,
        app: Data<&App>,
        key: IdempotencyKey,
        body: Body<OpportunityCreate>,
    ) -> Result<Created<Tagged<Opportunity>>> {
        let id = app.new_id();
        let intent = Intent::create(caller, key, OPPORTUNITIES, id);
        let resource = app
            .changes()
            .apply_and_project(intent, move |change| store::insert(change, body.0.clone()).boxed())
            .await?;
        Ok(Created { location: OPPORTUNITIES.address(id), resource })
    }

    /// Get an opportunity
    ///
    /// One opportunity of the tenant.
    #[oai(path = "/opportunities/:opportunity_id", method = "get", operation_id = "getOpportunity")]
    async fn get(
        &self,
        caller: Caller<CanRead>,
        app: Data<&App>,
        #[oai(name = "If-None-Match")] known: IfNoneMatch,
        /// The opportunity's id.
        opportunity_id: Path<PathId>,
    ) -> Result<Current<Opportunity>> {
        app.get(&caller, opportunity_id.0.uuid(), &known).await
    }

    /// Change an opportunity
    ///
    /// Changes the fields in the body and leaves the others unchanged; `{}` is accepted and changes nothing. Setting
    /// the stage also sets the status; setting only the status moves the stage to Won, to Lost, or back to the last
    /// open stage.
    #[oai(path = "/opportunities/:opportunity_id", method = "patch", operation_id = "updateOpportunity")]
    async fn update(
        &self,
        caller: Caller<CanWrite>,
        app: Data<&App>,
        key: IdempotencyKey,
        #[oai(name = "If-Match")] only_if: IfMatch,
        /// The opportunity's id.
        opportunity_id: Path<PathId>,
        body: Body<OpportunityUpdate>,
    ) -> Result<Found<Tagged<Opportunity>>> {
        body.0.check()?;
        let intent = Intent::update(caller, key, OPPORTUNITIES, opportunity_id.0.uuid()).only_if(only_if);
        let changed = app
            .changes()
            .apply_and_project(intent, move |change| store::update(change, body.0.clone()).boxed())
            .await?;
        Ok(Found(changed))
    }

    /// Delete an opportunity
    ///
    /// Deletes the opportunity; its follow-ups stay, without their reference to it.
    #[oai(path = "/opportunities/:opportunity_id", method = "delete", operation_id = "deleteOpportunity")]
    async fn delete(
        &self,
        caller: Caller<CanWrite>,
        app: Data<&App>,
        #[oai(name = "If-Match")] only_if: IfMatch,
        /// The opportunity's id.
        opportunity_id: Path<PathId>,
    ) -> Result<NoContent> {
        let intent = Intent::inherent(caller, OPPORTUNITIES, opportunity_id.0.uuid()).only_if(only_if);
        app.changes().apply(intent, |change| store::delete(change).boxed()).await?;
        Ok(NoContent)
    }
}
