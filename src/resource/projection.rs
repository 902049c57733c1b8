//! Conversion of rows to contract types.

use sea_orm::EntityTrait;

use super::Resource;
use crate::{error::Result, pii::PiiView, values::integer_enum::ValueNames};

/// A contract type that is created from a row.
pub trait Projection: Sized {
    /// The row's entity.
    type Entity: Resource;

    /// The integer enum schemas that it uses, with names for their values in generated clients.
    fn integer_enums() -> Vec<ValueNames> {
        Vec::new()
    }

    /// Converts a row to what the caller may see.
    ///
    /// # Errors
    /// Internal, if personal data in the row cannot be decrypted.
    fn project(row: <Self::Entity as EntityTrait>::Model, view: &PiiView<'_>) -> Result<Self>;
}
