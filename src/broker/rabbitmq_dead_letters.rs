//! What operators do with dead letters on RabbitMQ. They are taken one by one and held until the end: what is neither deleted
//! nor confirmed elsewhere by then, however that comes about, the broker puts back in its place.

use std::time::Duration;

use lapin::{
    Channel, ErrorKind,
    message::Delivery,
    options::{BasicAckOptions, BasicGetOptions, QueueDeclareOptions},
    protocol::{AMQPErrorKind, AMQPSoftError},
    types::FieldTable,
};
use tokio::time::timeout;

use super::{
    interface::{DeadLetter, Decide, Down, Fate},
    names::{DEAD_SINCE, ORIGIN, REASON},
    rabbitmq_aside::{Answer, Aside, Connector, header, properties, text},
    rabbitmq_topology::Queues,
};

/// How long the broker may take to answer anything.
const PATIENCE: Duration = Duration::from_secs(10);
/// The reply code of a channel or connection that is closed in order.
const IN_ORDER: u16 = 200;

pub(super) async fn visit(
    connect: Connector,
    queues: Queues,
    limit: u64,
    decide: &mut Decide<'_>,
) -> Result<u64, Down> {
    let (connection, channel) = in_time(connect()).await?;
    let Some(total) = count(&channel, &queues.dead_letters).await? else { return Ok(0) };
    let aside = Aside::new(connect);
    for _ in 0..total.min(limit) {
        let get = BasicGetOptions { no_ack: false };
        let next = in_time(channel.basic_get(queues.dead_letters.as_str().into(), get)).await?;
        let Some(message) = next else { break };
        let message = message.delivery;
        let said = |name| text(&message, name).map(str::to_owned);
        let (reason, since) = (said(REASON), said(DEAD_SINCE));
        match decide(&DeadLetter { payload: message.data.clone(), reason, since }) {
            Fate::Keep => continue,
            Fate::Drop => {}
            Fate::Retry => retry(&aside, &queues.inbound, &message).await?,
        }
        in_time(message.ack(BasicAckOptions::default())).await?;
    }
    // Waits until the broker has read the acknowledgements.
    in_time(connection.close(IN_ORDER, "".into())).await?;
    Ok(total)
}

/// How many dead letters there are; none where there is no queue for them.
async fn count(channel: &Channel, queue: &str) -> Result<Option<u64>, Down> {
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let declared = timeout(PATIENCE, channel.queue_declare(queue.into(), passive, FieldTable::default())).await;
    match declared.map_err(|_| too_late())? {
        Ok(queue) => Ok(Some(u64::from(queue.message_count()))),
        Err(error) => match error.kind() {
            ErrorKind::ProtocolError(refusal) if *refusal.kind() == AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND) => {
                Ok(None)
            }
            _ => Err(Down(error.to_string())),
        },
    }
}

/// As if it were new: what it says of its former life stays behind.
async fn retry(aside: &Aside, inbound: &str, message: &Delivery) -> Result<(), Down> {
    let origin = text(message, ORIGIN).map(|origin| header(ORIGIN, origin));
    match aside.publish(inbound, &message.data, properties(message, origin)).await? {
        Answer::Taken => Ok(()),
        Answer::Refused(reason) => Err(Down(format!("{inbound} does not take it: {reason}"))),
    }
}

async fn in_time<T>(work: impl Future<Output = lapin::Result<T>>) -> Result<T, Down> {
    timeout(PATIENCE, work).await.map_err(|_| too_late())?.map_err(|error| Down(error.to_string()))
}

fn too_late() -> Down {
    Down("the broker did not answer in time".to_owned())
}
