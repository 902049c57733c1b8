//! Reading the changes of a tenant, in the order of positions.

use sea_orm::{ConnectionTrait, QueryResult, Statement, Value};
use uuid::Uuid;

use super::{
    super::cursor::Place,
    cursor::{ChangeCursor, UNKNOWN},
    types::{Change, ChangeList, ChangedType},
};
use crate::{
    error::{Error, Result},
    events::types::Version,
    values::{Id, Tenant},
};

/// What to read.
#[derive(Debug)]
pub(super) struct Filter {
    /// Only what has changed since; `None` for all that there is.
    pub after: Option<ChangeCursor>,
    /// Only resources of these types.
    pub types: Vec<ChangedType>,
    /// Maximum number of changes.
    pub limit: u64,
}

/// The tenant's next changes.
///
/// # Errors
/// Invalid, if the cursor is not of this tenant, if deletions behind it are no longer kept, or if the database does not hold
/// what it has seen; or a database error.
pub(super) async fn read(db: &impl ConnectionTrait, tenant: &Tenant, filter: &Filter) -> Result<ChangeList> {
    if filter.after.is_some_and(|after| !after.is_of(tenant)) {
        return Err(Error::invalid(format!("after: {UNKNOWN}")));
    }
    let rows = rows(db, tenant, filter).await?;
    let bounds = rows.first().map(Bounds::of).transpose()?.unwrap_or_default();
    let start = match filter.after {
        None => bounds.head,
        Some(after) => {
            bounds.admit(after)?;
            after.start
        }
    };
    // Without changes there is one row nevertheless, which has the bounds alone.
    let changed = |row: &&QueryResult| !matches!(row.try_get::<Option<i64>>("", "position"), Ok(None));
    let found = rows.iter().filter(changed).map(Found::of).collect::<Result<Vec<_>>>()?;
    let end = match found.last() {
        Some(last) if found.len() as u64 >= filter.limit => (last.position, last.change.resource_id.0),
        // Nothing is left: whatever comes has a later position.
        _ => (bounds.head, Uuid::max()),
    };
    let seen = Place::new(bounds.head, bounds.head_event);
    let next_cursor = ChangeCursor::new(tenant, end, start, seen);
    Ok(ChangeList { data: found.into_iter().map(|found| found.change).collect(), next_cursor })
}

/// The changes, each beside what the feed held: in one statement, so that both are of one instant. Of each type as many as are
/// asked for, from the index.
async fn rows(db: &impl ConnectionTrait, tenant: &Tenant, filter: &Filter) -> Result<Vec<QueryResult>> {
    let (position, resource, seen) = match filter.after {
        None => (-1, Uuid::nil(), -1),
        Some(after) => (after.position, after.resource, after.seen.position),
    };
    let limit = i64::try_from(filter.limit).unwrap_or(i64::MAX);
    let mut values: Vec<Value> =
        vec![tenant.as_str().into(), seen.into(), position.into(), resource.into(), limit.into()];
    let first = values.len() + 1;
    values.extend(filter.types.iter().map(|one| one.name().into()));
    let of_type = |number: usize| {
        format!(
            "SELECT * FROM (SELECT position, resource_id, resource_type, version, deleted_at IS NOT NULL AS deleted \
             FROM resource_changes WHERE tenant_id = $1 AND resource_type = ${number} \
             AND (position, resource_id) > ($3, $4) ORDER BY position, resource_id LIMIT $5) AS t{number}"
        )
    };
    let found: Vec<String> = (first..=values.len()).map(of_type).collect();
    let sql = format!(
        "SELECT b.head, b.head_event, b.seen_event, b.purged, \
         c.position, c.resource_id, c.resource_type, c.version, c.deleted FROM \
         (SELECT (SELECT position FROM feed_tenants WHERE tenant_id = $1) AS head, \
         (SELECT event_id FROM feed_events WHERE tenant_id = $1 \
         AND position = (SELECT position FROM feed_tenants WHERE tenant_id = $1)) AS head_event, \
         (SELECT event_id FROM feed_events WHERE tenant_id = $1 AND position = $2) AS seen_event, \
         (SELECT position FROM resource_changes_purged WHERE tenant_id = $1) AS purged) AS b \
         LEFT JOIN (SELECT * FROM ({}) AS found ORDER BY position, resource_id LIMIT $5) AS c ON true \
         ORDER BY c.position, c.resource_id",
        found.join(" UNION ALL ")
    );
    Ok(db.query_all_raw(Statement::from_sql_and_values(db.get_database_backend(), sql, values)).await?)
}

/// What there was when changes were read.
#[derive(Debug, Default)]
struct Bounds {
    /// The last position of the tenant's feed, and its event.
    head: i64,
    head_event: Option<Uuid>,
    /// The event at the last position that the cursor knows.
    seen_event: Option<Uuid>,
    /// The last position from which a deletion is no longer kept.
    purged: i64,
}

impl Bounds {
    fn of(row: &QueryResult) -> Result<Self> {
        let number = |column: &str| row.try_get::<Option<i64>>("", column);
        // One that cannot be read is as good as none: the cursor is not compared with it.
        let id = |column: &str| row.try_get::<Option<Uuid>>("", column).unwrap_or_default();
        Ok(Self {
            head: number("head")?.unwrap_or_default(),
            head_event: id("head_event"),
            seen_event: id("seen_event"),
            purged: number("purged")?.unwrap_or_default(),
        })
    }

    /// Whether the reader with this cursor can go on.
    fn admit(&self, after: ChangeCursor) -> Result<()> {
        let seen = after.seen;
        let is_another = self.seen_event.is_some_and(|event| seen.is_known() && !seen.is_of(event));
        if seen.position > self.head || is_another {
            return Err(anew("the service was restored from a backup and does not hold what this cursor has seen"));
        }
        // What was deleted before it began, it has never seen.
        if after.position.max(after.start) < self.purged {
            return Err(anew("deletions behind this cursor are no longer kept"));
        }
        Ok(())
    }
}

fn anew(reason: &str) -> Error {
    Error::invalid(format!(
        "after: {reason}; begin without it, and delete what is not seen again until `data` is empty"
    ))
}

/// A change, and where it is.
struct Found {
    position: i64,
    change: Change,
}

impl Found {
    fn of(row: &QueryResult) -> Result<Self> {
        let name: String = row.try_get("", "resource_type")?;
        let change = Change {
            resource_type: ChangedType::named(&name).ok_or_else(|| Error::internal("a change of an unknown type"))?,
            resource_id: Id(row.try_get("", "resource_id")?),
            version: Version(row.try_get("", "version")?),
            deleted: row.try_get("", "deleted")?,
        };
        Ok(Self { position: row.try_get("", "position")?, change })
    }
}
