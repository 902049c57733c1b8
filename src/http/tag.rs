//! How operations are grouped in the contract.

use poem_openapi::{
    Tags,
    registry::{MetaTag, Registry},
};

/// A group of operations.
#[derive(Debug, Clone, Copy)]
pub struct Tag {
    /// Its name, as Swagger UI shows it.
    pub name: &'static str,
    /// What the operations are about.
    pub description: &'static str,
}

impl Tags for Tag {
    fn register(&self, registry: &mut Registry) {
        registry.create_tag(MetaTag { name: self.name, description: Some(self.description), external_docs: None });
    }

    fn name(&self) -> &'static str {
        self.name
    }
}
