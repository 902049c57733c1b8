//! The operation on changes.

use std::sync::Arc;

use poem::web::Data;
use poem_openapi::OpenApi;

use super::{
    cursor::ChangedAfter,
    types::{ChangeList, ChangedTypes},
    walk::{self, Filter},
};
use crate::{
    database::Database,
    error::Result,
    events::types::Limit,
    http::{
        caller::{Caller, CanRead},
        query::Query,
        reply::Found,
        tag::Tag,
    },
};

const CHANGES: Tag = Tag { name: "Changes", description: "Which resources changed, to keep a copy of the data." };

/// The operation on changes.
pub struct ChangesApi;

#[OpenApi(tag = "CHANGES")]
impl ChangesApi {
    /// List changes
    ///
    /// Which resources changed or were deleted, each once, in the order of their last changes. To keep a copy of the data,
    /// begin without `after`: all resources come, and deletions that are still kept; ignore those of resources that you do
    /// not have. Repeat with `nextCursor`, until `data` is empty: then the copy is up to date. Keep the cursor, and go on with
    /// it later, whenever that is; to be told at once that something happened, wait at `/events`. Read the resources
    /// themselves, unless you have that `version` of them or a later one. A resource that changes meanwhile comes again,
    /// behind.
    ///
    /// Deletions are kept for 90 days, unless the service is configured otherwise. A cursor is rejected with 400 where it may
    /// have missed one, and where the service was restored from a backup. Then begin without `after`, and delete from the copy
    /// what does not come again until `data` is empty.
    #[oai(path = "/changes", method = "get", operation_id = "listChanges")]
    async fn list(
        &self,
        caller: Caller<CanRead>,
        database: Data<&Arc<Database>>,
        /// Only what has changed since this cursor.
        after: Query<ChangedAfter>,
        /// Only resources of these types, separated by commas: `customer`, `contact`, `opportunity`, `followUp`.
        types: Query<ChangedTypes>,
        /// Maximum number of changes.
        limit: Query<Limit>,
    ) -> Result<Found<ChangeList>> {
        let filter = Filter { after: after.0, types: types.0, limit: limit.0 };
        Ok(Found(walk::read(&database.read_for(caller.tenant()), caller.tenant(), &filter).await?))
    }
}
