//! Random numbers.

use std::hash::{DefaultHasher, Hash, Hasher};

/// Random numbers that a seed decides.
pub struct Random(pub u64);

impl Random {
    /// A number from 0, below the limit.
    pub fn below(&mut self, limit: usize) -> usize {
        let mut hasher = DefaultHasher::new();
        self.0.hash(&mut hasher);
        self.0 = hasher.finish();
        usize::try_from(self.0 % limit as u64).unwrap()
    }
}
