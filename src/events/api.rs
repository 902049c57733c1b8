//! The event feed.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use poem::web::Data;
use poem_openapi::OpenApi;

use super::{
    feed::{self, Filter},
    signal::EventSignal,
    types::{After, EventList, Limit, Types, Wait},
};
use crate::{
    database::Database,
    error::Result,
    http::{
        caller::{Caller, CanRead},
        in_flight::InFlight,
        query::Query,
        reply::Found,
        tag::Tag,
    },
    telemetry::metrics::{HttpLimit, Metrics},
};

const EVENTS: Tag = Tag { name: "Events", description: "What happened, for other services to follow." };

/// The event feed.
pub struct EventsApi;

#[OpenApi(tag = "EVENTS")]
impl EventsApi {
    /// Read events
    ///
    /// The tenant's events after a cursor, in order and without gaps. Start without `after`, process the events, and
    /// repeat with the `cursor` of the response, until `data` and `gaps` are empty: a page ends after `limit` events, or
    /// before it becomes larger than 1 MiB. Cursors are opaque, and valid for one tenant.
    ///
    /// A cursor is rejected with 400 where events after it are no longer kept, and where the feed does not hold what the
    /// cursor has seen, because the service was restored from a backup. Then begin without `after`: all events that are
    /// kept come again, with the same `eventId`; read the resources that they may have missed.
    #[oai(path = "/events", method = "get", operation_id = "listEvents")]
    #[expect(clippy::too_many_arguments, reason = "each is a parameter of the contract, or a part of the service")]
    async fn list(
        &self,
        caller: Caller<CanRead>,
        database: Data<&Arc<Database>>,
        signal: Data<&Arc<EventSignal>>,
        metrics: Data<&Arc<Metrics>>,
        in_flight: Data<&InFlight>,
        /// Only events after this cursor.
        after: Query<After>,
        /// Only events of these types, at most 20, separated by commas.
        types: Query<Types>,
        /// Maximum number of events; a page of 1 MiB has fewer.
        limit: Query<Limit>,
        /// How many seconds to wait for an event if there is none yet.
        wait: Query<Wait>,
    ) -> Result<Found<EventList>> {
        let mut filter = Filter { after: after.0, types: types.0, limit: limit.0 };
        let until = Instant::now() + Duration::from_secs(wait.0);
        // Before looking: what comes after that ends the wait.
        let mut watch = (wait.0 > 0).then(|| signal.watch(caller.tenant().as_str())).transpose().inspect_err(|_| {
            metrics.refuse(HttpLimit::event_waiters);
        })?;
        loop {
            let page =
                feed::read(&database.read_for(caller.tenant()), caller.tenant(), &filter, &signal.damage).await?;
            let left = until.saturating_duration_since(Instant::now());
            let comes = match &mut watch {
                Some(watch) if page.is_empty() => {
                    in_flight.waits(left);
                    watch.comes(page.head, filter.types.as_deref(), left).await
                }
                _ => false,
            };
            if !comes {
                return Ok(Found(page.list));
            }
            filter.after = Some(page.list.cursor);
        }
    }
}
