//! Messages that the client cannot read: texts among their properties are not UTF-8. It gives up the connection over one, the
//! broker delivers it again, and nothing behind it would ever come. So it is found, and taken out of the queue unread.

use std::{sync::Arc, time::Duration};

use lapin::{
    Channel, Connection, Error, ErrorKind,
    message::BasicGetMessage,
    options::{BasicGetOptions, QueueDeclareOptions},
    protocol::AMQPSoftError,
    types::FieldTable,
};
use tokio::time::sleep;

use super::{
    connection::{ANSWER, answered, down, in_time},
    side_channel::{Answer, Connector, SideChannel, bare, header, properties, text},
    topology::refusal,
};
use crate::broker::{
    interface::{Down, PREFETCH},
    names::ORIGIN,
};

/// How often it is looked whether the client has given up its connection.
const POLL: Duration = Duration::from_millis(20);
/// What a connection held comes back to the queue within this.
const BACK: Duration = Duration::from_millis(500);
/// How often in a row a message that is found may stand elsewhere when it is to be taken.
const MISSES: u32 = 3;
/// Before it is tried again to put back what was taken by mistake.
const AGAIN: Duration = Duration::from_secs(5);
/// How far into the queue it is looked for: further than a consumer ever takes.
const DEPTH: usize = 16 * PREFETCH as usize;

/// Whether the connection was given up over a message that cannot be read.
pub(super) fn is_unreadable(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::ParsingError(_))
}

/// Takes the messages that cannot be read out of a queue. One process does it at a time, or they would take others.
pub(super) async fn take_out(connect: &Connector, queue: &str) -> Result<(), Down> {
    let lock = answered(connect()).await?;
    if !is_locked(&lock.1, queue).await? {
        tracing::info!(queue, "another process takes out what cannot be read");
        sleep(BACK).await;
        return Ok(());
    }
    let mut misses = 0;
    for _ in 0..DEPTH {
        match take_first(connect, queue).await? {
            First::None => break,
            First::Taken => misses = 0,
            First::Elsewhere => misses += 1,
        }
        if misses == MISSES {
            break;
        }
    }
    Ok(())
}

/// Whether this connection has the right to take out: a queue that only one connection can have, and that ends with it.
/// Where none may be declared, it goes without: what is taken by mistake is put back.
async fn is_locked(channel: &Channel, queue: &str) -> Result<bool, Down> {
    let exclusive = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
    let lock = format!("{queue}.unreadable").into();
    match in_time(ANSWER, channel.queue_declare(lock, exclusive, FieldTable::default())).await? {
        Ok(_) => Ok(true),
        Err(error) => match refusal(&error) {
            Some(AMQPSoftError::RESOURCELOCKED) => Ok(false),
            Some(AMQPSoftError::ACCESSREFUSED) => Ok(true),
            _ => Err(down(error)),
        },
    }
}

/// What became of the first message that cannot be read.
enum First {
    /// All can be read.
    None,
    Taken,
    /// It stood at another place when it was to be taken.
    Elsewhere,
}

async fn take_first(connect: &Connector, queue: &str) -> Result<First, Down> {
    sleep(BACK).await;
    let Some(before) = readable(connect, queue).await? else { return Ok(First::None) };
    sleep(BACK).await;
    let link = answered(connect()).await?;
    for _ in 0..before {
        let Next::Message(_) = get(&link, queue, false).await? else { return Ok(First::Elsewhere) };
    }
    // Acknowledged by being delivered.
    match get(&link, queue, true).await? {
        Next::GivenUp => {
            let message = "an event of the platform is rejected: its properties are not UTF-8, and cannot be read";
            tracing::error!(queue, "{message}");
            Ok(First::Taken)
        }
        Next::End => Ok(First::Elsewhere),
        // A consumer was quicker, and this is another message.
        Next::Message(message) => {
            tokio::spawn(put_back(Arc::clone(connect), queue.to_owned(), message));
            Ok(First::Elsewhere)
        }
    }
}

/// How many messages stand before the first that cannot be read; none where all can be. They go back when this ends.
async fn readable(connect: &Connector, queue: &str) -> Result<Option<usize>, Down> {
    let link = answered(connect()).await?;
    for count in 0..DEPTH {
        match get(&link, queue, false).await? {
            Next::Message(_) => {}
            Next::End => return Ok(None),
            Next::GivenUp => return Ok(Some(count)),
        }
    }
    Ok(None)
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
        answer = in_time(ANSWER, getting) => match answer? {
            Ok(Some(message)) => Ok(Next::Message(Box::new(message))),
            Ok(None) => Ok(Next::End),
            Err(error) if is_unreadable(&error) => Ok(Next::GivenUp),
            Err(error) => Err(down(error)),
        },
        () = given_up => Ok(Next::GivenUp),
    }
}

/// Puts back what was taken by mistake. It is nowhere but in this process: so that is tried for as long as the process lives,
/// whatever becomes of the subscription.
async fn put_back(connect: Connector, queue: String, message: Box<BasicGetMessage>) {
    let origin = || [header(ORIGIN, text(&message, ORIGIN).unwrap_or(message.routing_key.as_str()))];
    let side_channel = SideChannel::new(connect);
    loop {
        for properties in [properties(&message, origin()), bare(FieldTable::default(), origin())] {
            match side_channel.publish(&queue, &message.data, properties).await {
                Ok(Answer::Taken) => return,
                Ok(Answer::Refused(reason)) | Err(Down(reason)) => {
                    tracing::error!(
                        queue,
                        reason,
                        "an event of the platform cannot be put back yet where it was taken"
                    );
                }
            }
        }
        sleep(AGAIN).await;
    }
}
