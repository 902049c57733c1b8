//! What units of work of SQLite that are committed together have of each other: what they leave to be written together ([`Together`]), and
//! what is in memory as their transaction sees it.
//!
//! A unit that has left all that it writes to its end takes no turn with the database. Those that follow each other so are written at once,
//! before anything else is asked of the database, and before the commit: rows of several units by one statement, where the units write
//! alike. None of them depends on another one: whatever reads what another has changed is asked of the database, after this was written.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use sea_orm::DbErr;
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    at_end::{Piece, Turn, take_claim},
    merge::{self, Claims},
    pool::PooledConnection,
    read_cache::Writing,
    steps::Steps,
};
use crate::error::Error;

/// What units of work in one transaction leave to be written together.
pub(super) struct Together {
    /// What is in memory, and what of it those changed that are kept.
    pub(super) writing: Arc<Writing>,
    steps: Arc<Steps>,
    left: Mutex<Vec<Left>>,
    /// Those that were refused when they were written, and nothing of them is.
    refused: Mutex<Vec<(usize, Error)>>,
    /// Whether something is written of a unit that failed.
    spoilt: AtomicBool,
}

/// What a unit of work left.
pub(super) struct Left {
    /// Which of those in the transaction it is.
    pub(super) unit: usize,
    /// What was noted of it.
    pub(super) note: usize,
    pub(super) pieces: Vec<Piece>,
    /// Until when it waits for the database.
    pub(super) until: Instant,
}

impl Together {
    pub(super) fn new(writing: Arc<Writing>, steps: Arc<Steps>) -> Self {
        let (left, refused, spoilt) = Default::default();
        Self { writing, steps, left, refused, spoilt }
    }

    /// Whether the claim among these pieces names a resource that another one names which was left: which of the two is there already, and is
    /// refused, could not be told. One of them changes nothing, because what one has changed is asked of the database by the other.
    pub(super) fn is_named(&self, pieces: &[Piece]) -> bool {
        let named = resource(pieces);
        named.is_some() && self.left().iter().any(|left| resource(&left.pieces) == named)
    }

    /// Leaves this to be written with what others leave, if it is anything.
    pub(super) fn leave(&self, left: Left) {
        if !left.pieces.is_empty() {
            self.left().push(left);
        }
    }

    /// Something is written of a unit that failed.
    pub(super) fn spoil(&self) {
        self.spoilt.store(true, Ordering::Relaxed);
    }

    /// Whether the transaction has to be begun again.
    pub(super) fn is_spoilt(&self) -> bool {
        self.spoilt.load(Ordering::Relaxed)
    }

    /// All that was done is undone.
    pub(super) fn begin_again(&self) {
        self.left().clear();
        self.refused().clear();
        self.writing.begin_again();
        self.spoilt.store(false, Ordering::Relaxed);
    }

    /// Why this unit was refused when it was written, if it was.
    pub(super) fn refusal(&self, unit: usize) -> Option<Error> {
        self.refused().iter().find(|(refused, _)| *refused == unit).map(|(_, error)| error.clone())
    }

    /// Writes what was left. A unit that is refused is so by itself; what fails otherwise spoils the transaction.
    pub(super) async fn write(&self, connection: &mut PooledConnection) -> Result<(), DbErr> {
        let mut left = std::mem::take(&mut *self.left());
        let Some(until) = left.iter().map(|left| left.until).max() else { return Ok(()) };
        if let [_alone] = left.as_slice() {
            return self.write_alone(connection, left, until).await;
        }
        let written = async {
            self.claim(connection, &mut left, until).await?;
            for statements in merge::merged(left.into_iter().map(|left| left.pieces)) {
                let mut turn = Turn::default();
                for judged in statements {
                    connection.statements.tell(&judged.0);
                    turn.add(judged);
                }
                self.run(connection, turn, until).await.1?;
            }
            Ok(())
        };
        written.await.inspect_err(|_| self.spoil())
    }

    /// Writes what one unit left in one turn, its claim with the rest.
    async fn write_alone(
        &self,
        connection: &mut PooledConnection,
        left: Vec<Left>,
        until: Instant,
    ) -> Result<(), DbErr> {
        for Left { unit, note, pieces, .. } in left {
            let mut turn = Turn::default();
            turn.add_left(pieces);
            match self.run(connection, turn, until).await {
                (_, Ok(())) => {}
                (false, Err(error)) if connection.is_trusted() => self.refuse(unit, note, error.into()),
                (_, Err(error)) => {
                    self.spoil();
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Inserts the claims of the units. Whose claim is there already is refused, and takes no other one with it.
    async fn claim(
        &self,
        connection: &mut PooledConnection,
        left: &mut Vec<Left>,
        until: Instant,
    ) -> Result<(), DbErr> {
        let of_units: Vec<_> = left.iter_mut().map(|left| take_claim(&mut left.pieces)).collect();
        let resources: Vec<_> = of_units.iter().map(|claim| claim.as_ref().map(|(resource, _)| *resource)).collect();
        let mut claimed = HashSet::<Uuid>::with_capacity(left.len());
        for claims in merge::claims(of_units.into_iter().flatten().collect()) {
            claimed.extend(self.insert(connection, &claims, until).await?);
        }
        let mut resources = resources.into_iter();
        left.retain(|left| {
            let is_claimed = resources.next().flatten().is_none_or(|resource| claimed.contains(&resource));
            if !is_claimed {
                self.refuse(left.unit, left.note, Error::claimed());
            }
            is_claimed
        });
        Ok(())
    }

    /// Inserts claims: the resources of those that were not there already.
    async fn insert(
        &self,
        connection: &mut PooledConnection,
        claims: &Claims,
        until: Instant,
    ) -> Result<Vec<Uuid>, DbErr> {
        let all = claims.all();
        connection.statements.tell(&all);
        let mut turn = Turn::default();
        turn.add((all, None));
        // It returns no rows, each of which would be handed over by itself.
        match self.run(connection, turn, until).await {
            (_, Ok(())) => return Ok(claims.resources.clone()),
            (false, Err(_)) if connection.is_trusted() => {}
            (_, Err(error)) => return Err(error),
        }
        let failure = connection.take_step(&self.steps)?;
        let rows = connection.query(&claims.absent(), until).await?;
        connection.fail(failure)?;
        rows.iter().map(|row| row.try_get_by_index(0)).collect()
    }

    fn refuse(&self, unit: usize, note: usize, error: Error) {
        self.writing.take_back(note);
        self.refused().push((unit, error));
    }

    /// Runs the statements of a turn: whether any was done, and what came of them.
    async fn run(
        &self,
        connection: &mut PooledConnection,
        mut turn: Turn,
        until: Instant,
    ) -> (bool, Result<(), DbErr>) {
        let mut done = Vec::new();
        let outcome = async {
            let Some(statement) = turn.statement() else { return Ok(()) };
            let failure = connection.take_step(&self.steps)?;
            connection.execute_each(&statement, until, &mut done).await?;
            connection.fail(failure)?;
            turn.judge(&done)
        };
        let outcome = outcome.await;
        (!done.is_empty(), outcome)
    }

    fn left(&self) -> MutexGuard<'_, Vec<Left>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refused(&self) -> MutexGuard<'_, Vec<(usize, Error)>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The resource that the claim names, if there is one.
fn resource(pieces: &[Piece]) -> Option<Uuid> {
    match pieces.first() {
        Some(Piece::Claim(resource, _)) => Some(*resource),
        _ => None,
    }
}
