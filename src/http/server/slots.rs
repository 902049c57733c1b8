//! The connections that are open, and who may have how many: [`ConnectionSlots`].

use std::{
    cmp::Reverse,
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};

use super::activity::{Activity, Waiting};
use crate::{
    http::limits::Limits,
    telemetry::metrics::{HttpLimit, Metrics},
};

/// The share of the places that is kept free.
const SPARE: usize = 64;
/// How often a place is looked for.
const TICK: Duration = Duration::from_millis(100);
/// How long a connection may wait for its client in any case: a new one was not looked at yet, perhaps.
const GRACE: Duration = Duration::from_millis(500);
/// How often a peer with too many connections is told of in the log.
const REPEAT: Duration = Duration::from_secs(60);

/// The slots of connections.
pub(super) struct ConnectionSlots {
    limits: Arc<Limits>,
    metrics: Arc<Metrics>,
    permits: Arc<Semaphore>,
    /// How many are kept free.
    spare: usize,
    numbers: AtomicU64,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    connections: HashMap<u64, Connection>,
    peers: HashMap<IpAddr, usize>,
    /// When a peer with too many was told of.
    told: Option<Instant>,
}

#[derive(Clone)]
struct Connection {
    activity: Arc<Activity>,
    /// As in [`ConnectionSlot`].
    peer: Option<IpAddr>,
}

/// The place of a connection, until it is closed.
pub(super) struct ConnectionSlot {
    slots: Arc<ConnectionSlots>,
    number: u64,
    /// Whose connections are counted: nobody's, if it is trusted.
    peer: Option<IpAddr>,
    _permit: OwnedSemaphorePermit,
}

impl ConnectionSlots {
    pub(super) fn new(limits: Arc<Limits>, metrics: Arc<Metrics>) -> Self {
        let spare = (limits.connections / SPARE).max(1);
        let permits = Arc::new(Semaphore::new(limits.connections));
        Self { limits, metrics, permits, spare, numbers: AtomicU64::new(0), open: Mutex::default() }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a place is free, and closes nothing for it.
    pub(super) async fn next(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.permits).acquire_owned().await.ok()
    }

    /// Waits for a free place, and makes room if there are few. `None` is never returned while the service runs.
    pub(super) async fn free(&self) -> Option<OwnedSemaphorePermit> {
        loop {
            if self.permits.available_permits() < self.spare {
                self.make_room();
            }
            if let Ok(permit) = timeout(TICK, Arc::clone(&self.permits).acquire_owned()).await {
                return permit.ok();
            }
        }
    }

    /// Closes connections that wait for their clients: of the peers with the most connections, of trusted ones last, and of
    /// a peer those that wait longest. Several at once, because looking for them takes time.
    pub(super) fn make_room(&self) {
        let (connections, mut peers): (Vec<_>, _) = {
            let open = self.open();
            (open.connections.values().cloned().collect(), open.peers.clone())
        };
        let waiting =
            connections.into_iter().filter_map(|connection| Some((connection.activity.waiting()?, connection)));
        let mut waiting: Vec<(Waiting, Connection)> = waiting.collect();
        let only_trusted = waiting.iter().all(|(_, connection)| connection.peer.is_none());
        waiting
            .retain(|((_, since), connection)| since.elapsed() >= GRACE && (only_trusted || connection.peer.is_some()));
        waiting.sort_unstable_by_key(|(waiting, _)| *waiting);
        // Each by how many its peer has left once those before it are closed.
        let mut waiting: Vec<_> = waiting
            .into_iter()
            .map(|(waiting, Connection { activity, peer })| {
                let count = peer.and_then(|peer| peers.get_mut(&peer)).map(|count| {
                    *count = count.saturating_sub(1);
                    *count
                });
                ((Reverse(count), waiting), activity)
            })
            .collect();
        waiting.sort_unstable_by_key(|(order, _)| *order);
        for (_, connection) in waiting.into_iter().take(self.spare) {
            connection.evict();
        }
    }

    /// Opens a connection, or refuses one more of the same peer.
    pub(super) fn enter(
        self: &Arc<Self>,
        permit: OwnedSemaphorePermit,
        address: IpAddr,
        activity: Arc<Activity>,
    ) -> Option<ConnectionSlot> {
        let address = address.to_canonical();
        let trusted = self.limits.trusted_proxies.iter().any(|proxy| proxy.contains(&address));
        let peer = (!trusted).then(|| network(address));
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let mut open = self.open();
        if let Some(peer) = peer {
            let count = open.peers.entry(peer).or_default();
            if *count >= self.limits.connections_per_peer {
                self.refuse(&mut open);
                return None;
            }
            *count += 1;
        }
        open.connections.insert(number, Connection { activity, peer });
        self.metrics.http.connections.inc();
        Some(ConnectionSlot { slots: Arc::clone(self), number, peer, _permit: permit })
    }

    fn refuse(&self, open: &mut Open) {
        self.metrics.refuse(HttpLimit::connections_per_peer);
        if open.told.is_none_or(|told| told.elapsed() >= REPEAT) {
            open.told = Some(Instant::now());
            tracing::warn!(
                limit = self.limits.connections_per_peer,
                "a peer has too many connections, further ones are closed: if it is the gateway, name it in \
                 CRM_TRUSTED_PROXIES, or raise CRM_CONNECTIONS_PER_PEER"
            );
        }
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        let mut open = self.slots.open();
        open.connections.remove(&self.number);
        if let Some(peer) = self.peer
            && let Some(count) = open.peers.get_mut(&peer)
        {
            *count -= 1;
            if *count == 0 {
                open.peers.remove(&peer);
            }
        }
        self.slots.metrics.http.connections.dec();
    }
}

/// By what a peer is told apart: whoever has an address of IPv6 has 2^64 of them.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
    }
}
