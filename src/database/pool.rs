//! Connections that are kept: bounded in number, looked at before they are used again, and given up without waiting for
//! them.
//!
//! Connections have generations. Where one turns out to be lost (the server was restarted, the network swallows what is
//! sent) those made before are suspects: a new generation begins, and none of the old one is used again. So an outage costs
//! one failed attempt, not one for each connection.

use std::{
    ops::{Deref, DerefMut},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use deadpool::managed::{self, Manager, Metrics, Object, PoolError, QueueMode, RecycleError, RecycleResult};
use sea_orm::{DbErr, RuntimeErr, sqlx};
use tokio::{sync::watch, time::Instant};

use super::{connect::Target, connection::Connection, deadline::no_answer};

/// How long a connection may be unused before it is asked whether it still works.
const UNUSED: Duration = Duration::from_secs(1);
/// How long it may take to say so.
const PING: Duration = Duration::from_secs(1);

/// A bounded number of connections to one target.
#[derive(Clone)]
pub(super) struct Pool {
    connections: managed::Pool<Connector, Lease>,
}

/// Opens connections, and looks at those that were used before.
struct Connector {
    target: Target,
    generation: AtomicU64,
    /// Up to which generation connections are swallowed: their statements are not waited for any more.
    buried: watch::Sender<u64>,
}

/// A connection on loan: it returns to the pool, or is closed where it cannot be trusted or is in the middle of something.
pub(super) struct Lease(Object<Connector>);

impl Pool {
    /// At most `size` connections; none is opened yet.
    pub(super) fn new(target: Target, size: usize) -> Result<Self, DbErr> {
        let connector = Connector { target, generation: AtomicU64::new(1), buried: watch::Sender::new(0) };
        let connections = managed::Pool::builder(connector).max_size(size).queue_mode(QueueMode::Lifo).build();
        connections.map(|connections| Self { connections }).map_err(|error| DbErr::Custom(error.to_string()))
    }

    /// A connection, waited for until then.
    pub(super) async fn get(&self, until: Instant) -> Result<Lease, DbErr> {
        let connection = match tokio::time::timeout_at(until, self.connections.get()).await {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(PoolError::Backend(error))) => Err(error),
            Ok(Err(PoolError::Closed)) => Err(sqlx::Error::PoolClosed),
            Ok(Err(_)) => Err(sqlx::Error::PoolTimedOut),
            Err(_) => Err(no_answer()),
        };
        connection.map_err(|error| DbErr::Conn(RuntimeErr::SqlxError(error.into())))
    }

    /// Uses none of the connections that were opened until now again; gives the generation that they belong to.
    pub(super) fn suspect_all(&self) -> u64 {
        self.connections.manager().generation.fetch_add(1, Ordering::SeqCst)
    }

    /// Waits for no answer any more, but that of COMMIT, on connections up to this generation: the network swallows what is
    /// sent on them.
    pub(super) fn bury(&self, generation: u64) {
        self.connections.manager().buried.send_replace(generation);
    }

    /// Lets no more connections be opened, and closes those that nobody has.
    pub(super) async fn close(&self) {
        let idle = self.connections.retain(|_, _| false).removed;
        self.connections.close();
        close_all(idle).await;
    }

    /// Closes the connections that nobody has.
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

impl Manager for Connector {
    type Type = Connection;
    type Error = sqlx::Error;

    async fn create(&self) -> Result<Connection, sqlx::Error> {
        let generation = self.generation.load(Ordering::SeqCst);
        let mut connection = self.target.connect().await?;
        connection.generation = generation;
        connection.buried = self.target.is_remote().then(|| self.buried.subscribe());
        Ok(connection)
    }

    async fn recycle(&self, connection: &mut Connection, metrics: &Metrics) -> RecycleResult<sqlx::Error> {
        if !connection.is_reusable() || connection.generation != self.generation.load(Ordering::SeqCst) {
            return Err(RecycleError::message("closed, or of an old generation"));
        }
        if self.target.is_remote() && metrics.last_used() >= UNUSED {
            let answered = connection.ping(Instant::now() + PING).await;
            answered.inspect_err(|_| suspect(&self.generation, connection.generation))?;
        }
        Ok(())
    }
}

/// Begins a new generation, unless another one has begun already.
fn suspect(generation: &AtomicU64, lost: u64) {
    let _begun_already = generation.compare_exchange(lost, lost + 1, Ordering::SeqCst, Ordering::SeqCst);
}

impl From<Object<Connector>> for Lease {
    fn from(connection: Object<Connector>) -> Self {
        Self(connection)
    }
}

impl Deref for Lease {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.0
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.0
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if !self.is_trusted()
            && let Some(pool) = Object::pool(&self.0)
        {
            suspect(&pool.manager().generation, self.generation);
        }
        if !self.is_reusable() {
            // A server that does not answer is not waited for.
            self.hang_up();
        }
    }
}
