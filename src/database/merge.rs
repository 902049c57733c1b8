//! What several units of work of SQLite write alike, as statements with the rows of all of them.

use sea_orm::{DbBackend, Statement};

use super::{
    at_end::Piece,
    rows::{ForEach, RowUpdate, Rows, Text},
};

/// A statement, and how many rows it changes, if that is known.
type Judged = (Statement, Option<u64>);

/// The statements for what units of work left, which do not depend on each other: those that are run at once, for units that write alike.
pub(super) fn merged(units: impl IntoIterator<Item = Vec<Piece>>) -> Vec<Vec<Judged>> {
    let mut alike = Vec::<Vec<Vec<Piece>>>::new();
    for pieces in units {
        let takes = |others: &&mut Vec<Vec<Piece>>| others.first().is_some_and(|first| are_alike(first, &pieces));
        match alike.iter_mut().find(takes) {
            Some(others) => others.push(pieces),
            None => alike.push(vec![pieces]),
        }
    }
    alike.into_iter().flat_map(by_powers_of_two).map(statements).collect()
}

/// The statements for claims, which return the resources of those that were not there already.
pub(super) fn claims(claims: Vec<Rows>) -> impl Iterator<Item = Statement> {
    by_powers_of_two(claims).into_iter().filter_map(|claims| {
        let mut text = Text::new(DbBackend::Sqlite);
        claims.into_iter().reduce(Rows::and)?.if_absent().write(&mut text);
        text.push(r#" RETURNING "resource_id""#);
        Some(text.statement())
    })
}

/// These, in parts of which there are few lengths: each makes a text, and those are kept prepared.
fn by_powers_of_two<T>(mut all: Vec<T>) -> Vec<Vec<T>> {
    let mut parts = Vec::new();
    while let Some(power) = all.len().checked_ilog2() {
        let others = all.split_off(1 << power);
        parts.push(std::mem::replace(&mut all, others));
    }
    parts
}

/// Whether two units differ in nothing but values.
fn are_alike(one: &[Piece], other: &[Piece]) -> bool {
    let is_like = |(one, other): (&Piece, &Piece)| match (one, other) {
        (Piece::Insertion(one), Piece::Insertion(other)) => one.is_like(other),
        (Piece::Update(one, rows), Piece::Update(other, others)) => rows == others && one.is_like(other),
        (Piece::ForEach(one), Piece::ForEach(other)) => one.sql == other.sql,
        _ => false,
    };
    one.len() == other.len() && one.iter().zip(other).all(is_like)
}

/// What units that are alike write with their pieces at one place.
enum Merged {
    Insertion(Rows),
    Updates(Vec<RowUpdate>, Option<u64>),
    ForEach(ForEach),
    /// What one unit writes that is not like others.
    Alone(Piece),
}

impl Merged {
    fn of(piece: Piece) -> Self {
        match piece {
            Piece::Insertion(rows) => Self::Insertion(rows),
            Piece::Update(update, rows) => Self::Updates(vec![update], rows),
            Piece::ForEach(statement) => Self::ForEach(statement),
            other => Self::Alone(other),
        }
    }

    /// The same, with a piece that is like those in it.
    fn and(self, piece: Piece) -> Self {
        match (self, piece) {
            (Self::Insertion(rows), Piece::Insertion(more)) => Self::Insertion(rows.and(more)),
            (Self::ForEach(statement), Piece::ForEach(more)) => Self::ForEach(statement.and(more)),
            (Self::Updates(mut updates, rows), Piece::Update(more, _)) => {
                updates.push(more);
                Self::Updates(updates, rows)
            }
            (merged, _) => merged,
        }
    }

    fn statement(self) -> Option<Judged> {
        match self {
            Self::Insertion(rows) => Some((rows.statement(DbBackend::Sqlite), None)),
            Self::ForEach(statement) => Some((statement.statement(), None)),
            Self::Updates(mut updates, rows) if updates.len() == 1 => {
                Some((updates.pop()?.statement(DbBackend::Sqlite), rows))
            }
            Self::Updates(updates, rows) => {
                let rows = rows.map(|rows| rows * updates.len() as u64);
                Some((RowUpdate::all(updates)?, rows))
            }
            Self::Alone(piece) => Some((piece.statement(DbBackend::Sqlite), None)),
        }
    }
}

/// The statements for units that are alike.
fn statements(units: Vec<Vec<Piece>>) -> Vec<Judged> {
    let mut units = units.into_iter();
    let first: Vec<Merged> = units.next().into_iter().flatten().map(Merged::of).collect();
    let add =
        |all: Vec<Merged>, pieces: Vec<Piece>| all.into_iter().zip(pieces).map(|(all, piece)| all.and(piece)).collect();
    units.fold(first, add).into_iter().filter_map(Merged::statement).collect()
}
