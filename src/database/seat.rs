//! The place of a unit of work in a group of PostgreSQL, whose transaction may not have begun yet: it asks for the rows that it locks,
//! and leaves what it writes to its end. A unit that wants more than that leaves the group.

use std::{
    any::TypeId,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use sea_orm::{DbErr, QueryResult, Statement, sea_query::LockType};
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::values::Tenant;

/// A row, whoever it belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct RowKey {
    pub(super) entity: TypeId,
    pub(super) tenant: Tenant,
    pub(super) id: Uuid,
}

/// A row that a unit of work wants, locked.
pub(super) struct Wish {
    pub(super) key: RowKey,
    pub(super) lock: LockType,
    /// Reads it, unless somebody else has locked it.
    pub(super) statement: Statement,
    row: oneshot::Sender<QueryResult>,
}

/// The place of a unit of work in a group.
#[derive(Default)]
pub(super) struct Seat {
    wish: Mutex<Option<Wish>>,
    leaves: AtomicBool,
    /// Whether the group has taken it up, or its caller has given it up, whichever came first.
    is_settled: AtomicBool,
}

impl Seat {
    /// The group takes the unit up, or its caller gives it up: `false` where the other one has done so.
    pub(super) fn settle(&self) -> bool {
        !self.is_settled.swap(true, Ordering::SeqCst)
    }

    /// Asks the group for a row.
    ///
    /// # Errors
    /// It is not there, or somebody else has it: the unit leaves the group.
    pub(super) async fn lock(&self, key: RowKey, lock: LockType, statement: Statement) -> Result<QueryResult, DbErr> {
        let (row, receiver) = oneshot::channel();
        *self.wish.lock().unwrap_or_else(PoisonError::into_inner) = Some(Wish { key, lock, statement, row });
        receiver.await.map_err(|_| self.leave())
    }

    /// What is asked for, once.
    pub(super) fn wish(&self) -> Option<Wish> {
        self.wish.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Whether anything is asked for.
    pub(super) fn has_wish(&self) -> bool {
        self.wish.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// The unit must run by itself, whatever it makes of this error.
    pub(super) fn leave(&self) -> DbErr {
        self.leaves.store(true, Ordering::Relaxed);
        DbErr::Custom("what a unit of work in a group cannot do".to_owned())
    }

    /// Whether it must.
    pub(super) fn leaves(&self) -> bool {
        self.leaves.load(Ordering::Relaxed)
    }
}

impl Wish {
    /// Whether two units may have the row at once.
    pub(super) fn is_shared(&self) -> bool {
        matches!(self.lock, LockType::KeyShare | LockType::Share)
    }

    /// Gives the row to the unit, which goes on when it is polled.
    pub(super) fn grant(self, row: QueryResult) {
        // A unit that is gone wants nothing any more.
        let _gone = self.row.send(row);
    }
}
