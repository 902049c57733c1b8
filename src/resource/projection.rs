//! Conversion of rows to contract types.

use sea_orm::EntityTrait;

use super::Resource;
use crate::{
    error::Result,
    http::{precondition::EntityTag, reply::Tagged},
    pii::{PiiView, PiiVisibility},
    values::integer_enum::ValueNames,
};

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

    /// The same, with the tag of the row's version.
    ///
    /// # Errors
    /// As for [`Self::project`].
    fn project_tagged(mut row: <Self::Entity as EntityTrait>::Model, view: &PiiView<'_>) -> Result<Tagged<Self>> {
        let tag = entity_tag::<Self::Entity>(&mut row, view.visibility());
        Ok(Tagged { tag, resource: Self::project(row, view)? })
    }
}

/// The tag of a row's version, as a caller with this visibility sees it. What holds no personal data looks the same to all.
pub fn entity_tag<E: Resource>(row: &mut E::Model, visibility: PiiVisibility) -> EntityTag {
    EntityTag { version: *E::version(row), masked: E::PII.is_some() && visibility == PiiVisibility::Masked }
}
