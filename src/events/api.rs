//! The feed of events.

use std::time::{Duration, Instant};

use poem::web::Data;
use poem_openapi::OpenApi;

use super::{
    feed::{self, Sought},
    types::{After, Cursor, Event, EventList, Limit, Types, Wait},
};
use crate::{
    app::App,
    error::Result,
    http::{
        caller::{Caller, CanRead},
        contract::Tag,
        query::Query,
        reply::Found,
    },
};

/// The feed of events.
pub struct EventsApi;

#[OpenApi(tag = "Tag::Events")]
impl EventsApi {
    /// Read events
    ///
    /// The tenant's events behind a cursor, in order and without gaps. Begin without `after`, handle what comes, and ask
    /// again with the `cursor` of the reply. Events are kept for a time; a cursor from before that is refused with 400.
    #[oai(path = "/events", method = "get", operation_id = "listEvents")]
    async fn list(
        &self,
        caller: Caller<CanRead>,
        app: Data<&App>,
        /// Only those behind this cursor.
        after: Query<After>,
        /// Only those of these types, separated by commas.
        types: Query<Types>,
        /// At most so many.
        limit: Query<Limit>,
        /// For how many seconds to wait for an event where there is none yet.
        wait: Query<Wait>,
    ) -> Result<Found<EventList>> {
        let sought = Sought { after: after.0.0.map(|cursor| cursor.0), types: types.0.0, limit: limit.0.0 };
        let until = Instant::now() + Duration::from_secs(wait.0.0);
        loop {
            let mut watch = app.outbox().watch();
            // The head first: up to it everything is visible, so the reader may stand there.
            let db = app.database().read();
            let head = feed::head(&db).await?;
            let rows = feed::read(&db, caller.tenant(), &sought).await?;
            let last = rows.last().and_then(|row| row.position);
            let whole = (rows.len() as u64) < sought.limit;
            let cursor = last.max(whole.then_some(head)).max(sought.after).unwrap_or_default();
            if rows.is_empty() && watch.next(until.saturating_duration_since(Instant::now())).await {
                continue;
            }
            let data = rows.into_iter().map(Event::shown).collect::<Result<_>>()?;
            return Ok(Found(EventList { data, cursor: Cursor(cursor) }));
        }
    }
}
