//! The operations on the pipeline.

use poem::web::Data;
use poem_openapi::OpenApi;

use super::{
    forecast,
    summary::{self, Scope, Window},
    types::{
        IntervalFilter, OneCurrency, PipelineForecast, PipelineStage, PipelineStages, PipelineSummary, StalledDays,
        StalledOpportunities, StalledOpportunity,
    },
};
use crate::{
    app::App,
    database::pipeline,
    error::{Error, Result},
    http::{
        caller::{Caller, CanRead},
        pages::After,
        query::Query,
        reply::Found,
        tag::Tag,
    },
    opportunities::{self, OpportunityStage, types::Title},
    values::{
        AmountCents, Currency, Id, Timestamp,
        date::DateFilter,
        figure::Count,
        integer_enum::IntegerEnum,
        page::{NextCursor, PageNumber, PageSize},
        query::IdFilter,
    },
};

const PIPELINE: Tag = Tag {
    name: "Pipeline",
    description: "The opportunities as a whole: how many are in which stage, what became of them, what to expect, what is stuck.",
};

/// The operations on the pipeline.
pub struct PipelineApi;

#[OpenApi(tag = "PIPELINE")]
impl PipelineApi {
    /// List the stages of the pipeline
    ///
    /// The stages that opportunities go through, in their order. They are the same for all tenants.
    #[oai(path = "/pipeline/stages", method = "get", operation_id = "listPipelineStages")]
    async fn stages(&self, _caller: Caller<CanRead>) -> Result<Found<PipelineStages>> {
        let data = OpportunityStage::ALL.iter().copied().map(PipelineStage::of).collect();
        Ok(Found(PipelineStages { data }))
    }

    /// Summarize the pipeline
    ///
    /// How many opportunities are in each stage now, with their amounts, and what became of opportunities in a time: how many were
    /// closed, how long that took, and from which stage they went to which. Deleted opportunities are not counted, nor those of
    /// deleted customers.
    #[oai(path = "/pipeline/summary", method = "get", operation_id = "getPipelineSummary")]
    async fn summary(
        &self,
        caller: Caller<CanRead>,
        app: Data<&App>,
        /// Only opportunities of this customer.
        #[oai(name = "customerId")]
        customer: Query<IdFilter>,
        /// Only opportunities in this currency.
        currency: Query<OneCurrency>,
        /// The first day (UTC) of the time for `window`. Default: 90 days before `to`.
        from: Query<DateFilter>,
        /// The day (UTC) before which that time ends, at most 366 days later. Default: tomorrow, so that today is in it.
        to: Query<DateFilter>,
    ) -> Result<Found<PipelineSummary>> {
        let now = app.now();
        let window = Window::new(from.0, to.0, now.0)?;
        let scope = Scope { customer: customer.0, currency: currency.0.as_deref() };
        let database = app.database().read_recent(caller.tenant(), &caller.recency);
        Ok(Found(summary::read(&database, caller.tenant(), scope, window, now).await?))
    }

    /// Forecast the pipeline
    ///
    /// What amounts are to be expected in the next 12 months or 13 weeks, the present one included, by how long opportunities took
    /// in each stage in the last 365 days. What too few cases tell is `null`.
    #[oai(path = "/pipeline/forecast", method = "get", operation_id = "getPipelineForecast")]
    async fn forecast(
        &self,
        caller: Caller<CanRead>,
        app: Data<&App>,
        /// How long an interval is. Default: `month`.
        interval: Query<IntervalFilter>,
    ) -> Result<Found<PipelineForecast>> {
        let database = app.database().read_recent(caller.tenant(), &caller.recency);
        Ok(Found(forecast::read(&database, caller.tenant(), interval.0, app.now()).await?))
    }

    /// List stalled opportunities
    ///
    /// The open opportunities that for so many days have neither been moved to another stage nor got a follow-up, those first to
    /// which nothing has happened for the longest time.
    #[oai(path = "/pipeline/stalled", method = "get", operation_id = "listStalledOpportunities")]
    async fn stalled(
        &self,
        caller: Caller<CanRead>,
        app: Data<&App>,
        /// For how many days of 24 hours, at least.
        days: Query<StalledDays>,
        /// Only what comes behind this cursor: the `nextCursor` of a page with the same `days`.
        after: After,
        /// Number of opportunities per page.
        #[oai(name = "pageSize")]
        page_size: Query<PageSize>,
    ) -> Result<Found<StalledOpportunities>> {
        let (tenant, now) = (caller.tenant(), app.now());
        let page = after.page(app.cipher(), tenant, PageNumber::FIRST, page_size.0)?;
        let database = app.database().read_recent(tenant, &caller.recency);
        let complete = pipeline::is_complete(&database, tenant).await?;
        let since = now.0.checked_sub_days(chrono::Days::new(days.0)).unwrap_or_default();
        let rows = opportunities::store::idle(&database, tenant, since, page.slice.clone()).await?;
        let next = rows.next.map(|place| page.cursor(app.cipher(), &place)).transpose()?;
        let data = rows.data.into_iter().map(|row| stalled(row, now)).collect::<Result<_>>()?;
        Ok(Found(StalledOpportunities { data, complete, next_cursor: NextCursor(next) }))
    }
}

fn stalled(row: <opportunities::Entity as sea_orm::EntityTrait>::Model, now: Timestamp) -> Result<StalledOpportunity> {
    let (Some(entered), Some(idle)) = (row.stage_entered_at, row.idle_since) else {
        return Err(Error::internal("an opportunity that is stalled without a time"));
    };
    Ok(StalledOpportunity {
        opportunity_id: Id(row.opportunity_id),
        customer_id: Id(row.customer_id),
        title: Title::stored(row.title),
        amount_cents: AmountCents(row.amount_cents),
        currency: Currency::stored(row.currency),
        stage: row.stage,
        stage_entered_at: Timestamp(entered),
        idle_since: Timestamp(idle),
        idle_days: Count((now.0 - idle).num_days()),
    })
}
