//! Columns with personal data of one kind: what stores seal, open and look up by.

use std::marker::PhantomData;

use super::{
    cipher::PiiCipher,
    rule::PiiRule,
    stored::{BlindIndex, PiiField, PiiLocation, Sealed},
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
    /// The column `name` of `table`, with the blind index in `index`.
    #[must_use]
    pub const fn new(table: &'static str, name: &'static str, index: &'static str) -> Self {
        Self { field: PiiField { table, name, index, normalize: R::normalize }, kind: PhantomData }
    }

    /// What a row holds of a value, and its index.
    ///
    /// # Errors
    /// No randomness from the operating system.
    pub fn seal(
        &self,
        cipher: &PiiCipher,
        location: PiiLocation<'_>,
        value: Option<Pii<R>>,
    ) -> Result<(Option<Sealed>, Option<BlindIndex>)> {
        match value {
            Some(value) => cipher.seal(&self.field, location, value.reveal()).map(|(s, i)| (Some(s), Some(i))),
            None => Ok((None, None)),
        }
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
        field: Clearable<Pii<R>>,
        (sealed, index): (&mut Option<Sealed>, &mut Option<BlindIndex>),
    ) -> Result<()> {
        let value = match field {
            Clearable::Absent => return Ok(()),
            Clearable::Null => None,
            Clearable::Value(value) => Some(value),
        };
        if let (Some(value), Some(sealed)) = (&value, &*sealed)
            && self.open(cipher, location, sealed)?.reveal() == value.reveal()
        {
            return Ok(());
        }
        (*sealed, *index) = self.seal(cipher, location, value)?;
        Ok(())
    }

    /// The indexes under which a value may be stored; `None` without a value.
    ///
    /// # Errors
    /// None in practice: an index key can always be derived.
    pub fn lookup(
        &self,
        cipher: &PiiCipher,
        tenant: &Tenant,
        value: Option<Pii<R>>,
    ) -> Result<Option<Vec<BlindIndex>>> {
        value.map(|value| cipher.indexes(&self.field, tenant, value.reveal())).transpose()
    }
}
