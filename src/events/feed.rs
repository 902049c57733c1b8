//! The feed: a tenant's events, ordered by position.

use std::{collections::HashMap, io};

use sea_orm::{ConnectionTrait, QueryResult, Statement, Value};
use serde::Serialize;
use uuid::Uuid;

use super::{
    cursor::{Cursor, FeedCursor, UNKNOWN},
    damage::DamageLog,
    entity::Model,
    list,
    types::{Event, EventGap, EventList, EventType},
};
use crate::{
    error::{Error, Result},
    values::{Id, Nullable, Tenant},
};

/// The most bytes of a page, unless its only event is larger.
const PAGE: usize = 1 << 20;
/// What a page has besides its events, and more.
const FRAME: usize = 256;
/// What an event has besides its data, about.
const ENVELOPE: i64 = 320;

/// Which events to read.
#[derive(Debug, Clone)]
pub struct Filter {
    /// Only events after this cursor; `None` for all that are kept.
    pub after: Option<Cursor>,
    /// Only events of these types; `None` for all types.
    pub types: Option<Vec<String>>,
    /// Maximum number of events.
    pub limit: u64,
}

/// What was read.
#[derive(Debug)]
pub struct Page {
    /// The page.
    pub list: EventList,
    /// The last position of the tenant's feed when it was read.
    pub head: i64,
}

impl Page {
    /// Whether there was nothing to read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.data.is_empty() && self.list.gaps.is_empty()
    }
}

/// The tenant's next events that match the filter, oldest first: as many as fit into a page.
///
/// # Errors
/// Invalid, if the cursor is not of this feed, or events after it are no longer kept; unavailable, if events were purged
/// meanwhile; or a database error.
pub(super) async fn read(
    db: &impl ConnectionTrait,
    tenant: &Tenant,
    filter: &Filter,
    damage: &DamageLog,
) -> Result<Page> {
    let bounds = Bounds::read(db, tenant, filter.after).await?;
    let Some(from) = bounds.begin(tenant, filter.after)? else {
        // The events before the cursor are not in the feed yet.
        let cursor = filter.after.unwrap_or(Cursor::Outbox(0));
        let list = EventList { data: Vec::new(), gaps: Vec::new(), cursor };
        return Ok(Page { list, head: bounds.head });
    };
    let mut found = find(db, tenant, from, filter).await?;
    let mut complete = (found.len() as u64) < filter.limit;
    complete &= fit(&mut found);
    let rows = rows(db, &found).await?;
    // Again, to notice what was deleted meanwhile.
    if from < Bounds::read(db, tenant, None).await?.purged {
        return match filter.after {
            Some(_) => Err(no_longer_kept()),
            None => Err(Error::unavailable("events were purged while they were read")),
        };
    }
    let mut builder = PageBuilder::new(tenant, damage);
    complete &= found.iter().all(|one| builder.add(one, rows.get(&one.seq)));
    let (position, event) = match builder.last {
        Some(last) if !complete || last.0 > bounds.head => last,
        _ => (bounds.head, bounds.head_event),
    };
    let cursor = Cursor::Feed(FeedCursor::new(tenant, position, event));
    Ok(Page { list: EventList { data: builder.data, gaps: builder.gaps, cursor }, head: bounds.head })
}

/// What a tenant's feed holds, at one instant.
#[derive(Debug, Default)]
struct Bounds {
    /// The last position, and its event.
    head: i64,
    head_event: Option<Uuid>,
    /// Up to here events are no longer kept.
    purged: i64,
    /// The event at the position of the cursor.
    event: Option<Uuid>,
    /// For a cursor of the former form: the position in the feed that it stands for.
    former: i64,
    /// Positions of the outbox: the last one, up to which one events are in the feed, and up to which one the tenant's are
    /// deleted.
    outbox: i64,
    fed: i64,
    outbox_purged: i64,
}

impl Bounds {
    async fn read(db: &impl ConnectionTrait, tenant: &Tenant, after: Option<Cursor>) -> Result<Self> {
        // Deleted events are known by their position in the outbox, because a process of an earlier release deletes some too.
        let sql = "SELECT h.position AS outbox, n.position AS fed, t.position AS head, \
             (SELECT event_id FROM feed_events WHERE tenant_id = $1 AND position = t.position) AS head_event, \
             (SELECT event_id FROM feed_events WHERE tenant_id = $1 AND position = $2) AS event, \
             p.position AS outbox_purged, \
             (SELECT f.position FROM feed_events f WHERE f.tenant_id = $1 AND f.outbox_position > p.position \
              ORDER BY f.outbox_position LIMIT 1) AS first, \
             (SELECT f.position FROM feed_events f WHERE f.tenant_id = $1 AND f.outbox_position <= $3 \
              ORDER BY f.outbox_position DESC LIMIT 1) AS former \
             FROM outbox_head h JOIN feed_head n ON n.id = h.id LEFT JOIN feed_tenants t ON t.tenant_id = $1 \
             LEFT JOIN outbox_purged p ON p.tenant_id = $1 WHERE h.id = 1";
        let (position, former) = match after {
            None => (None, None),
            Some(Cursor::Feed(cursor)) => (Some(cursor.position()), None),
            Some(Cursor::Outbox(position)) => (None, Some(position)),
        };
        let values: [Value; 3] = [tenant.as_str().into(), position.into(), former.into()];
        let statement = Statement::from_sql_and_values(db.get_database_backend(), sql, values);
        let Some(row) = db.query_one_raw(statement).await? else { return Ok(Self::default()) };
        let number = |column: &str| row.try_get::<Option<i64>>("", column);
        // One that cannot be read is as good as none: the cursor is not compared with it.
        let id = |column: &str| row.try_get::<Option<Uuid>>("", column).unwrap_or_default();
        let (head, outbox_purged) = (number("head")?.unwrap_or_default(), number("outbox_purged")?);
        Ok(Self {
            head,
            head_event: id("head_event"),
            purged: match outbox_purged {
                None => 0,
                Some(_) => number("first")?.map_or(head, |first| first - 1),
            },
            event: id("event"),
            former: number("former")?.unwrap_or_default(),
            outbox: number("outbox")?.unwrap_or_default(),
            fed: number("fed")?.unwrap_or_default(),
            outbox_purged: outbox_purged.unwrap_or_default(),
        })
    }

    /// The position that a reader goes on from; none where the events before its cursor are not in the feed yet.
    fn begin(&self, tenant: &Tenant, after: Option<Cursor>) -> Result<Option<i64>> {
        match after {
            // Unpublished events may remain before this position. They are not shown, so that the feed has no gaps.
            None => Ok(Some(self.purged)),
            Some(Cursor::Outbox(position)) if position > self.outbox => Err(ahead()),
            Some(Cursor::Outbox(position)) if position < self.outbox_purged => Err(no_longer_kept()),
            Some(Cursor::Outbox(position)) if position > self.fed => Ok(None),
            Some(Cursor::Outbox(_)) => Ok(Some(self.former.max(self.purged))),
            Some(Cursor::Feed(cursor)) => {
                let position = cursor.position();
                if !cursor.is_of(tenant) {
                    return Err(Error::invalid(format!("after: {UNKNOWN}")));
                }
                if position > self.head || self.event.is_some_and(|event| !cursor.is_behind(event)) {
                    return Err(ahead());
                }
                if position < self.purged { Err(no_longer_kept()) } else { Ok(Some(position)) }
            }
        }
    }
}

fn ahead() -> Error {
    Error::invalid(
        "after: the feed does not hold what this cursor has seen, because the service was restored from a backup; begin \
         without it, or with a cursor from before the backup",
    )
}

fn no_longer_kept() -> Error {
    Error::invalid("after: events behind this cursor are no longer kept; begin without it")
}

/// The place in the outbox that no event has.
const NO_EVENT: i64 = -1;

/// An event in the feed.
#[derive(Debug)]
struct Found {
    position: i64,
    seq: i64,
    /// The size of its data.
    bytes: i64,
    /// None if it cannot be read.
    event_id: Option<Uuid>,
}

impl Found {
    /// Where the row is damaged, no event is found behind it, and it becomes a gap.
    fn of(row: &QueryResult) -> Result<Self> {
        let (seq, bytes) = (row.try_get("", "seq").unwrap_or(NO_EVENT), row.try_get("", "bytes").unwrap_or_default());
        Ok(Self { position: row.try_get("", "position")?, seq, bytes, event_id: row.try_get("", "event_id").ok() })
    }
}

/// The next events that match the filter. Of each type as many as are asked for, from the index, so that a rare type is not
/// searched for among the others.
async fn find(db: &impl ConnectionTrait, tenant: &Tenant, from: i64, filter: &Filter) -> Result<Vec<Found>> {
    let limit = i64::try_from(filter.limit).unwrap_or(i64::MAX);
    let mut values: Vec<Value> = vec![tenant.as_str().into(), from.into(), limit.into()];
    let sql = match &filter.types {
        None => {
            "SELECT position, seq, bytes, event_id FROM feed_events WHERE tenant_id = $1 AND position > $2 ORDER BY position LIMIT $3"
                .to_owned()
        }
        Some(types) => {
            let one = |number: usize| {
                format!(
                    "SELECT * FROM (SELECT position, seq, bytes, event_id FROM feed_events WHERE tenant_id = $1 \
                     AND event_type = ${number} AND position > $2 ORDER BY position LIMIT $3) AS t{number}"
                )
            };
            let first = values.len() + 1;
            values.extend(types.iter().map(|one| one.as_str().into()));
            let all: Vec<String> = (first..=values.len()).map(one).collect();
            format!("SELECT position, seq, bytes, event_id FROM ({}) AS found ORDER BY position LIMIT $3", all.join(" UNION ALL "))
        }
    };
    let statement = Statement::from_sql_and_values(db.get_database_backend(), sql, values);
    let rows = db.query_all_raw(statement).await?;
    rows.iter().map(Found::of).collect()
}

/// Leaves as many as fit into a page, at least one; returns whether that is all of them.
fn fit(found: &mut Vec<Found>) -> bool {
    let (page, mut bytes) = (i64::try_from(PAGE).unwrap_or(i64::MAX), 0_i64);
    let fits = |one: &&Found| {
        bytes = bytes.saturating_add(one.bytes).saturating_add(ENVELOPE);
        bytes <= page
    };
    let fitting = found.iter().take_while(fits).count().max(1);
    let complete = fitting >= found.len();
    found.truncate(fitting);
    complete
}

/// The stored events, by `seq`.
async fn rows(db: &impl ConnectionTrait, found: &[Found]) -> Result<HashMap<i64, QueryResult>> {
    if found.is_empty() {
        return Ok(HashMap::new());
    }
    let backend = db.get_database_backend();
    let sql = format!(
        "SELECT seq, position, tenant_id, event_id, event_type, aggregate_id, version, occurred_at, trace_id, data \
         FROM outbox WHERE {}",
        list::contains(backend, "seq", "$1", "bigint")
    );
    let values = [list::of_numbers(backend, found.iter().map(|one| one.seq))];
    let rows = db.query_all_raw(Statement::from_sql_and_values(backend, sql, values)).await?;
    rows.into_iter().map(|row| Ok((row.try_get("", "seq")?, row))).collect()
}

/// A page in the making.
struct PageBuilder<'p> {
    tenant: &'p Tenant,
    damage: &'p DamageLog,
    data: Vec<Event>,
    gaps: Vec<EventGap>,
    bytes: usize,
    /// The position of the last event, and its id.
    last: Option<(i64, Option<Uuid>)>,
}

impl<'p> PageBuilder<'p> {
    fn new(tenant: &'p Tenant, damage: &'p DamageLog) -> Self {
        Self { tenant, damage, data: Vec::new(), gaps: Vec::new(), bytes: FRAME, last: None }
    }

    /// Adds an event, if there is room for it; where it is damaged, a gap.
    fn add(&mut self, found: &Found, row: Option<&QueryResult>) -> bool {
        let bytes = match event(row, self.tenant) {
            Ok(event) => {
                let bytes = size(&event);
                if !self.has_room(bytes) {
                    return false;
                }
                self.data.push(event);
                bytes
            }
            Err(what) => {
                let resource_id = row.and_then(|row| row.try_get("", "aggregate_id").ok().map(Id));
                let gap = EventGap { event_id: Nullable(found.event_id.map(Id)), resource_id: Nullable(resource_id) };
                let bytes = size(&gap);
                if !self.has_room(bytes) {
                    return false;
                }
                self.damage.report(self.tenant.as_str(), found.seq, &what);
                self.gaps.push(gap);
                bytes
            }
        };
        self.bytes += bytes;
        self.last = Some((found.position, found.event_id));
        true
    }

    fn has_room(&self, bytes: usize) -> bool {
        self.last.is_none() || self.bytes + bytes <= PAGE
    }
}

/// The event of a row, or what is wrong with it.
fn event(row: Option<&QueryResult>, tenant: &Tenant) -> std::result::Result<Event, String> {
    let row = row.ok_or("it is not in the outbox")?;
    let row = Model::read(row)?;
    let (version, is_own) = (row.version, row.tenant_id == tenant.as_str());
    let event = Event::from_row(row).map_err(|error| error.cause().unwrap_or_default().to_owned())?;
    if !EventType::is_formed(&event.event_type.0) {
        return Err("its type is none".to_owned());
    }
    if !is_own || event.data.tenant_id != *tenant || event.data.version.0 != version {
        return Err("its data are those of another event".to_owned());
    }
    Ok(event)
}

/// The bytes of a part of the reply, with the comma behind it.
fn size(part: &impl Serialize) -> usize {
    struct Counted(usize);
    impl io::Write for Counted {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut counted = Counted(1);
    match serde_json::to_writer(&mut counted, part) {
        Ok(()) => counted.0,
        Err(_) => usize::MAX,
    }
}
