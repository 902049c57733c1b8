//! The feed of events.

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

/// The feed of events.
pub struct EventsApi;

#[OpenApi(tag = "EVENTS")]
impl EventsApi {
    /// Read events
    ///
    /// The tenant's events behind a cursor, in order and without gaps. Begin without `after`, handle what comes, and ask
    /// again with the `cursor` of the reply. Events are kept for a time; a cursor from before that is refused with 400.
    #[oai(path = "/events", method = "get", operation_id = "listEvents")]
    #[expect(clippy::too_many_arguments, reason = "each is a parameter of the contract, or a part of the service")]
    async fn list(
        &self,
        caller: Caller<CanRead>,
        database: Data<&Arc<Database>>,
        signal: Data<&Arc<EventSignal>>,
        /// Only those behind this cursor.
        after: Query<After>,
        /// Only those of these types, separated by commas.
        types: Query<Types>,
        /// Maximum number of items.
        limit: Query<Limit>,
        /// For how many seconds to wait for an event where there is none yet.
        wait: Query<Wait>,
    ) -> Result<Found<EventList>> {
        let filter = Filter { after: after.0.map(|cursor| cursor.0), types: types.0, limit: limit.0 };
        let until = Instant::now() + Duration::from_secs(wait.0);
        loop {
            let mut watch = signal.watch();
            // The head first: up to it everything is visible, so the reader may stand there.
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
