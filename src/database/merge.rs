//! What several units of work of SQLite write alike, as statements with the rows of all of them.

use sea_orm::{DbBackend, Statement};
use uuid::Uuid;

use super::{
    at_end::{Judged, Piece},
    rows::{ForEach, RowUpdate, Rows, Text},
};

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
    alike.into_iter().flat_map(Among::powers_of_two).map(statements).collect()
}

/// The statements for claims: each fails where one of them is there already.
pub(super) fn claims(claims: Vec<(Uuid, Rows)>) -> impl Iterator<Item = Claims> {
    Among::powers_of_two(claims).into_iter().filter_map(|Among { all, places }| {
        let (resources, rows): (Vec<_>, Vec<_>) = all.into_iter().unzip();
        Some(Claims { resources, rows: rows.into_iter().reduce(Rows::and)?, places })
    })
}

/// Claims that are written by one statement.
pub(super) struct Claims {
    /// The resources that they name.
    pub(super) resources: Vec<Uuid>,
    rows: Rows,
    places: usize,
}

impl Claims {
    /// The statement that inserts all of them.
    pub(super) fn all(&self) -> Statement {
        self.written(self.rows.clone()).statement()
    }

    /// The statement that inserts those that are not there already, and returns the resources that these name.
    pub(super) fn absent(&self) -> Statement {
        let mut text = self.written(self.rows.clone().if_absent());
        text.push(r#" RETURNING "resource_id""#);
        text.statement()
    }

    fn written(&self, rows: Rows) -> Text {
        let mut text = Text::new(DbBackend::Sqlite);
        rows.write_among(&mut text, self.places);
        text
    }
}

/// What has places in one statement, and how many places that has.
struct Among<T> {
    all: Vec<T>,
    places: usize,
}

impl<T> Among<T> {
    /// Distributes all among statements of 1, 2, 4, 8 … places: each of these is a text, and those are kept prepared. Where more than a quarter of
    /// the places would be empty, fewer are taken.
    fn powers_of_two(mut all: Vec<T>) -> Vec<Self> {
        let mut parts = Vec::new();
        while !all.is_empty() {
            let enough = all.len().next_power_of_two();
            let places = if all.len() * 4 >= enough * 3 { enough } else { enough / 2 };
            let others = all.split_off(places.min(all.len()));
            parts.push(Self { all: std::mem::replace(&mut all, others), places });
        }
        parts
    }
}

/// How many values of a unit have places among those of others: a statement of SQLite takes 32,766 in all, and a group has 64 units.
const MOST: usize = 256;

/// Whether two units differ in nothing but values, of which they have few.
fn are_alike(one: &[Piece], other: &[Piece]) -> bool {
    let is_like = |(one, other): (&Piece, &Piece)| match (one, other) {
        (Piece::Insertion(one), Piece::Insertion(other)) => one.is_like(other) && one.values.len() <= MOST,
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
}

impl Merged {
    /// `None` of what is [like](are_alike) nothing.
    fn of(piece: Piece) -> Option<Self> {
        match piece {
            Piece::Insertion(rows) => Some(Self::Insertion(rows)),
            Piece::Update(update, rows) => Some(Self::Updates(vec![update], rows)),
            Piece::ForEach(statement) => Some(Self::ForEach(statement)),
            Piece::Claim(..) | Piece::Change(..) => None,
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

    /// The statement for what so many units write, with places for more.
    fn statement(self, units: usize, places: usize) -> Option<Judged> {
        match self {
            Self::Insertion(rows) => {
                let mut text = Text::new(DbBackend::Sqlite);
                let rows_of_each = rows.count() / units.max(1);
                rows.write_among(&mut text, rows_of_each * places);
                Some((text.statement(), None))
            }
            Self::ForEach(statement) => Some((statement.statement(places), None)),
            Self::Updates(updates, rows) => {
                let rows = rows.map(|rows| rows * updates.len() as u64);
                Some((RowUpdate::all(updates, places)?, rows))
            }
        }
    }
}

/// The statements for units that are alike, or for one by itself.
fn statements(Among { all, places }: Among<Vec<Piece>>) -> Vec<Judged> {
    if places == 1 {
        return all.into_iter().flatten().map(|piece| piece.judged(DbBackend::Sqlite)).collect();
    }
    let (count, mut units) = (all.len(), all.into_iter());
    let first: Vec<Merged> = units.next().into_iter().flatten().filter_map(Merged::of).collect();
    let add =
        |all: Vec<Merged>, pieces: Vec<Piece>| all.into_iter().zip(pieces).map(|(all, piece)| all.and(piece)).collect();
    units.fold(first, add).into_iter().filter_map(|merged| merged.statement(count, places)).collect()
}

#[cfg(test)]
mod tests {
    use sea_orm::Value;

    use super::*;

    fn row(id: i64) -> Piece {
        Piece::Insertion(Rows::row("a", [("id", id.into()), ("b", Value::from("x"))]))
    }

    fn update(id: i64) -> Piece {
        Piece::Update(RowUpdate::row("c", vec![("d", "y".into())], vec![("id", id.into())]), Some(1))
    }

    fn texts(units: Vec<Vec<Piece>>) -> Vec<Vec<(String, usize, Option<u64>)>> {
        let text =
            |(statement, rows): Judged| (statement.sql, statement.values.map_or(0, |values| values.0.len()), rows);
        merged(units).into_iter().map(|statements| statements.into_iter().map(text).collect()).collect()
    }

    #[test]
    fn units_that_write_alike_share_statements_with_a_place_for_each() {
        let other = || vec![Piece::ForEach(ForEach::of(["DELETE FROM e WHERE f IN (", ")"], [1_i64.into()]))];
        let units = vec![vec![row(1), update(1)], other(), vec![row(2), update(2)], vec![row(3), update(3)], other()];
        let insert = r#"INSERT INTO "a" ("id", "b") SELECT column2, column3 FROM (VALUES (?, ?, ?), (?, ?, ?), (?, ?, ?), (?, ?, ?)) WHERE column1"#;
        let change = r#"UPDATE "c" AS t SET "d" = v.column1 FROM (VALUES (?, ?), (?, ?), (?, ?), (?, ?)) AS v WHERE t."id" = v.column2"#;
        let delete = "DELETE FROM e WHERE f IN (VALUES (?), (?))";
        // The fourth place is empty.
        let first = vec![(insert.to_owned(), 12, None), (change.to_owned(), 8, Some(3))];
        assert_eq!(texts(units), [first, vec![(delete.to_owned(), 2, None)]]);
    }

    #[test]
    fn what_one_writes_by_itself_is_written_as_it_was_left() {
        let insert = r#"INSERT INTO "a" ("id", "b") VALUES (?, ?)"#;
        let change = r#"UPDATE "c" SET "d" = ? WHERE "id" = ?"#;
        let expected = [vec![(insert.to_owned(), 2, None), (change.to_owned(), 2, Some(1))]];
        assert_eq!(texts(vec![vec![row(1), update(1)]]), expected);
    }

    #[test]
    fn many_rows_of_one_unit_are_written_by_themselves() {
        let rows = |rows: usize| {
            let values = (0..rows as i64).flat_map(|id| [id.into(), Value::from("x")]).collect();
            let row = Rows::row("a", [("id", 0_i64.into()), ("b", Value::from("x"))]);
            vec![Piece::Insertion(Rows { values, ..row })]
        };
        assert_eq!(merged([rows(MOST / 2), rows(MOST / 2)]).len(), 1);
        assert_eq!(merged([rows(MOST / 2 + 1), rows(MOST / 2 + 1)]).len(), 2);
    }

    #[test]
    fn no_more_than_a_quarter_of_the_places_is_empty() {
        for count in 1..100 {
            let parts = Among::powers_of_two((0..count).collect());
            assert_eq!(parts.iter().flat_map(|part| &part.all).copied().collect::<Vec<_>>(), Vec::from_iter(0..count));
            for Among { all, places } in parts {
                assert!(places.is_power_of_two() && all.len() <= places && all.len() * 4 >= places * 3, "{count}");
            }
        }
    }

    #[test]
    fn claims_are_inserted_all_or_those_that_are_absent() {
        let claim = |id: i64| (Uuid::max(), Rows::row("k", [("id", id.into())]));
        let claims: Vec<_> = claims(vec![claim(1), claim(2)]).collect();
        let [claims] = claims.as_slice() else { panic!("one statement is enough") };
        let insert = r#"INSERT INTO "k" ("id") SELECT column2 FROM (VALUES (?, ?), (?, ?)) WHERE column1"#;
        assert_eq!(claims.all().sql, insert);
        assert_eq!(claims.absent().sql, format!(r#"{insert} ON CONFLICT DO NOTHING RETURNING "resource_id""#));
    }
}
