//! Messages that the client cannot read: texts among their properties are not UTF-8. It gives up the connection over one, the
//! broker delivers it again, and nothing behind it would ever come. So it is found, and taken out of the queue unread.

use std::time::Duration;

use lapin::{
    Channel, Connection, Error, ErrorKind,
    message::BasicGetMessage,
    options::{BasicGetOptions, BasicPublishOptions},
};
use tokio::time::{sleep, timeout};

use super::{
    interface::{Down, PREFETCH},
    names::ORIGIN,
    rabbitmq_aside::{Connector, header, properties, text},
};

/// How long the broker may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often it is looked whether the client has given up its connection.
const POLL: Duration = Duration::from_millis(20);
/// What a connection held comes back to the queue within this.
const BACK: Duration = Duration::from_millis(500);
/// How far into the queue it is looked for: further than a consumer ever takes.
const DEPTH: usize = 16 * PREFETCH as usize;

/// Whether the connection was given up over a message that cannot be read.
pub(super) fn is_unreadable(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::ParsingError(_))
}

/// Takes the first message that cannot be read out of a queue, if there is one.
pub(super) async fn take_out(connect: &Connector, queue: &str) -> Result<(), Down> {
    sleep(BACK).await;
    let Some(before) = readable(connect, queue).await? else { return Ok(()) };
    sleep(BACK).await;
    let link = open(connect).await?;
    for _ in 0..before {
        // They have come back in another order: the next time.
        let Next::Message(_) = get(&link, queue, false).await? else { return Ok(()) };
    }
    // Acknowledged by being delivered.
    match get(&link, queue, true).await? {
        Next::GivenUp => {
            let message = "an event of the platform is rejected: its properties are not UTF-8, and cannot be read";
            tracing::error!(queue, "{message}");
            Ok(())
        }
        Next::End => Ok(()),
        // Another process was quicker, and this is another message.
        Next::Message(message) => put_back(&link.1, queue, &message).await,
    }
}

/// How many messages stand before the first that cannot be read; none where all can be. They go back when this ends.
async fn readable(connect: &Connector, queue: &str) -> Result<Option<usize>, Down> {
    let link = open(connect).await?;
    for count in 0..DEPTH {
        match get(&link, queue, false).await? {
            Next::Message(_) => {}
            Next::End => return Ok(None),
            Next::GivenUp => return Ok(Some(count)),
        }
    }
    Ok(None)
}

async fn open(connect: &Connector) -> Result<(Connection, Channel), Down> {
    timeout(PATIENCE, connect()).await.map_err(|_| too_late())?.map_err(lost)
}

/// The next message of a queue, or that there is none; or that the client gave up its connection over it, which it does not
/// say to those who wait for the message.
enum Next {
    Message(Box<BasicGetMessage>),
    End,
    GivenUp,
}

async fn get((connection, channel): &(Connection, Channel), queue: &str, no_ack: bool) -> Result<Next, Down> {
    let given_up = async {
        while connection.status().connected() {
            sleep(POLL).await;
        }
    };
    let getting = channel.basic_get(queue.into(), BasicGetOptions { no_ack });
    tokio::select! {
        answer = timeout(PATIENCE, getting) => match answer.map_err(|_| too_late())? {
            Ok(Some(message)) => Ok(Next::Message(Box::new(message))),
            Ok(None) => Ok(Next::End),
            Err(error) if is_unreadable(&error) => Ok(Next::GivenUp),
            Err(error) => Err(lost(error)),
        },
        () = given_up => Ok(Next::GivenUp),
    }
}

async fn put_back(channel: &Channel, queue: &str, message: &BasicGetMessage) -> Result<(), Down> {
    let origin = text(message, ORIGIN).unwrap_or(message.routing_key.as_str());
    let properties = properties(message, [header(ORIGIN, origin)]);
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let published = async {
        channel.basic_publish("".into(), queue.into(), options, &message.data, properties).await?.await.map(drop)
    };
    timeout(PATIENCE, published).await.map_err(|_| too_late())?.map_err(lost)
}

fn lost(error: Error) -> Down {
    Down(error.to_string())
}

fn too_late() -> Down {
    Down("the broker did not answer in time".to_owned())
}
