//! Columns with personal data of one kind: what stores seal, open and look up by.

use std::marker::PhantomData;

use sea_orm::sea_query::{Alias, Condition, Expr, ExprTrait, Query, SelectStatement, UnionType};

use super::{
    cipher::PiiCipher,
    rule::PiiRule,
    stored::{PiiField, PiiLocation, PiiSlot, Sealed},
    value::Pii,
};
use crate::{
    error::Result,
    values::{Clearable, Tenant},
};

/// A column for personal data of the kind `R`.
#[derive(Debug)]
pub struct PiiColumn<R> {
    /// The column, whatever its kind.
    pub field: PiiField,
    kind: PhantomData<R>,
}

impl<R: PiiRule> PiiColumn<R> {
    /// The column `name` of a table, whose rows' ids are in `id`, with the blind index in `index`, again in `indexed`.
    #[must_use]
    pub const fn new(
        (table, id): (&'static str, &'static str),
        name: &'static str,
        (index, indexed): (&'static str, &'static str),
    ) -> Self {
        let (forms, lookups) = (R::forms, R::lookups);
        Self { field: PiiField { table, id, name, index, indexed, base: None, forms, lookups }, kind: PhantomData }
    }

    /// The same with a column for the blind index of what the value is without its extension.
    #[must_use]
    pub const fn with_base(mut self, base: &'static str) -> Self {
        self.field.base = Some(base);
        self
    }

    /// Puts a value into a row, in place of the one that is there.
    ///
    /// # Errors
    /// No randomness from the operating system.
    pub fn put(
        &self,
        cipher: &PiiCipher,
        location: PiiLocation<'_>,
        slot: PiiSlot<'_>,
        value: Option<Pii<R>>,
    ) -> Result<()> {
        let sealed = value.map(|value| cipher.seal(&self.field, location, value.reveal())).transpose()?;
        slot.put(sealed);
        Ok(())
    }

    /// The value that a row holds.
    ///
    /// # Errors
    /// Internal, where it does not open.
    pub fn open(&self, cipher: &PiiCipher, location: PiiLocation<'_>, sealed: &Sealed) -> Result<Pii<R>> {
        cipher.open(&self.field, location, sealed).map(Pii::stored)
    }

    /// Changes what a row holds, unless the field is absent or equal to the stored value, which sealed again would look
    /// changed.
    ///
    /// # Errors
    /// Internal, where the stored value does not open.
    pub fn apply(
        &self,
        cipher: &PiiCipher,
        location: PiiLocation<'_>,
        slot: PiiSlot<'_>,
        field: Clearable<Pii<R>>,
    ) -> Result<()> {
        let value = match field {
            Clearable::Absent => return Ok(()),
            Clearable::Null => None,
            Clearable::Value(value) => Some(value),
        };
        if let (Some(value), Some(sealed)) = (&value, &*slot.sealed)
            && self.open(cipher, location, sealed)?.reveal() == value.reveal()
        {
            return Ok(());
        }
        self.put(cipher, location, slot, value)
    }

    /// Which of the tenant's rows hold a value that is searched, and how their ids are found: their condition, and a query.
    ///
    /// # Errors
    /// None in practice: an index key can always be derived.
    pub(super) fn lookup(
        &self,
        cipher: &PiiCipher,
        tenant: &Tenant,
        searched: &Pii<R>,
    ) -> Result<(Condition, SelectStatement)> {
        let PiiField { table, id, index, indexed, base, .. } = self.field;
        let any = cipher.lookups(&self.field, tenant, searched.reveal())?;
        let column = |name: &'static str| Expr::col((Alias::new(table), Alias::new(name)));
        let rows = |found: Condition| -> SelectStatement {
            let of_tenant = column("tenant_id").eq(tenant.as_str());
            Query::select().expr(column(id)).from(table).and_where(of_tenant).cond_where(found).to_owned()
        };
        let full = Condition::all().add(column(index).is_in(any.clone()));
        let mut ids = rows(full.clone());
        let Some(base) = base else { return Ok((full, ids)) };
        let is_current = column(indexed).eq(column(index));
        let without_extension = Condition::all().add(column(base).is_in(any)).add(is_current);
        // Of two indexes, SQLite would take neither for an OR.
        ids.union(UnionType::Distinct, rows(without_extension.clone()));
        Ok((Condition::any().add(full).add(without_extension), ids))
    }
}
