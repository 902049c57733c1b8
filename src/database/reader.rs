//! Reading, within a deadline.

use std::sync::Arc;

use sea_orm::{
    ConnectionTrait, DbBackend, DbErr, ExecResult, FromQueryResult, QueryResult, Statement,
    prelude::async_trait::async_trait,
};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout_at},
};
use uuid::Uuid;

use super::{
    connect::planning,
    deadline::{Deadline, timed_out},
    fault::{Fault, db_error, driver_error},
    file::{DatabaseFile, not_in_place},
    health::Health,
    list::known::{Known, ListSource},
    lookups::{Lookups, PATIENCE, Place},
    party::Party,
    pool::{Pool, PooledConnection},
    position::Recency,
    read_cache::{Looked, ReadCache},
    span::database_span,
    standby::Standby,
    steps::Steps,
    template::Templates,
    tenancy::Listed,
};
use crate::{config::Pooler, error::Error, values::Tenant};

/// What a [`Reader`] reads from.
pub(super) struct ReadSource {
    pub(super) pool: Pool,
    pub(super) backend: DbBackend,
    pub(super) pooler: Pooler,
    /// Of SQLite.
    pub(super) file: Option<Arc<DatabaseFile>>,
    pub(super) health: Arc<Health>,
    pub(super) templates: Templates,
    pub(super) known: Known,
    /// Of SQLite.
    pub(super) cache: Option<Arc<ReadCache>>,
    /// Of PostgreSQL, unless a pooler shares out its sessions.
    lookups: Option<Arc<Lookups>>,
}

impl ReadSource {
    /// The readers of a file.
    pub(super) fn sqlite(pool: Pool, file: Arc<DatabaseFile>, cache: Arc<ReadCache>, health: Arc<Health>) -> Self {
        Self { file: Some(file), cache: Some(cache), ..Self::new(pool, DbBackend::Sqlite, health) }
    }

    /// The readers of a server.
    pub(super) fn postgres((pool, connections): (Pool, usize), pooler: Pooler, health: Arc<Health>) -> Self {
        let lookups = (!pooler.shares_sessions()).then(|| Lookups::new(pool.clone(), connections));
        Self { pooler, lookups, ..Self::new(pool, DbBackend::Postgres, health) }
    }

    fn new(pool: Pool, backend: DbBackend, health: Arc<Health>) -> Self {
        Self {
            pool,
            backend,
            pooler: Pooler::None,
            file: None,
            health,
            templates: Templates::default(),
            known: Known::default(),
            cache: None,
            lookups: None,
        }
    }
}

/// Reads: never sees half a change, and cannot write. All that is read through it shares a deadline.
pub struct Reader<'d> {
    pub(super) source: &'d ReadSource,
    /// Where it may read from a standby.
    pub(super) standby: Option<StandbyRead<'d>>,
    pub(super) party: Party,
    pub(super) deadline: Deadline,
}

/// All that one request reads from a standby, on one connection: so no statement sees less than the one before. Once anything
/// fails, the primary is read, which has more.
pub(super) struct StandbyRead<'d> {
    standby: &'d Standby,
    recency: Recency,
    route: Mutex<Route>,
}

/// Where a request is read from.
enum Route {
    Undecided,
    Standby(Box<PooledConnection>),
    Primary,
}

impl<'d> StandbyRead<'d> {
    /// Of a request that reads nothing older than this.
    pub(super) fn new(standby: &'d Standby, recency: &Recency) -> Self {
        Self { standby, recency: recency.clone(), route: Mutex::new(Route::Undecided) }
    }

    /// What the standby has, `None` where the primary is to be read.
    async fn query(&self, party: &Party, statement: &Statement, deadline: Deadline) -> Option<Vec<QueryResult>> {
        let until = for_the_standby(deadline);
        let mut route = self.route.lock().await;
        if let Route::Undecided = *route {
            let connection = self.standby.connection(party, &self.recency, until).await;
            *route = connection.map_or(Route::Primary, |connection| Route::Standby(Box::new(connection)));
        }
        let Route::Standby(connection) = &mut *route else { return None };
        match connection.query(statement, until).await {
            Ok(rows) => Some(rows),
            Err(error) => {
                *route = Route::Primary;
                self.standby.fell_through(&error);
                None
            }
        }
    }
}

/// Until when a standby is waited for, so that the primary can still be read.
pub(super) fn for_the_standby(deadline: Deadline) -> Instant {
    deadline.for_statements() - deadline.remaining() / 2
}

impl Reader<'_> {
    /// Reads the tenant's row with this id.
    ///
    /// # Errors
    /// [`Error::not_found`], or a fault of the database.
    pub async fn one<E: Listed>(&self, tenant: &Tenant, id: Uuid) -> Result<E::Model, Error> {
        let Some(cache) = &self.source.cache else { return self.stored::<E>(tenant, id).await };
        self.may_read()?;
        match cache.look::<E>(tenant, id) {
            Looked::Kept(row) => Ok(row),
            Looked::Missing(as_of) => {
                let row = self.stored::<E>(tenant, id).await?;
                cache.keep::<E>(as_of, tenant, id, &row);
                Ok(row)
            }
        }
    }

    async fn stored<E: Listed>(&self, tenant: &Tenant, id: Uuid) -> Result<E::Model, Error> {
        let statement = self.source.templates.one::<E>(self.source.backend, tenant, id);
        let row = self.row(&statement).await?.ok_or_else(Error::not_found)?;
        Ok(E::Model::from_query_result(&row, "")?)
    }

    /// What a statement finds that reads one row at most: together with others, where many read.
    async fn row(&self, statement: &Statement) -> Result<Option<QueryResult>, DbErr> {
        let until = self.deadline.for_statements();
        let place = match (&self.source.lookups, &self.standby) {
            (Some(lookups), None) => Some(lookups.place(&self.party, statement, until)),
            _ => None,
        };
        // While this one reads, others wait.
        let _running = match place {
            Some(Place::Waiting(found)) => {
                let span = database_span("read", self.source.backend);
                if let Ok(Ok(row)) = timeout_at(until.min(Instant::now() + PATIENCE), found).await {
                    return Ok(row);
                }
                span.discard();
                None
            }
            Some(Place::First(running)) => Some(running),
            None => None,
        };
        Ok(self.query(statement).await?.pop())
    }

    /// Fails where it is too late, or the file is not in place.
    fn may_read(&self) -> Result<(), DbErr> {
        if self.deadline.has_passed() {
            return Err(db_error(timed_out()));
        }
        if self.source.file.as_ref().is_some_and(|file| !file.is_in_place()) {
            return Err(db_error(not_in_place()));
        }
        Ok(())
    }

    /// The rows of a query. It is asked once more, on a fresh connection, where the first one turns out to be lost.
    async fn query(&self, statement: &Statement) -> Result<Vec<QueryResult>, DbErr> {
        let mut span = database_span("read", self.source.backend);
        if let Some(standby) = &self.standby
            && let Some(rows) = standby.query(&self.party, statement, self.deadline).await
        {
            return Ok(rows);
        }
        let outcome = match self.query_once(statement).await {
            Err(error) if is_lost(&error) && !self.deadline.has_passed() => self.query_once(statement).await,
            outcome => outcome,
        };
        if outcome.is_err() {
            span.fails("failed");
        }
        self.report(&outcome);
        outcome
    }

    async fn query_once(&self, statement: &Statement) -> Result<Vec<QueryResult>, DbErr> {
        let source = self.source;
        self.may_read()?;
        let until = self.deadline.for_statements();
        let mut connection = source.pool.get(&self.party, until).await?;
        if !source.pooler.shares_sessions() {
            return connection.query(statement, until).await;
        }
        // Through such a pooler only a transaction stays with its session.
        let remaining = self.deadline.remaining().as_millis().max(1);
        let begin = format!("BEGIN READ ONLY; SET LOCAL statement_timeout = {remaining}; {}", planning("SET LOCAL"));
        connection.begin(&begin, until, &Steps::default()).await?;
        let rows = connection.query(statement, until).await;
        if rows.is_ok() {
            connection.commit("COMMIT", until, &Steps::default()).await?;
        } else if connection.is_trusted() {
            connection.rollback(until).await?;
        }
        rows
    }

    /// Only raises the suspicion: SQLite is then checked by its writer, PostgreSQL by [`super::probe`].
    fn report(&self, outcome: &Result<Vec<QueryResult>, DbErr>) {
        if outcome.as_ref().is_err_and(is_lost) {
            self.source.health.suspect_reads();
        }
    }
}

/// Whether another connection may well answer.
fn is_lost(error: &DbErr) -> bool {
    driver_error(error).is_some_and(|error| Fault::of(error) == Fault::Unavailable)
}

#[async_trait]
impl ConnectionTrait for Reader<'_> {
    fn get_database_backend(&self) -> DbBackend {
        self.source.backend
    }

    async fn execute_raw(&self, _statement: Statement) -> Result<ExecResult, DbErr> {
        Err(only_reads())
    }

    async fn execute_unprepared(&self, _sql: &str) -> Result<ExecResult, DbErr> {
        Err(only_reads())
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        Ok(self.query(&statement).await?.into_iter().next())
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.query(&statement).await
    }
}

impl ListSource for Reader<'_> {
    fn known(&self) -> Option<&Known> {
        self.standby.is_none().then_some(&self.source.known)
    }

    fn pages(&self) -> Result<Option<&ReadCache>, Error> {
        let Some(cache) = &self.source.cache else { return Ok(None) };
        self.may_read()?;
        Ok(Some(cache))
    }
}

fn only_reads() -> DbErr {
    DbErr::Custom("nothing but the write executor executes statements".to_owned())
}
