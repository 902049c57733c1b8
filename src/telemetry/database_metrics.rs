//! Metrics of the database: whether it works, the write executor, and the pools of connections.

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use super::{registrar::Registrar, standby_metrics::StandbyMetrics};

/// The upper bounds of the time that a commit takes or is waited for, in seconds.
const SECONDS: [f64; 13] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];
/// The upper bounds of how many changes share a commit.
const SIZES: [f64; 7] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0];

/// Metrics of the database. Clones are the same.
#[derive(Clone)]
pub struct DatabaseMetrics {
    /// Of the connections that read.
    pub readers: PoolMetrics,
    /// Of those that write.
    pub writers: PoolMetrics,
    /// Of those that read a standby.
    pub standby_readers: PoolMetrics,
    /// Of the standby.
    pub standby: StandbyMetrics,
    /// Changes that wait for their transaction to begin.
    pub writes_waiting: Gauge,
    /// How long they did, in seconds.
    pub write_wait: Histogram,
    /// How many changes share a commit.
    pub group_size: Histogram,
    /// How long a commit takes, in seconds.
    pub commit: Histogram,
    /// Transactions that failed: not those whose change is refused.
    pub write_failures: Counter,
    works: Family<WorkLabels, Gauge>,
    /// Rows that were looked for in memory: there, and not there.
    row_cache: [Counter; 2],
    /// Pages of lists, likewise.
    page_cache: [Counter; 2],
}

/// Metrics of a pool of connections.
#[derive(Clone)]
pub struct PoolMetrics {
    /// How many connections there are at most.
    pub size: Gauge,
    /// Those that are in use.
    pub in_use: Gauge,
    /// Those who wait for one.
    pub waiting: Gauge,
    /// Those who were turned away, because too many waited.
    pub turned_away: Counter,
    /// Connections that were given up, because they were lost or in an unknown state: another takes their place.
    pub replaced: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PoolLabels {
    pool: PoolName,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "label values are written as they are named")]
enum PoolName {
    read,
    write,
    standby,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CacheLabels {
    outcome: CacheOutcome,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "label values are written as they are named")]
enum CacheOutcome {
    hit,
    miss,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WorkLabels {
    operation: PoolName,
}

/// The pools' metrics, by pool.
struct Pools {
    size: Family<PoolLabels, Gauge>,
    in_use: Family<PoolLabels, Gauge>,
    waiting: Family<PoolLabels, Gauge>,
    turned_away: Family<PoolLabels, Counter>,
    replaced: Family<PoolLabels, Counter>,
}

impl Pools {
    fn of(&self, pool: PoolName) -> PoolMetrics {
        let labels = PoolLabels { pool };
        PoolMetrics {
            size: self.size.get_or_create_owned(&labels),
            in_use: self.in_use.get_or_create_owned(&labels),
            waiting: self.waiting.get_or_create_owned(&labels),
            turned_away: self.turned_away.get_or_create_owned(&labels),
            replaced: self.replaced.get_or_create_owned(&labels),
        }
    }
}

impl DatabaseMetrics {
    pub(super) fn new(new: &mut Registrar<'_>) -> Self {
        let pools = Pools {
            size: new.metric("database_connections_max", "Connections that a pool has at most"),
            in_use: new.metric("database_connections_in_use", "Connections that are in use"),
            waiting: new.metric("database_connections_waiting", "Those who wait for a connection"),
            turned_away: new.metric("database_turned_away", "Those turned away because too many waited, by pool"),
            replaced: new
                .metric("database_connections_replaced", "Connections given up because they cannot be trusted"),
        };
        let mut lookups = |name, help| {
            let lookups: Family<CacheLabels, Counter> = new.metric(name, help);
            [CacheOutcome::hit, CacheOutcome::miss].map(|outcome| lookups.get_or_create_owned(&CacheLabels { outcome }))
        };
        let row_cache = lookups("row_cache_lookups", "Rows that were looked for in memory, on SQLite");
        let page_cache = lookups("page_cache_lookups", "Pages of lists that were looked for in memory, on SQLite");
        let metrics = Self {
            readers: pools.of(PoolName::read),
            writers: pools.of(PoolName::write),
            standby_readers: pools.of(PoolName::standby),
            standby: StandbyMetrics::new(new),
            writes_waiting: new.metric("writes_waiting", "Changes that wait for their transaction to begin"),
            write_wait: new.histogram("write_wait_seconds", "Time that changes waited for their transaction", &SECONDS),
            group_size: new.histogram("write_group_size", "Changes that share a commit", &SIZES),
            commit: new.histogram("write_commit_seconds", "Time that a commit takes", &SECONDS),
            write_failures: new.metric("write_failures", "Transactions that failed, other than by a refusal"),
            works: new.metric("database_works", "1 while the database can be read or written, else 0"),
            row_cache,
            page_cache,
        };
        metrics.show_health(false, false);
        metrics
    }

    /// A row was looked for in memory.
    pub fn row_looked_for(&self, is_there: bool) {
        let [hit, miss] = &self.row_cache;
        if is_there { hit } else { miss }.inc();
    }

    /// A page of a list was looked for in memory.
    pub fn page_looked_for(&self, is_there: bool) {
        let [hit, miss] = &self.page_cache;
        if is_there { hit } else { miss }.inc();
    }

    /// Shows whether rows can be read, and changes committed.
    pub fn show_health(&self, reads: bool, writes: bool) {
        for (operation, works) in [(PoolName::read, reads), (PoolName::write, writes)] {
            self.works.get_or_create(&WorkLabels { operation }).set(i64::from(works));
        }
    }
}

impl Default for DatabaseMetrics {
    /// Metrics that nobody reads, for what is no service.
    fn default() -> Self {
        Self::new(&mut Registrar(&mut Registry::default()))
    }
}
