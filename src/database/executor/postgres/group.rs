//! Groups: several units of work, one transaction.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use sea_orm::{DbBackend, DbErr, QueryResult};
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    committer::{Committer, FIRST_LOCK_TIMEOUT, begin},
    member::{Fate, Member},
};
use crate::{
    database::{
        arrays::{self, ArrayStatement},
        fair_queue::FairQueue,
        party::Party,
        pool::PooledConnection,
        rows::Rows,
        seat::{RowKey, Wish},
    },
    error::Error,
};

/// The most units of work that wait. Beyond that, the last one of the tenant that has most of them is answered 503.
const QUEUE_SIZE: usize = 4096;
/// The most that share a transaction.
const SIZE: usize = 16;
/// Of how many connections one is for a group: one group writes while others wait for the disk, and some connections are left to those
/// who need one for themselves.
const CONNECTIONS: usize = 8;

/// Runs units of work in groups.
pub(super) struct Groups {
    committer: Arc<Committer>,
    /// How many there are at once.
    most: usize,
    state: Mutex<State>,
}

struct State {
    waiting: FairQueue<Member>,
    running: usize,
}

/// The rows that a group has locked: whether they are only kept from being deleted.
type Held = HashMap<RowKey, bool>;

impl Groups {
    pub(super) fn new(committer: Arc<Committer>, connections: usize) -> Self {
        let state = State { waiting: FairQueue::new(QUEUE_SIZE), running: 0 };
        Self { committer, most: (connections / CONNECTIONS).max(1), state: Mutex::new(state) }
    }

    /// Puts a unit of work into its party's line: whether a group more is to be run, and what has no place.
    fn push(&self, member: Member) -> (bool, Option<Member>) {
        let mut state = self.state();
        let party = member.scope.party.clone();
        let displaced = state.waiting.push(&party, member);
        let begins = state.running < self.most && !state.waiting.is_empty();
        state.running += usize::from(begins);
        (begins, displaced)
    }

    /// The units of the next group. Where there are none, no group is run any more.
    fn next(&self) -> Vec<Member> {
        let mut state = self.state();
        let members = std::iter::from_fn(|| state.waiting.pop_if(|_| true)).map(|(_, member)| member);
        let members: Vec<Member> = members.filter(Member::is_taken_up).take(SIZE).collect();
        state.running -= usize::from(members.is_empty());
        members
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a unit of work into a group.
    pub(super) fn join(self: &Arc<Self>, member: Member) {
        let (begins, displaced) = self.push(member);
        if let Some(displaced) = displaced {
            self.committer.metrics.writers.turned_away.inc();
            displaced.answer(Fate::Failed(Error::contention("too many changes are waiting")));
        }
        if begins {
            let groups = Arc::clone(self);
            tokio::spawn(async move { groups.run().await });
        }
    }

    async fn run(&self) {
        loop {
            let mut members = self.next();
            if members.is_empty() {
                return;
            }
            let mut claimed = Vec::new();
            let fate = self.commit_together(&mut members, &mut claimed).await;
            members.into_iter().for_each(|member| member.answer(fate.clone()));
            // Whose claim is there already may owe that to another unit of the group, and looks for it once it is committed.
            let refused = if let Fate::Committed = fate { Fate::Failed(Error::claimed()) } else { fate };
            claimed.into_iter().for_each(|member| member.answer(refused.clone()));
        }
    }

    /// One transaction for what of these can share one. Those who cannot, or are refused by what they read, are told so and are gone from
    /// here. Those whose claims are there already are `claimed` in the end.
    async fn commit_together(&self, members: &mut Vec<Member>, claimed: &mut Vec<Member>) -> Fate {
        let deadlines = members.iter().map(|member| member.scope.deadline);
        let Some(deadline) = deadlines.min_by_key(|deadline| deadline.for_statements()) else { return Fate::Undone };
        let until = deadline.for_statements();
        let Ok(mut connection) = self.committer.pool.get(&Party::Several, until).await else { return Fate::Undone };
        let begun = connection.begin(&begin(deadline, FIRST_LOCK_TIMEOUT), until, &self.committer.steps).await;
        if begun.is_err() {
            return Fate::Undone;
        }
        members.iter_mut().for_each(Member::begins);
        let written = self.write(&mut connection, (members, claimed), until).await;
        if let Err(error) = &written {
            tracing::debug!(%error, "the changes of a group are run by themselves");
        }
        if written.is_err() || members.is_empty() || deadline.has_passed() {
            if connection.is_trusted() {
                // A connection on which this fails is closed, which rolls back its transaction too.
                let _closed = connection.rollback(deadline.for_answer()).await;
            }
            // Nobody else of the group can have the claims of those that are left.
            let all_are_claimed = written.is_ok() && members.is_empty();
            return if all_are_claimed { Fate::Committed } else { Fate::Undone };
        }
        let _spans: Vec<_> = members.iter().map(Member::commits).collect();
        let scopes: Vec<_> = members.iter().map(|member| &*member.scope).collect();
        match self.committer.commit(&mut connection, &scopes, deadline.for_answer()).await {
            Ok(()) => Fate::Committed,
            // The server answered, with a refusal: nothing is committed.
            Err(_) if connection.is_trusted() => Fate::Undone,
            Err(error) => {
                self.committer.metrics.write_failures.inc();
                Fate::Failed(Error::outcome_unknown(error))
            }
        }
    }

    /// Does what the units want, and refuses those who cannot have it.
    async fn write(
        &self,
        connection: &mut PooledConnection,
        (members, claimed): (&mut Vec<Member>, &mut Vec<Member>),
        until: Instant,
    ) -> Result<(), DbErr> {
        self.lock_rows(connection, members, until).await?;
        // One by itself is judged by the insertion of its claim.
        if members.len() > 1 {
            *claimed = self.claim(connection, members, until).await?;
        }
        let pieces: Vec<_> = members.iter().map(Member::pieces).collect();
        let told = &connection.statements;
        pieces.iter().flatten().for_each(|piece| told.tell_of(|| piece.clone().statement(DbBackend::Postgres)));
        for statement in arrays::together(pieces).ok_or_else(without_array)? {
            let wanted = statement.updates;
            let rows = self.query(connection, statement, until).await?;
            let updated = rows.first().map_or(Ok(0), |row| row.try_get_by_index::<i64>(0))?;
            if updated != wanted {
                return Err(DbErr::RecordNotUpdated);
            }
        }
        Ok(())
    }

    /// Inserts the claims of the units, and takes out those whose claims are there already.
    async fn claim(
        &self,
        connection: &mut PooledConnection,
        members: &mut Vec<Member>,
        until: Instant,
    ) -> Result<Vec<Member>, DbErr> {
        let (resources, claims): (Vec<Option<Uuid>>, Vec<Option<Rows>>) =
            members.iter().map(|member| member.claim().unzip()).unzip();
        let claims: Vec<Rows> = claims.into_iter().flatten().collect();
        if claims.is_empty() {
            return Ok(Vec::new());
        }
        let told = &connection.statements;
        claims.iter().for_each(|claim| told.tell_of(|| claim.clone().statement(DbBackend::Postgres)));
        let statement = arrays::claims(claims).ok_or_else(without_array)?;
        let rows = self.query(connection, statement, until).await?;
        let claimed = rows.iter().map(|row| row.try_get_by_index(0)).collect::<Result<HashSet<Uuid>, _>>()?;
        let all = std::mem::take(members).into_iter().zip(resources);
        let (accepted, refused): (Vec<_>, Vec<_>) =
            all.partition(|(_, resource)| resource.is_none_or(|resource| claimed.contains(&resource)));
        members.extend(accepted.into_iter().map(|(member, _)| member));
        Ok(refused.into_iter().map(|(member, _)| member).collect())
    }

    /// Locks the rows that the units want, and lets them go on with these, until they want no more.
    async fn lock_rows(
        &self,
        connection: &mut PooledConnection,
        members: &mut Vec<Member>,
        until: Instant,
    ) -> Result<(), DbErr> {
        let mut held = Held::new();
        loop {
            let mut wishes: Vec<Wish> = members.iter().filter_map(|member| member.seat.wish()).collect();
            if wishes.is_empty() {
                break;
            }
            // Without its row, a unit leaves as it goes on.
            wishes.retain(|wish| may_lock(&mut held, wish));
            wishes.sort_by(|one, other| one.statement.sql.cmp(&other.statement.sql));
            while let Some(first) = wishes.first() {
                let alike = wishes.iter().take_while(|wish| wish.statement.sql == first.statement.sql).count();
                let others = wishes.split_off(alike);
                self.grant(connection, std::mem::replace(&mut wishes, others), until).await?;
            }
            for member in members.iter_mut() {
                member.advance().await;
            }
        }
        *members = std::mem::take(members).into_iter().filter_map(|member| member.staying(false)).collect();
        Ok(())
    }

    /// Locks rows that are wanted by statements which differ in their values alone.
    async fn grant(&self, connection: &mut PooledConnection, wishes: Vec<Wish>, until: Instant) -> Result<(), DbErr> {
        let statements: Vec<_> = wishes.iter().map(|wish| &wish.statement).collect();
        statements.iter().for_each(|statement| connection.statements.tell(statement));
        let statement = arrays::each_of(&statements).ok_or_else(without_array)?;
        let mut wishes: Vec<_> = wishes.into_iter().map(Some).collect();
        for row in self.query(connection, statement, until).await? {
            if let Some(wish) = arrays::place(&row)?.and_then(|place| wishes.get_mut(place)?.take()) {
                wish.grant(row);
            }
        }
        Ok(())
    }

    /// A step of the transaction.
    async fn query(
        &self,
        connection: &mut PooledConnection,
        statement: ArrayStatement,
        until: Instant,
    ) -> Result<Vec<QueryResult>, DbErr> {
        let failure = connection.take_step(&self.committer.steps)?;
        let rows = connection.query_arrays(statement, until).await?;
        connection.fail(failure).map(|()| rows)
    }
}

fn without_array() -> DbErr {
    DbErr::Type("a value of a type without arrays".to_owned())
}

/// Whether a unit may lock this row beside the others of its group: they do not wait for each other, as they would by themselves.
fn may_lock(held: &mut Held, wish: &Wish) -> bool {
    let is_shared = wish.is_shared();
    match held.get(&wish.key) {
        Some(others) => *others && is_shared,
        None => {
            held.insert(wish.key.clone(), is_shared);
            true
        }
    }
}
