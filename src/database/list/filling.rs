//! A page of a list that is read in parts.

use super::query::{Piece, Window};

/// A page that is filled from one part of a list after the other.
pub(super) struct Filling<M> {
    piece: Piece<M>,
    wanted: Window,
    parts: u64,
}

impl<M> Filling<M> {
    /// A page of a list that has so many parts, which share what may be looked at.
    pub fn new(wanted: Window, parts: u64) -> Self {
        Self { piece: Piece::default(), wanted, parts }
    }

    /// What is wanted of the next part. What is to be skipped is read too: no part tells how much it skipped.
    pub fn window(&self) -> Window {
        let Window { offset, limit, bound } = self.wanted;
        let limit = (offset + limit).saturating_sub(self.piece.rows.len() as u64);
        Window { offset: 0, limit, bound: (bound / self.parts.max(1)).max(limit) }
    }

    /// Adds what a part has; returns whether this was the last one.
    pub fn add(&mut self, part: Piece<M>) -> bool {
        self.piece.rows.extend(part.rows);
        self.piece.cut = part.cut;
        self.piece.cut.is_some() || self.window().limit == 0
    }

    pub fn end(mut self) -> Piece<M> {
        let skipped = usize::try_from(self.wanted.offset).unwrap_or(usize::MAX).min(self.piece.rows.len());
        self.piece.rows.drain(..skipped);
        self.piece
    }
}
