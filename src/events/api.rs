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
    types::{After, Cursor, Event, EventList, Limit, Types, Wait},
};
use crate::{
    database::Database,
    error::Result,
    http::{
        caller::{Caller, CanRead},
        query::Query,
        reply::Found,
        tag::Tag,
    },
};

const EVENTS: Tag = Tag { name: "Events", description: "What happened, for other services to follow." };

/// The event feed.
pub struct EventsApi;

#[OpenApi(tag = "EVENTS")]
impl EventsApi {
    /// Read events
    ///
    /// The tenant's events after a cursor, in order and without gaps. Start without `after`, process the events, and
    /// repeat with the `cursor` of the response. Events are kept for a limited time; a cursor from before that is
    /// rejected with 400.
    #[oai(path = "/events", method = "get", operation_id = "listEvents")]
    #[expect(clippy::too_many_arguments, reason = "each is a parameter of the contract, or a part of the service")]
    async fn list(
        &self,
        caller: Caller<CanRead>,
        database: Data<&Arc<Database>>,
        signal: Data<&Arc<EventSignal>>,
        /// Only events after this cursor.
        after: Query<After>,
        /// Only events of these types, separated by commas.
        types: Query<Types>,
        /// Maximum number of events.
        limit: Query<Limit>,
        /// How many seconds to wait for an event if there is none yet.
        wait: Query<Wait>,
    ) -> Result<Found<EventList>> {
        let filter = Filter { after: after.0.map(|cursor| cursor.0), types: types.0, limit: limit.0 };
        let until = Instant::now() + Duration::from_secs(wait.0);
        loop {
            let mut watch = signal.watch();
            // Read the head first: all events up to it are visible to the next query, so the cursor may advance to it.
            let db = database.read();
            let head = feed::head(&db).await?;
            let rows = feed::read(&db, caller.tenant(), &filter).await?;
            let last = rows.last().and_then(|row| row.position);
            let complete = (rows.len() as u64) < filter.limit;
            let cursor = last.max(complete.then_some(head)).max(filter.after).unwrap_or_default();
            if rows.is_empty() && watch.next(until.saturating_duration_since(Instant::now())).await {
                continue;
            }
            let data = rows.into_iter().map(Event::from_row).collect::<Result<_>>()?;
            return Ok(Found(EventList { data, cursor: Cursor(cursor) }));
        }
    }
}
