//! What a unit of work leaves to its end: what nothing in it reads. All of it takes one turn with the database.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sea_orm::{DbBackend, DbErr, ExecResult, Statement, Value, Values};
use uuid::Uuid;

use super::{
    rows::{ForEach, RowUpdate, Rows, Text},
    statements::Statements,
};

/// The most insertions that are one statement: PostgreSQL limits its parameters.
const TOGETHER: usize = 8;

/// The most that is left before it is run.
const TURN: usize = 32;

/// What was left to the end.
pub(super) struct AtEnd {
    pieces: Mutex<Vec<Piece>>,
    /// Who is told of what is so run.
    pub(super) statements: Arc<Statements>,
}

/// What was left at once.
#[derive(Clone)]
pub(super) enum Piece {
    Insertion(Rows),
    /// The claim of the unit of work, which names this resource: where the row is there already, the unit is refused.
    Claim(Uuid, Rows),
    /// An update that changes so many rows, if that is known: one, in a group of PostgreSQL.
    Update(RowUpdate, Option<u64>),
    /// A statement about a row of values. SQLite's alone.
    ForEach(ForEach),
    /// A statement that changes so many rows, if that is known. SQLite's alone: the parts of a statement of PostgreSQL do not see what
    /// the others change.
    Change(Statement, Option<u64>),
}

/// A statement, and how many rows it changes, if that is known.
pub(super) type Judged = (Statement, Option<u64>);

impl Piece {
    /// The statement for it alone.
    pub(super) fn statement(self, backend: DbBackend) -> Statement {
        match self {
            Self::Insertion(rows) | Self::Claim(_, rows) => rows.statement(backend),
            Self::Update(update, _) => update.statement(backend),
            Self::ForEach(statement) => statement.statement(1),
            Self::Change(statement, _) => statement,
        }
    }

    /// The same, with how many rows it changes, if that is known.
    pub(super) fn judged(self, backend: DbBackend) -> Judged {
        let rows = match &self {
            Self::Update(_, rows) | Self::Change(_, rows) => *rows,
            Self::Insertion(_) | Self::Claim(..) | Self::ForEach(_) => None,
        };
        (self.statement(backend), rows)
    }
}

impl AtEnd {
    /// `statements` are told of each piece, as whoever left it here wrote it.
    pub(super) fn new(statements: &Arc<Statements>) -> Self {
        Self { pieces: Mutex::default(), statements: Arc::clone(statements) }
    }

    pub(super) fn push(&self, backend: DbBackend, piece: Piece) {
        self.statements.tell_of(|| piece.clone().statement(backend));
        self.pieces().push(piece);
    }

    /// Whether so much was left that it is to be run: a turn is one text, which SQLite limits, and is kept prepared.
    pub(super) fn is_full(&self) -> bool {
        self.pieces().len() >= TURN
    }

    /// Whether anything was left that is more than rows to insert.
    pub(super) fn has_changes(&self) -> bool {
        self.pieces().iter().any(|piece| !matches!(piece, Piece::Insertion(_) | Piece::Claim(..)))
    }

    /// Whether anything was left that cannot be written together with what others left.
    pub(super) fn is_by_itself(&self) -> bool {
        self.pieces().iter().any(|piece| matches!(piece, Piece::Change(..)))
    }

    /// The claim, if that is the first that was left.
    pub(super) fn take_claim(&self) -> Option<(Uuid, Rows)> {
        take_claim(&mut self.pieces())
    }

    pub(super) fn take(&self) -> Vec<Piece> {
        std::mem::take(&mut self.pieces())
    }

    fn pieces(&self) -> MutexGuard<'_, Vec<Piece>> {
        self.pieces.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The claim, if that is the first of these.
pub(super) fn take_claim(pieces: &mut Vec<Piece>) -> Option<(Uuid, Rows)> {
    let Some(Piece::Claim(resource, rows)) = pieces.first() else { return None };
    let claim = (*resource, rows.clone());
    pieces.remove(0);
    Some(claim)
}

/// The statements of PostgreSQL for what was left: one for several insertions that do not depend on each other.
pub(super) fn together(pieces: Vec<Piece>) -> Vec<Statement> {
    let (mut insertions, mut statements) = (Vec::new(), Vec::new());
    for piece in pieces {
        match piece {
            Piece::Insertion(rows) | Piece::Claim(_, rows) => insertions.push(rows),
            piece => statements.push(piece.statement(DbBackend::Postgres)),
        }
    }
    while !insertions.is_empty() {
        let others = insertions.split_off(insertions.len().min(TOGETHER));
        statements.push(parts_of_one(std::mem::replace(&mut insertions, others)));
    }
    statements
}

/// One insertion, of which the others are parts.
fn parts_of_one(insertions: Vec<Rows>) -> Statement {
    let mut text = Text::new(DbBackend::Postgres);
    let last = insertions.len().saturating_sub(1);
    for (index, rows) in insertions.into_iter().enumerate() {
        match index {
            0 if last == 0 => {}
            0 => text.push("WITH part_0 AS ("),
            index if index == last => text.push(") "),
            index => text.push(&format!("), part_{index} AS (")),
        }
        rows.write(&mut text);
    }
    text.statement()
}

/// Statements of SQLite that take one turn with its thread.
#[derive(Default)]
pub(super) struct Turn {
    sql: String,
    values: Vec<Value>,
    /// How many rows each changes, if that is known.
    rows: Vec<Option<u64>>,
}

impl Turn {
    /// Adds the statements for what was left.
    pub(super) fn add_left(&mut self, pieces: Vec<Piece>) {
        for piece in pieces {
            self.add(piece.judged(DbBackend::Sqlite));
        }
    }

    /// Adds a statement.
    pub(super) fn add(&mut self, (statement, rows): Judged) {
        let values = statement.values.map(|values| values.0).unwrap_or_default();
        let (sql, values) = in_order(statement.sql, values);
        if !self.rows.is_empty() {
            self.sql.push_str("; ");
        }
        self.sql.push_str(&sql);
        self.values.extend(values);
        self.rows.push(rows);
    }

    /// Adds a statement without values.
    pub(super) fn add_text(&mut self, sql: &str) {
        self.add((Statement::from_string(DbBackend::Sqlite, sql), None));
    }

    /// All of them, where there are any.
    pub(super) fn statement(&mut self) -> Option<Statement> {
        let (sql, values) = (std::mem::take(&mut self.sql), Values(std::mem::take(&mut self.values)));
        (!self.rows.is_empty()).then(|| Statement { sql, values: Some(values), db_backend: DbBackend::Sqlite })
    }

    /// Whether it is said of any of them how many rows it changes.
    pub(super) fn is_judged(&self) -> bool {
        self.rows.iter().any(Option::is_some)
    }

    /// Fails where one of them changed another number of rows than it was to.
    pub(super) fn judge(&self, done: &[ExecResult]) -> Result<(), DbErr> {
        let is_other =
            |(wanted, done): (&Option<u64>, &ExecResult)| wanted.is_some_and(|rows| rows != done.rows_affected());
        match self.rows.iter().zip(done).any(is_other) {
            true => Err(DbErr::RecordNotUpdated),
            false => Ok(()),
        }
    }
}

/// A statement that asks for its values in their order, as `?`: by their numbers (`$1`), it would ask for those of the turn.
fn in_order(sql: String, values: Vec<Value>) -> (String, Vec<Value>) {
    if !sql.contains('$') {
        return (sql, values);
    }
    let mut parts = sql.split('$');
    let mut ordered = (parts.next().unwrap_or_default().to_owned(), Vec::new());
    for part in parts {
        let digits = part.len() - part.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, rest) = part.split_at(digits);
        let value = number.parse().ok().and_then(|number: usize| values.get(number.checked_sub(1)?));
        match value {
            Some(value) => {
                ordered.0.push('?');
                ordered.1.push(value.clone());
            }
            None => {
                ordered.0.push('$');
                ordered.0.push_str(number);
            }
        }
        ordered.0.push_str(rest);
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_a_turn_each_statement_has_its_own_values() {
        let of = |sql: &str, values: &[i64]| {
            Statement::from_sql_and_values(DbBackend::Sqlite, sql, values.iter().map(|value| Value::from(*value)))
        };
        let mut turn = Turn::default();
        turn.add((of("UPDATE a SET b = ? WHERE c = ?", &[1, 2]), Some(1)));
        turn.add_text("RELEASE d");
        turn.add((of("UPDATE e SET f = $2, g = $1 WHERE f <> $2 AND h = '$'", &[3, 4]), None));
        turn.add((of("DELETE FROM i WHERE j = ?", &[5]), None));
        let statement = turn.statement().expect("there are statements in it");
        assert_eq!(
            statement.sql,
            "UPDATE a SET b = ? WHERE c = ?; RELEASE d; UPDATE e SET f = ?, g = ? WHERE f <> ? AND h = '$'; \
             DELETE FROM i WHERE j = ?"
        );
        let values: Vec<Value> = [1_i64, 2, 4, 3, 4, 5].map(Value::from).into();
        assert_eq!(statement.values, Some(Values(values)));
    }
}
