//! The resource that an error is about.

use std::borrow::Cow;

use poem_openapi::{
    registry::{MetaSchema, MetaSchemaRef, Registry},
    types::Type,
};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    error::NamedResource,
    values::{ContractValue, Id, Shown, Violation, contract_type, shown::ResourceTypeName},
};

/// The name of the schema.
const NAME: &str = "ErrorResource";

/// The resource that an error is about, by type and id; `null` where it is about none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct ErrorResource(Option<Named>);

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Named {
    r#type: String,
    id: Id,
}

impl From<&NamedResource> for ErrorResource {
    fn from(resource: &NamedResource) -> Self {
        Self(Some(Named { r#type: resource.kind.clone(), id: Id(resource.id) }))
    }
}

/// Not derived: the schema itself says that it may be null, because nothing can stand beside a reference to it.
impl ContractValue for ErrorResource {
    /// It is always there. But linters stumble over a `null` in an example, which may leave out only what is optional.
    const REQUIRED: bool = false;

    fn name() -> Cow<'static, str> {
        NAME.into()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Reference(NAME.to_owned())
    }

    fn register(registry: &mut Registry) {
        let described = |schema: MetaSchemaRef, description, example| {
            let patch = MetaSchema { description: Some(description), example: Some(example), ..MetaSchema::ANY };
            schema.merge(patch)
        };
        registry.create_schema::<Self, _>(NAME.to_owned(), |_| MetaSchema {
            description: Some("The resource that an error is about."),
            nullable: true,
            required: vec!["type", "id"],
            properties: vec![
                (
                    "type",
                    described(
                        <Shown<ResourceTypeName> as Type>::schema_ref(),
                        "The type of resource, for example `customer`; further types may come.",
                        json!("customer"),
                    ),
                ),
                ("id", described(<Id as Type>::schema_ref(), "The resource's id.", json!(Id::EXAMPLE))),
            ],
            ..MetaSchema::new("object")
        });
    }

    fn from_value(_: Value) -> Result<Self, Violation> {
        Err("is only ever answered".into())
    }
}

contract_type!(ErrorResource);
