//! What operators do with dead letters on Kafka: they are a log, which is read, and from which nothing is deleted by hand.

use std::{collections::HashMap, time::Duration};

use rdkafka::{
    ClientConfig, Message as _, Offset, TopicPartitionList,
    consumer::{Consumer, StreamConsumer},
    error::KafkaError,
    message::{Headers, OwnedMessage},
    producer::{FutureProducer, FutureRecord},
};
use serde::Deserialize;
use tokio::time::timeout;

use super::client::{Closing, down, of_any_size, senders};
use crate::broker::{
    interface::{Choose, DeadLetter, DeadLetterAction, Down},
    names::{DEAD_LETTERS, DEAD_SINCE, INBOUND, ORIGIN, PLATFORM_TOPICS, REASON},
};

/// How long the brokers may take to answer anything.
const ANSWER: Duration = Duration::from_secs(10);

pub(super) async fn visit(
    mut client: ClientConfig,
    producer: ClientConfig,
    action: DeadLetterAction,
    limit: u64,
    choose: &mut Choose<'_>,
) -> Result<u64, Down> {
    if action == DeadLetterAction::Delete {
        return Err(Down(format!(
            "on Kafka {DEAD_LETTERS} is a log, whose records expire by the topic's retention; to delete them earlier, use \
             kafka-delete-records.sh, which deletes all up to an offset"
        )));
    }
    // Nothing is committed; a consumer has to have a group all the same.
    client.set("group.id", format!("{INBOUND}.dead")).set("enable.auto.commit", "false");
    client.set("enable.partition.eof", "true");
    let consumer: StreamConsumer = client.create().map_err(down)?;
    let (consumer, mut ends) = opened(consumer).await?;
    let producer = Closing::new(of_any_size(producer).map_err(down)?);
    let total = ends.values().map(|(low, high)| high.saturating_sub(*low)).sum::<i64>().unsigned_abs();
    let mut left = total.min(limit);
    while left > 0 && !ends.is_empty() {
        let message = match timeout(ANSWER, consumer.client()?.recv()).await {
            Ok(Ok(message)) => message.detach(),
            // There were fewer than the offsets promise: transactions and compaction leave gaps.
            Ok(Err(KafkaError::PartitionEOF(partition))) => {
                ends.remove(&partition);
                continue;
            }
            Ok(Err(error)) => return Err(down(error)),
            Err(_) => return Err(Down("the brokers did not answer in time".to_owned())),
        };
        let Some((_, high)) = ends.get(&message.partition()).copied() else { continue };
        if message.offset() + 1 >= high {
            ends.remove(&message.partition());
        }
        // What was added since is for the next time.
        if message.offset() >= high {
            continue;
        }
        left -= 1;
        let payload = message.payload().unwrap_or_default().to_vec();
        let letter = DeadLetter { payload, reason: text(&message, REASON), since: text(&message, DEAD_SINCE) };
        if choose(&letter) && action == DeadLetterAction::Retry {
            retry(producer.client()?, &message).await?;
        }
    }
    Ok(total)
}

/// Where each partition begins and ends.
type Ends = HashMap<i32, (i64, i64)>;

/// The consumer at the beginning of all partitions that hold something, and where they begin and end now.
async fn opened(consumer: StreamConsumer) -> Result<(Closing<StreamConsumer>, Ends), Down> {
    let opening = tokio::task::spawn_blocking(move || {
        let metadata = consumer.fetch_metadata(Some(DEAD_LETTERS), ANSWER)?;
        let partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
        let (mut ends, mut all) = (Ends::new(), TopicPartitionList::new());
        for partition in partitions.map(|partition| partition.id()) {
            let (low, high) = consumer.fetch_watermarks(DEAD_LETTERS, partition, ANSWER)?;
            if low < high {
                ends.insert(partition, (low, high));
                all.add_partition_offset(DEAD_LETTERS, partition, Offset::Beginning)?;
            }
        }
        consumer.assign(&all)?;
        Ok::<_, KafkaError>((Closing::new(consumer), ends))
    });
    opening.await.map_err(|error| Down(error.to_string()))?.map_err(down)
}

fn text(message: &OwnedMessage, name: &str) -> Option<String> {
    let header = message.headers()?.iter().find(|header| header.key == name)?;
    Some(String::from_utf8_lossy(header.value?).into_owned())
}

/// The one field that says where a dead letter came from that does not say so itself.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Typed {
    event_type: String,
}

fn origin(message: &OwnedMessage) -> Option<&'static str> {
    let of_topic = |origin: String| PLATFORM_TOPICS.into_iter().find(|topic| *topic == origin);
    let of_sender = |typed: Typed| {
        let sender = typed.event_type.split('.').next().map(|sender| format!("{sender}."))?;
        PLATFORM_TOPICS.into_iter().find(|topic| topic.starts_with(&sender))
    };
    let typed = || serde_json::from_slice(message.payload().unwrap_or_default()).ok();
    text(message, ORIGIN).and_then(of_topic).or_else(|| typed().and_then(of_sender))
}

/// Publishes it where it came from, as if it were new.
async fn retry(producer: &FutureProducer, message: &OwnedMessage) -> Result<(), Down> {
    let unknown = || Down("a dead letter does not say which topic it came from: it cannot be retried".to_owned());
    let topic = origin(message).ok_or_else(unknown)?;
    let record = FutureRecord::to(topic).headers(senders(message)).payload(message.payload().unwrap_or_default());
    let record = record.key(message.key().unwrap_or_default());
    let sent = producer.send(record, ANSWER).await;
    sent.map(drop).map_err(|(error, _)| Down(format!("{topic} does not take it: {error}")))
}
