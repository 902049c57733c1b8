//! From a row to a resource of the contract.

use sea_orm::EntityTrait;

use super::Resource;
use crate::{error::Result, pii::PiiView};

/// A resource of the contract that is made from a row.
pub trait Projection: Sized {
    /// The entity whose row it is.
    type Entity: Resource;

    /// The schemas of integer enumerations that it brings, with the names of their values for generated clients.
    fn integer_enums() -> Vec<(&'static str, Vec<String>)> {
        Vec::new()
    }

    /// The resource as a caller sees it.
    ///
    /// # Errors
    /// A fault where personal data in the row does not open.
    fn project(row: <Self::Entity as EntityTrait>::Model, view: &PiiView<'_>) -> Result<Self>;
}
