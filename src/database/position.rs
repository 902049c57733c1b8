//! How far the log of PostgreSQL has come, and what a request knows of that: by it a client reads what it wrote, also from a
//! standby and by another process.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::time::Instant;

/// A place in the write-ahead log of the primary (a log sequence number), for which the standby may be waited. To clients it is
/// opaque: 16 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position(u64);

impl Position {
    /// What a position looks like, behind the name of what should be one.
    pub const EXPECTED: &'static str = "must be 16 upper-case hexadecimal digits, as a response had them";
    /// The same as a pattern.
    pub const PATTERN: &'static str = "^[0-9A-F]{16}$";

    /// The position that a client sends back.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'A'..=b'F').contains(&byte);
        let is_one = text.len() == 16 && text.bytes().all(is_digit);
        is_one.then(|| u64::from_str_radix(text, 16).ok()).flatten().map(Self)
    }

    /// The position that the database counts in bytes; `None` for one that it cannot have.
    pub(super) fn of_bytes(bytes: i64) -> Option<Self> {
        u64::try_from(bytes).ok().map(Self)
    }

    /// How many bytes of the log are between an earlier one and this.
    pub(super) fn beyond(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016X}", self.0)
    }
}

/// How new what a request reads must be, and how far the database had come when what it wrote was committed. Clones share the
/// latter.
#[derive(Debug, Clone, Default)]
pub struct Recency {
    /// What is read must have this; without it, a standby may be a moment behind.
    pub(super) after: Option<Position>,
    /// 0 where nothing was committed, or nobody wants to know.
    reached: Arc<AtomicU64>,
}

impl Recency {
    /// The same request, which reads nothing that is older than this.
    #[must_use]
    pub fn after(self, after: Option<Position>) -> Self {
        Self { after, ..self }
    }

    /// How far the database had come when the last change of the request was committed, where reads go to a standby.
    #[must_use]
    pub fn reached(&self) -> Option<Position> {
        Some(self.reached.load(Ordering::SeqCst)).filter(|reached| *reached > 0).map(Position)
    }

    pub(super) fn reach(&self, position: Position) {
        self.reached.fetch_max(position.0, Ordering::SeqCst);
    }
}

/// What the server of a connection had when it was asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Replayed {
    pub(super) position: Position,
    pub(super) at: Instant,
}

#[cfg(test)]
mod tests {
    use super::Position;

    #[test]
    fn what_is_written_is_read_again_and_nothing_else() {
        let position = Position(0x0123_4567_89AB_CDEF);
        assert_eq!(position.to_string(), "0123456789ABCDEF");
        assert_eq!(Position::parse("0123456789ABCDEF"), Some(position));
        for text in
            ["", "0", "0123456789abcdef", "+123456789ABCDEF", "0123456789ABCDEF0", "0/16B3748", "０123456789ABC"]
        {
            assert_eq!(Position::parse(text), None, "{text}");
        }
    }
}
