//! A queue with a line for each party, served in turn: however many one of them puts in, the next of another comes next.

use std::collections::{HashMap, VecDeque};

use super::party::Party;

/// What waits, by party. Bounded: beyond that, the longest line gives way.
pub(super) struct FairQueue<T> {
    capacity: usize,
    waiting: usize,
    lines: HashMap<Party, VecDeque<T>>,
    /// The parties that have anything in the queue, the next one first.
    turns: VecDeque<Party>,
}

impl<T> FairQueue<T> {
    /// A queue for this many in all.
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, waiting: 0, lines: HashMap::new(), turns: VecDeque::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.waiting
    }

    /// Puts an item at the end of a party's line. Where the queue is full, this returns what has no place: the last item of a
    /// longer line, or else this one.
    pub(super) fn push(&mut self, party: &Party, item: T) -> Option<T> {
        let own = self.lines.get(party).map_or(0, VecDeque::len);
        let mut displaced = None;
        if self.waiting >= self.capacity {
            displaced = self.displace(own + 1);
            if displaced.is_none() {
                return Some(item);
            }
        }
        if own == 0 {
            self.turns.push_back(party.clone());
        }
        self.lines.entry(party.clone()).or_default().push_back(item);
        self.waiting += 1;
        displaced
    }

    /// Takes the last item of the longest line, if that is longer than `length`.
    fn displace(&mut self, length: usize) -> Option<T> {
        let (_, line) = self.lines.iter_mut().max_by_key(|(_, line)| line.len())?;
        // It stays in the line of turns: it is not empty.
        let displaced = if line.len() > length { line.pop_back() } else { None };
        self.waiting -= usize::from(displaced.is_some());
        displaced
    }

    /// Takes the first item of the party whose turn it is, of those that may have one now.
    pub(super) fn pop_if(&mut self, may: impl Fn(&Party) -> bool) -> Option<(Party, T)> {
        let at = self.turns.iter().position(may)?;
        let party = self.turns.remove(at)?;
        let line = self.lines.get_mut(&party)?;
        let item = line.pop_front()?;
        if line.is_empty() {
            self.lines.remove(&party);
        } else {
            self.turns.push_back(party.clone());
        }
        self.waiting -= 1;
        Some((party, item))
    }

    /// Takes out those at the head of each line that this is said of.
    pub(super) fn take_while(&mut self, takes: impl Fn(&T) -> bool) -> Vec<T> {
        let mut taken = Vec::new();
        for line in self.lines.values_mut() {
            while let Some(item) = line.pop_front_if(|item| takes(item)) {
                taken.push(item);
            }
        }
        self.waiting -= taken.len();
        self.lines.retain(|_, line| !line.is_empty());
        let lines = &self.lines;
        self.turns.retain(|party| lines.contains_key(party));
        taken
    }
}
