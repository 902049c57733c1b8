//! The pool of connections: bounded in number, lent in turn ([`super::turns`]), tested before they are used again, and
//! dropped without waiting for them.
//!
//! Connections have generations. Where one turns out to be lost (the server was restarted, the network swallows what is
//! sent), all that are as old are retired: a new generation begins, and none of the old one is used again. So an outage costs
//! one failed attempt, not one for each connection.

use std::{
    ops::{Deref, DerefMut},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use deadpool::managed::{self, Manager, Metrics, Object, PoolError, QueueMode, RecycleError, RecycleResult};
use sea_orm::{DbErr, RuntimeErr, sqlx};
use tokio::{sync::watch, time::Instant};

use super::{
    connect::Connector,
    connection::Connection,
    deadline::timed_out,
    party::Party,
    statements::Statements,
    turns::{Turn, Turns},
};
use crate::telemetry::database_metrics::PoolMetrics;

/// How long a connection may be idle before it is tested.
const IDLE_BEFORE_PING: Duration = Duration::from_secs(1);
/// How long the test may take.
const PING_TIMEOUT: Duration = Duration::from_secs(1);

/// A bounded number of connections.
#[derive(Clone)]
pub(super) struct Pool {
    connections: managed::Pool<ConnectionManager>,
    turns: Turns,
}

/// A connection that is out.
type Loan = Object<ConnectionManager>;

/// Opens connections, and tests those that were used before.
struct ConnectionManager {
    connector: Connector,
    statements: Arc<Statements>,
    generation: AtomicU64,
    metrics: PoolMetrics,
    /// Up to which generation connections are discarded: their statements are not waited for any more.
    discarded: watch::Sender<u64>,
}

/// A connection on loan: returned to the pool, or dropped where it is not trusted or in the middle of a transaction.
pub(super) struct PooledConnection {
    connection: Loan,
    /// Dropped after the connection: the next one finds it in the pool.
    _turn: Turn,
}

impl Pool {
    /// At most `size` connections, whose statements are told of; none is opened yet.
    pub(super) fn new(
        connector: Connector,
        size: usize,
        statements: &Arc<Statements>,
        metrics: &PoolMetrics,
    ) -> Result<Self, DbErr> {
        let (generation, discarded) = (AtomicU64::new(1), watch::Sender::new(0));
        let turns = Turns::of(size, connector.reads_remotely(), metrics.clone());
        let (statements, metrics) = (Arc::clone(statements), metrics.clone());
        let manager = ConnectionManager { connector, statements, generation, metrics, discarded };
        let connections = managed::Pool::builder(manager).max_size(size).queue_mode(QueueMode::Lifo).build();
        connections.map(|connections| Self { connections, turns }).map_err(|error| DbErr::Custom(error.to_string()))
    }

    /// The most connections that one party holds.
    pub(super) fn share(&self) -> usize {
        self.turns.share()
    }

    /// A connection for this party, waited for no longer than `until`.
    pub(super) async fn get(&self, party: &Party, until: Instant) -> Result<PooledConnection, DbErr> {
        let _turn = self.turns.take(party, until).await?;
        let connection = match tokio::time::timeout_at(until, self.connections.get()).await {
            Ok(Ok(connection)) => return Ok(PooledConnection { connection, _turn }),
            Ok(Err(PoolError::Backend(error))) => Err(error),
            Ok(Err(PoolError::Closed)) => Err(sqlx::Error::PoolClosed),
            Ok(Err(_)) => Err(sqlx::Error::PoolTimedOut),
            Err(_) => Err(timed_out()),
        };
        connection.map_err(|error| DbErr::Conn(RuntimeErr::SqlxError(error.into())))
    }

    /// Never uses the connections that were opened until now again; returns their generation.
    pub(super) fn retire_all(&self) -> u64 {
        self.connections.manager().generation.fetch_add(1, Ordering::SeqCst)
    }

    /// Stops waiting for answers, except that of COMMIT, on connections up to this generation: the network swallows what is
    /// sent on them.
    pub(super) fn discard(&self, generation: u64) {
        self.connections.manager().discarded.send_replace(generation);
    }

    /// Opens no more connections, and closes the idle ones.
    pub(super) async fn close(&self) {
        let idle = self.connections.retain(|_, _| false).removed;
        self.connections.close();
        close_all(idle).await;
    }

    /// Closes the idle connections.
    pub(super) async fn close_idle(&self) {
        close_all(self.connections.retain(|_, _| false).removed).await;
    }
}

async fn close_all(connections: Vec<Connection>) {
    for connection in connections {
        if let Err(error) = connection.close().await {
            tracing::debug!(%error, "closing a connection of the database");
        }
    }
}

impl Manager for ConnectionManager {
    type Type = Connection;
    type Error = sqlx::Error;

    async fn create(&self) -> Result<Connection, sqlx::Error> {
        let generation = self.generation.load(Ordering::SeqCst);
        // Whoever asks for a connection would else hold room for opening one, and copy it with each move.
        let mut connection = Box::pin(self.connector.connect()).await?;
        connection.generation = generation;
        connection.statements = Arc::clone(&self.statements);
        connection.discarded = self.connector.is_remote().then(|| self.discarded.subscribe());
        Ok(connection)
    }

    async fn recycle(&self, connection: &mut Connection, metrics: &Metrics) -> RecycleResult<sqlx::Error> {
        let recycled = self.test(connection, metrics).await;
        self.metrics.replaced.inc_by(u64::from(recycled.is_err()));
        recycled
    }
}

impl ConnectionManager {
    async fn test(&self, connection: &mut Connection, metrics: &Metrics) -> RecycleResult<sqlx::Error> {
        if !connection.is_reusable() || connection.generation != self.generation.load(Ordering::SeqCst) {
            return Err(RecycleError::message("closed, or of an old generation"));
        }
        if self.connector.is_remote() && metrics.last_used() >= IDLE_BEFORE_PING {
            let answered = Box::pin(connection.ping(Instant::now() + PING_TIMEOUT)).await;
            answered.inspect_err(|_| retire(&self.generation, connection.generation))?;
        }
        Ok(())
    }
}

/// Begins a new generation, unless another one has begun already.
fn retire(generation: &AtomicU64, lost: u64) {
    let _begun_already = generation.compare_exchange(lost, lost + 1, Ordering::SeqCst, Ordering::SeqCst);
}

impl Deref for PooledConnection {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl DerefMut for PooledConnection {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }
}

impl Drop for PooledConnection {
    fn drop(&mut self) {
        if !self.is_trusted()
            && let Some(pool) = Object::pool(&self.connection)
        {
            retire(&pool.manager().generation, self.generation);
        }
        if !self.is_reusable() {
            // A server that does not answer is not waited for.
            self.hang_up();
        }
    }
}
