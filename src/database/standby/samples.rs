//! How far the primary was when: by that, what a standby has replayed tells how old it is.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

use super::facts::{Facts, Identity};
use crate::database::position::Position;

/// How far a standby may be behind, in time.
pub(super) const MAX_LAG: Duration = Duration::from_secs(5);
/// How long to wait between samples.
pub(super) const INTERVAL: Duration = Duration::from_millis(500);
/// How many are kept: twice as many as the longest lag that is asked for needs.
const KEPT: usize = 20;

/// How far the primary was when, the newest last.
#[derive(Debug, Default)]
pub(super) struct Samples {
    identity: Option<Identity>,
    seen: VecDeque<(Instant, Position)>,
}

impl Samples {
    /// Adds what the primary says now. Where it has less than before, it is another one: what the last one had beyond that is
    /// lost, and is waited for no longer.
    pub(super) fn add(&mut self, now: Instant, primary: Facts) {
        let is_another = self.identity != Some(primary.identity);
        if is_another || self.seen.back().is_some_and(|(_, last)| primary.position < *last) {
            self.seen.clear();
        }
        self.identity = Some(primary.identity);
        self.push(now, primary.position);
    }

    /// Adds what a commit has made safe on the primary: also while nothing else is seen of it.
    pub(super) fn raise(&mut self, now: Instant, position: Position) {
        match self.seen.back_mut() {
            Some((at, last)) if now.saturating_duration_since(*at) < INTERVAL => *last = position.max(*last),
            Some((_, last)) => {
                let position = position.max(*last);
                self.push(now, position);
            }
            None => {}
        }
    }

    fn push(&mut self, now: Instant, position: Position) {
        self.seen.push_back((now, position));
        if self.seen.len() > KEPT {
            self.seen.pop_front();
        }
    }

    /// Which database the primary has, once it was seen.
    pub(super) fn identity(&self) -> Option<Identity> {
        self.identity
    }

    /// What whoever is no more than `lag` behind has; of a primary that was not seen for so long, what it had when it was first
    /// seen.
    pub(super) fn floor(&self, now: Instant, lag: Duration) -> Option<Position> {
        let is_old = |(at, _): &&(Instant, Position)| now.saturating_duration_since(*at) >= lag;
        self.seen.iter().rev().find(is_old).or_else(|| self.seen.front()).map(|(_, position)| *position)
    }

    /// How long ago the primary had no more than this: by how much a standby that has it is behind.
    pub(super) fn lag(&self, now: Instant, replayed: Position) -> Duration {
        let missing = self.seen.iter().find(|(_, position)| *position > replayed);
        missing.map_or(Duration::ZERO, |(at, _)| now.saturating_duration_since(*at))
    }

    /// How many bytes of what was last seen of the primary are missing there.
    pub(super) fn missing(&self, replayed: Position) -> u64 {
        self.seen.back().map_or(0, |(_, last)| last.beyond(replayed))
    }
}
