//! OpenAPI tags, which group operations.

use poem_openapi::{
    Tags,
    registry::{MetaTag, Registry},
};

/// An OpenAPI tag.
#[derive(Debug, Clone, Copy)]
pub struct Tag {
    /// The name, as shown in Swagger UI.
    pub name: &'static str,
    /// What its operations are about.
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
