//! A page of a list, and as it is kept in memory: with what was replied to show it.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::{position::Position, total::Count};

/// A page of a list.
#[derive(Debug, Clone)]
pub struct Rows<M> {
    /// The rows.
    pub data: Vec<M>,
    /// How many there are on all pages, if that was asked.
    pub total: Option<Count>,
    /// Where the next page begins; none at the end of the list.
    pub next: Option<Position>,
}

/// A page that was read, shared by all who read it until anything in it changes.
#[derive(Debug, Clone)]
pub struct KeptPage<M> {
    rows: Arc<Rows<M>>,
    reply: KeptReply,
}

/// Where the reply that shows a page is kept as long as the page is: the first one to somebody who sees personal data masked. All who
/// see it so see the same.
#[derive(Debug, Clone, Default)]
pub struct KeptReply(Arc<OnceLock<Reply>>);

#[derive(Debug)]
struct Reply {
    /// What was asked, in the words that are a part of the reply.
    asked: Vec<u8>,
    body: Bytes,
}

impl<M> From<Rows<M>> for KeptPage<M> {
    fn from(rows: Rows<M>) -> Self {
        Self { rows: Arc::new(rows), reply: KeptReply::default() }
    }
}

impl<M> KeptPage<M> {
    /// Its rows.
    #[must_use]
    pub fn rows(&self) -> &Rows<M> {
        &self.rows
    }

    /// The reply that shows it.
    #[must_use]
    pub fn reply(&self) -> &KeptReply {
        &self.reply
    }

    /// Its rows, for whoever changes them.
    #[must_use]
    pub fn into_rows(self) -> Rows<M>
    where
        M: Clone,
    {
        Arc::unwrap_or_clone(self.rows)
    }
}

impl KeptReply {
    /// Its body, to somebody who asks the same.
    #[must_use]
    pub fn to(&self, asked: &[u8]) -> Option<Bytes> {
        self.0.get().filter(|reply| reply.asked == asked).map(|reply| reply.body.clone())
    }

    /// Keeps it, if it is the first one.
    pub fn keep(&self, asked: &[u8], body: Bytes) {
        // Another one was the first.
        let _kept = self.0.set(Reply { asked: asked.to_vec(), body });
    }
}
