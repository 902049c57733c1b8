//! The operations on opportunities.

use chrono::SubsecRound;
use futures_util::FutureExt;
use poem::web::Data;
use poem_openapi::{OpenApi, param::Path};

use super::{
    Opportunity, OpportunityCreate, OpportunityUpdate, StageHistory,
    entity::{Entity, OPPORTUNITIES},
    history,
    stage::{OpportunityStage, OpportunityStatus},
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
        pages::After,
        precondition::{IfMatch, IfNoneMatch},
        query::Query,
        reply::{Created, Current, Found, FoundList, NoContent, Tagged},
    },
    resource::searching::holding,
    values::{
        IdempotencyKey, SearchText,
        id::PathId,
        page::{PageNumber, PageSize},
        query::{AmountFilter, CurrencyFilter, DaysFilter, EnumFilter, IdFilter},
    },
};

/// The operations on opportunities.
#[derive(Default)]
pub(crate) struct OpportunitiesApi;

#[OpenApi(tag = "OPPORTUNITIES")]
impl OpportunitiesApi {
    /// List opportunities
    ///
    /// The tenant's opportunities that match all filters, newest first unless sorted.
    #[oai(path = "/opportunities", method = "get", operation_id = "listOpportunities")]
    #[expect(clippy::too_many_arguments, reason = "each is a parameter of the contract")]
    async fn list(
        &self,
        caller: Caller<CanRead>,
        app: Data<&App>,
        /// Only opportunities of this customer.
        #[oai(name = "customerId")]
        customer: Query<IdFilter>,
        /// Only opportunities in this stage, or one of several separated by commas.
        stage: Query<EnumFilter<OpportunityStage>>,
        /// Only opportunities with this status, or one of several separated by commas.
        status: Query<EnumFilter<OpportunityStatus>>,
        /// Only opportunities in this currency, or one of several separated by commas.
        currency: Query<CurrencyFilter>,
        /// Only opportunities of at least this amount, in the currency's minor unit, whatever the currency is.
        #[oai(name = "amountFrom")]
        amount_from: Query<AmountFilter>,
        /// Only opportunities of at most this amount.
        #[oai(name = "amountTo")]
        amount_to: Query<AmountFilter>,
        /// Only opportunities whose title holds all these words, each as a part of it, without regard to case, accents, width and style;
        /// at most 10 words and 200 characters, at least one word of two characters (one of Chinese, Japanese, Korean, emoji and
        /// symbols).
        q: Query<SearchText>,
        /// Only open opportunities that have not been changed for so many days, and have no follow-up that is younger.
        #[oai(name = "stalledDays")]
        stalled: Query<DaysFilter>,
        /// In which order: by `createdAt`, `updatedAt`, `title`, `amountCents` and `stage`, at most three of them separated by
        /// commas, each with a `-` before it to sort downwards. Equal opportunities come in the order of their creation, in the
        /// direction of the last key. Without it, the newest come first.
        #[oai(name = "sort")]
        listing: Listing<Entity>,
    ) -> Result<FoundList<Opportunity>> {
        let database = app.database().read_recent(caller.tenant(), &caller.recency);
        let words = holding(&database, caller.tenant(), q.0.as_ref(), Vec::new()).await?;
        // To the second: who asks again within it asks the same, and what was counted is remembered.
        let stalled_since = |days| app.now().0.checked_sub_days(days).unwrap_or_default().trunc_subsecs(0);
        let filter = store::Filter {
            customer: customer.0,
            stages: stage.0,
            statuses: status.0,
            currencies: currency.0,
            amount: (amount_from.0, amount_to.0),
            words,
            stalled_since: stalled.0.map(stalled_since),
        };
        let page = listing.page(app.cipher(), caller.tenant())?;
        let rows = store::list(&database, caller.tenant(), filter, &listing, page.slice.clone()).await?;
        app.project_page(&caller, &page, rows)
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

    /// Get the stage history of an opportunity
    ///
    /// The stages that the opportunity was in, the latest first: when it came into each and left it, and who moved it there.
    #[oai(
        path = "/opportunities/:opportunity_id/stage-history",
        method = "get",
        operation_id = "getOpportunityStageHistory"
    )]
    async fn stage_history(
        &self,
        caller: Caller<CanRead>,
        app: Data<&App>,
        /// The opportunity's id.
        opportunity_id: Path<PathId>,
        /// Only what comes behind this cursor: the `nextCursor` of a page of the same history.
        after: After,
        /// Number of stages per page.
        #[oai(name = "pageSize")]
        page_size: Query<PageSize>,
    ) -> Result<Found<StageHistory>> {
        let page = after.page(app.cipher(), caller.tenant(), PageNumber::FIRST, page_size.0)?;
        let database = app.database().read_recent(caller.tenant(), &caller.recency);
        let history = history::page(&database, app.cipher(), caller.tenant(), opportunity_id.0.uuid(), &page).await?;
        Ok(Found(history))
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
