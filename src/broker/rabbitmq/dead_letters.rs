//! What operators do with dead letters on RabbitMQ. They are taken one by one and held until the end: what is neither deleted
//! nor confirmed elsewhere by then, however that comes about, the broker puts back in its place.

use lapin::{
    Channel,
    message::Delivery,
    options::{BasicAckOptions, BasicGetOptions, QueueDeclareOptions},
    protocol::AMQPSoftError,
    types::FieldTable,
};

use super::{
    connection::{ANSWER, answered, down, in_time},
    side_channel::{Answer, Connector, SideChannel, header, properties, text},
    topology::{Queues, refusal},
};
use crate::broker::{
    interface::{Choose, DeadLetter, DeadLetterAction, Down},
    names::{DEAD_SINCE, ORIGIN, REASON},
};

/// The reply code of a channel or connection that is closed in order.
const IN_ORDER: u16 = 200;

pub(super) async fn visit(
    connect: Connector,
    queues: Queues,
    action: DeadLetterAction,
    limit: u64,
    choose: &mut Choose<'_>,
) -> Result<u64, Down> {
    let (connection, channel) = answered(connect()).await?;
    let Some(total) = count(&channel, &queues.dead_letters).await? else { return Ok(0) };
    let side_channel = SideChannel::new(connect);
    for _ in 0..total.min(limit) {
        let get = BasicGetOptions { no_ack: false };
        let next = answered(channel.basic_get(queues.dead_letters.as_str().into(), get)).await?;
        let Some(message) = next else { break };
        let message = message.delivery;
        let said = |name| text(&message, name).map(str::to_owned);
        let (reason, since) = (said(REASON), said(DEAD_SINCE));
        if !choose(&DeadLetter { payload: message.data.clone(), reason, since }) {
            continue;
        }
        match action {
            DeadLetterAction::List => continue,
            DeadLetterAction::Delete => {}
            DeadLetterAction::Retry => retry(&side_channel, &queues.inbound, &message).await?,
        }
        answered(message.ack(BasicAckOptions::default())).await?;
    }
    // Waits until the broker has read the acknowledgements.
    answered(connection.close(IN_ORDER, "".into())).await?;
    Ok(total)
}

/// How many dead letters there are; none where there is no queue for them.
async fn count(channel: &Channel, queue: &str) -> Result<Option<u64>, Down> {
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    match in_time(ANSWER, channel.queue_declare(queue.into(), passive, FieldTable::default())).await? {
        Ok(queue) => Ok(Some(u64::from(queue.message_count()))),
        Err(error) if refusal(&error) == Some(&AMQPSoftError::NOTFOUND) => Ok(None),
        Err(error) => Err(down(error)),
    }
}

/// As if it were new: what it says of its former life stays behind.
async fn retry(side_channel: &SideChannel, inbound: &str, message: &Delivery) -> Result<(), Down> {
    let origin = text(message, ORIGIN).map(|origin| header(ORIGIN, origin));
    match side_channel.publish(inbound, &message.data, properties(message, origin)).await? {
        Answer::Taken => Ok(()),
        Answer::Refused(reason) => Err(Down(format!("{inbound} does not take it: {reason}"))),
    }
}
