//! How far each partition is done. Events are settled in any order, but what Kafka keeps is one offset for each partition: that
//! of the first event that is not settled.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

use rdkafka::{
    ClientContext, Offset, TopicPartitionList,
    consumer::{BaseConsumer, ConsumerContext, Rebalance},
};
use tokio::sync::Notify;

/// The offsets of the partitions that this process has.
#[derive(Debug, Default)]
pub(super) struct Offsets {
    partitions: Mutex<HashMap<(String, i32), Partition>>,
    assigned: Notify,
}

#[derive(Debug, Default)]
struct Partition {
    unsettled: BTreeSet<i64>,
    /// After the last event that was delivered.
    next: i64,
}

impl Offsets {
    fn partitions(&self) -> MutexGuard<'_, HashMap<(String, i32), Partition>> {
        self.partitions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn delivered(&self, topic: &str, partition: i32, offset: i64) {
        let mut partitions = self.partitions();
        let partition = partitions.entry((topic.to_owned(), partition)).or_default();
        partition.unsettled.insert(offset);
        partition.next = offset + 1;
    }

    /// The offset that may be committed now. None where the event is not this process's any more: then it is delivered again,
    /// to whoever has its partition.
    pub fn settled(&self, topic: &str, number: i32, offset: i64) -> Option<TopicPartitionList> {
        let mut partitions = self.partitions();
        let partition = partitions.get_mut(&(topic.to_owned(), number))?;
        if !partition.unsettled.remove(&offset) {
            return None;
        }
        let first = partition.unsettled.first().copied().unwrap_or(partition.next);
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, number, Offset::Offset(first)).ok()?;
        Some(list)
    }

    /// Waits until this process has partitions.
    pub async fn assigned(&self) {
        self.assigned.notified().await;
    }

    fn forget(&self, list: &TopicPartitionList) {
        let mut partitions = self.partitions();
        for element in list.elements() {
            partitions.remove(&(element.topic().to_owned(), element.partition()));
        }
    }
}

/// Tells the offsets which partitions come and go.
#[derive(Debug, Default)]
pub(super) struct Assignments(pub std::sync::Arc<Offsets>);

impl ClientContext for Assignments {}

impl ConsumerContext for Assignments {
    fn pre_rebalance(&self, _consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(list) | Rebalance::Revoke(list) = rebalance {
            self.0.forget(list);
        }
    }

    fn post_rebalance(&self, _consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(list) = rebalance
            && list.count() > 0
        {
            self.0.assigned.notify_one();
        }
    }
}
