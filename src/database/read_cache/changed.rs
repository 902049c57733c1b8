//! What a unit of work changes of what is kept in memory: [`Changed`].

use std::collections::HashSet;

use uuid::Uuid;

use super::kept::{Kept, RowKey};
use crate::{database::tenancy::Listed, values::Tenant};

/// What a unit of work changes: the rows that it says, and all where it writes to their table without saying which.
#[derive(Default)]
pub(in crate::database) struct Changed {
    pub(super) rows: Vec<RowKey>,
    /// Those that are as they were written here.
    pub(super) written_whole: Vec<(RowKey, Kept)>,
    /// The tables that these are of.
    pub(super) whole_in: HashSet<&'static str>,
    /// Those of whom any row may be hidden or changed.
    pub(super) tenants: Vec<Tenant>,
    /// The tables that were written to.
    tables: Vec<String>,
    /// Whether the next statement writes what was said.
    said: bool,
    /// Whether anything was written.
    written: bool,
    /// Whether what was written is in no page of a list.
    beside_lists: bool,
}

impl Changed {
    /// The next statement that writes changes these rows.
    pub(in crate::database) fn say(&mut self, tenant: &Tenant, ids: impl IntoIterator<Item = Uuid>) {
        for id in ids {
            let row = (tenant.clone(), id);
            self.written_whole.retain(|(written, _)| *written != row);
            self.rows.push(row);
        }
        self.said = true;
    }

    /// The tenant's row with this id is as it is here, once all is committed.
    pub(in crate::database) fn say_whole<E: Listed>(&mut self, tenant: &Tenant, id: Uuid, row: &E::Model) {
        self.whole_in.insert(E::default().table_name());
        self.written_whole.push(((tenant.clone(), id), Kept::row::<E>(row)));
    }

    /// What is seen of any of the tenant's rows may change.
    pub(in crate::database) fn say_all(&mut self, tenant: &Tenant) {
        self.written_whole.retain(|((of, _), _)| of != tenant);
        self.tenants.push(tenant.clone());
    }

    /// What is written is in no page of a list.
    pub(in crate::database) fn say_no_list(&mut self) {
        self.beside_lists = true;
    }

    /// What was said is of rows that are inserted, which nobody has read.
    pub(in crate::database) fn inserts(&mut self) {
        self.said = false;
        self.written = true;
    }

    /// This statement writes.
    pub(in crate::database) fn note(&mut self, sql: &str) {
        self.note_table(written_table(sql).unwrap_or_default());
    }

    /// This table is written to.
    pub(in crate::database) fn note_table(&mut self, table: &str) {
        self.written = true;
        if !std::mem::take(&mut self.said) {
            self.tables.push(table.to_owned());
        }
    }

    /// Whether pages of lists may have changed.
    pub(super) fn changes_lists(&self) -> bool {
        self.written && !self.beside_lists
    }

    /// Whether this row of one of these tables may be changed.
    pub(super) fn may_change(&self, row: &RowKey, tables: &HashSet<&'static str>) -> bool {
        self.is_unknown(tables) || self.rows.contains(row) || self.tenants.contains(&row.0)
    }

    /// Whether any row of this table may be changed.
    pub(super) fn writes_to(&self, table: &str) -> bool {
        self.tables.iter().any(|written| written == table)
    }

    /// Whether it is not known which of the rows of these tables are changed.
    pub(super) fn is_unknown(&self, kept: &HashSet<&'static str>) -> bool {
        self.tables.iter().any(|table| table.is_empty() || kept.contains(table.as_str()))
    }
}

/// The table that a statement changes rows of, or inserts rows into.
fn written_table(sql: &str) -> Option<&str> {
    let target = ["INSERT INTO ", "UPDATE ", "DELETE FROM "].iter().find_map(|verb| sql.strip_prefix(verb))?;
    target.trim_start_matches('"').split(['"', ' ', '(']).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_that_a_statement_writes_to_is_known() {
        for (sql, table) in [
            (r#"INSERT INTO "customers" ("id") VALUES (?)"#, Some("customers")),
            (r#"UPDATE "contacts" SET "name" = ?"#, Some("contacts")),
            (r#"DELETE FROM "follow_ups" WHERE true"#, Some("follow_ups")),
            ("WITH old AS (SELECT 1) DELETE FROM x", None),
            ("UPDATE contacts SET name = ?", Some("contacts")),
            ("INSERT INTO search_documents(tenant_id) VALUES (?)", Some("search_documents")),
        ] {
            assert_eq!(written_table(sql), table, "{sql}");
        }
    }
}
