//! The operations that show a resource in one look.

use futures_util::FutureExt;
use poem::web::Data;
use poem_openapi::{OpenApi, param::Path};

use super::{
    store,
    types::{CustomerOverview, OpportunityOverview},
};
use crate::{
    app::App,
    contacts, customers,
    error::Result,
    http::{
        caller::{Caller, CanRead},
        pages::After,
        query::Query,
        reply::Found,
        tag::Tag,
    },
    pii::PiiView,
    timeline::{
        store::Slice,
        types::{Timeline, TimelineItem, TypesFilter},
    },
    values::{
        Timestamp,
        id::PathId,
        page::{NextCursor, PageNumber, PageSize},
    },
};

const OVERVIEWS: Tag = Tag {
    name: "Overviews",
    description: "A customer or an opportunity in one look, and what happened to a customer.",
};

/// The operations that show a resource in one look.
pub struct OverviewApi;

#[OpenApi(tag = "OVERVIEWS")]
impl OverviewApi {
    /// Get a customer in one look
    ///
    /// The customer with its contacts, opportunities and follow-ups, what its opportunities amount to, and what happened last: all as
    /// it was at one instant. Of each at most 20 are shown; the lists and the timeline have the others.
    #[oai(path = "/customers/:customer_id/overview", method = "get", operation_id = "getCustomerOverview")]
    async fn customer(
        &self,
        caller: Caller<CanRead>,
        app: Data<&App>,
        /// The customer's id.
        customer_id: Path<PathId>,
    ) -> Result<Found<CustomerOverview>> {
        let id = customer_id.0.uuid();
        let read = app.database().at_one_instant(caller.tenant(), &caller.recency, move |snapshot, tenant| {
            store::customer(snapshot, tenant, id).boxed()
        });
        let rows = read.await?;
        let readings = [
            app.reading::<customers::Entity>(&caller, std::slice::from_ref(&rows.customer)),
            app.reading::<contacts::Entity>(&caller, &rows.contacts.data),
        ];
        let view = PiiView::new(app.cipher(), caller.visibility);
        let overview = CustomerOverview::of(rows, &view, app.now())?;
        readings.into_iter().for_each(|reading| app.audit_queue().record(reading));
        Ok(Found(overview))
    }

    /// Get an opportunity in one look
    ///
    /// The opportunity with its customer, its follow-ups and the stages it was in: all as it was at one instant. At most 20 of
    /// each are shown.
    #[oai(path = "/opportunities/:opportunity_id/overview", method = "get", operation_id = "getOpportunityOverview")]
    async fn opportunity(
        &self,
        caller: Caller<CanRead>,
        app: Data<&App>,
        /// The opportunity's id.
        opportunity_id: Path<PathId>,
    ) -> Result<Found<OpportunityOverview>> {
        let id = opportunity_id.0.uuid();
        let read = app.database().at_one_instant(caller.tenant(), &caller.recency, move |snapshot, tenant| {
            store::opportunity(snapshot, tenant, id).boxed()
        });
        let rows = read.await?;
        let reading = app.reading::<customers::Entity>(&caller, std::slice::from_ref(&rows.customer));
        let view = PiiView::new(app.cipher(), caller.visibility);
        let overview = OpportunityOverview::of(rows, &view, app.now())?;
        app.audit_queue().record(reading);
        Ok(Found(overview))
    }

    /// List what happened to a customer
    ///
    /// What happened to the customer and to what belongs to it, newest first: the changes that the audit trail has, without its
    /// readings and refusals, for as long as there is the customer. Values of personal data and of free text are never in it.
    #[oai(path = "/customers/:customer_id/timeline", method = "get", operation_id = "getCustomerTimeline")]
    async fn timeline(
        &self,
        caller: Caller<CanRead>,
        app: Data<&App>,
        /// The customer's id.
        customer_id: Path<PathId>,
        /// Only what comes behind this cursor: the `nextCursor` of a page with the same `types`.
        after: After,
        /// Maximum number of items.
        limit: Query<PageSize>,
        /// Only items of these types, separated by commas. At most 10,000 items are looked at for a page.
        types: Query<TypesFilter>,
    ) -> Result<Found<Timeline>> {
        let id = customer_id.0.uuid();
        let page = after.page(app.cipher(), caller.tenant(), PageNumber::FIRST, limit.0)?;
        let slice = Slice { after: page.slice.after.clone(), types: types.0, limit: page.slice.limit };
        let read = app.database().at_one_instant(caller.tenant(), &caller.recency, move |snapshot, tenant| {
            store::timeline(snapshot, tenant, id, slice.clone()).boxed()
        });
        let store::TimelineRows { items, next, since } = read.await?;
        let next = next.map(|place| page.cursor(app.cipher(), &place)).transpose()?;
        Ok(Found(Timeline {
            data: items.into_iter().map(TimelineItem::from_row).collect::<Result<_>>()?,
            next_cursor: NextCursor(next),
            since: Timestamp(since),
        }))
    }
}
