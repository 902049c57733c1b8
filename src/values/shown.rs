//! Texts that are only answered, never read: each with the most characters that it has, and an example.

use std::{borrow::Cow, fmt, marker::PhantomData};

use poem_openapi::registry::{MetaSchema, MetaSchemaRef};
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::{ContractValue, Violation, contract_type};

/// What a text in a response is.
pub trait ShownText: Send + Sync + 'static {
    /// Maximum length, in characters.
    const MAX: usize;
    /// A text.
    const EXAMPLE: &'static str;
    /// Its format (OpenAPI 3.0), if it has one.
    const FORMAT: Option<&'static str> = None;
}

/// A text in a response.
pub struct Shown<S>(String, PhantomData<S>);

impl<S> Shown<S> {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<S> Clone for Shown<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone(), PhantomData)
    }
}

impl<S> PartialEq for Shown<S> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<S> Eq for Shown<S> {}

impl<S> fmt::Debug for Shown<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl<S> From<String> for Shown<S> {
    fn from(text: String) -> Self {
        Self(text, PhantomData)
    }
}

impl<S> From<&str> for Shown<S> {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl<S> Serialize for Shown<S> {
    fn serialize<W: Serializer>(&self, serializer: W) -> Result<W::Ok, W::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<S: ShownText> ContractValue for Shown<S> {
    fn name() -> Cow<'static, str> {
        "text".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Inline(Box::new(MetaSchema {
            max_length: Some(S::MAX),
            format: S::FORMAT,
            example: Some(Value::from(S::EXAMPLE)),
            ..MetaSchema::new("string")
        }))
    }

    /// Responses are stored, too: what was written then is shown as it is.
    fn from_value(value: Value) -> Result<Self, Violation> {
        match value {
            Value::String(text) => Ok(text.into()),
            _ => Err("must be a string".into()),
        }
    }
}

contract_type!(Shown<S>, S: ShownText);

/// Declares a [`ShownText`].
macro_rules! shown_text {
    ($(#[doc = $doc:literal] $name:ident: $max:literal, $example:literal;)+) => {
        $(
            #[doc = $doc]
            #[derive(Debug)]
            pub struct $name;

            impl ShownText for $name {
                const MAX: usize = $max;
                const EXAMPLE: &'static str = $example;
            }
        )+
    };
}

shown_text! {
    /// Who did something: a claim of the token.
    ActorName: 255, "li.lei@platform";
    /// A client application: a claim of the token.
    ClientName: 255, "sales-console";
    /// The id of a request.
    RequestIdText: 128, "4f1c0f3e-2d4b-4c58-9a57-0d6a6f0f6a11";
    /// A trace id (W3C Trace Context).
    TraceId: 32, "0af7651916cd43dd8448eb211c80319c";
    /// The type of a resource.
    ResourceTypeName: 64, "customer";
    /// What was done to a resource.
    ActionName: 64, "created";
    /// What was done, as a sentence.
    Summary: 16_384, "status from 0 to 1";
    /// The name of a field.
    FieldName: 64, "status";
    /// The value of a field, as text.
    FieldValue: 1024, "1";
    /// The name of a stage.
    StageName: 64, "Proposal";
    /// How a figure is calculated.
    Formula: 1024, "amountCents × probabilityPercent / 100";
    /// A SHA-256 hash, in hexadecimal.
    Hash: 64, "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    /// The message of an error.
    Message: 255, "The request is not valid.";
    /// The details of an error.
    Details: 4096, "name: must be 1 to 200 characters without control characters";
}

/// The URL of a resource.
#[derive(Debug)]
pub struct Address;

impl ShownText for Address {
    const MAX: usize = 2048;
    const EXAMPLE: &'static str = "/api/v1/crm/customers/019aa5c8-7d40-7c1e-b3a2-5f0e6d1c2b3a";
    const FORMAT: Option<&'static str> = Some("uri-reference");
}
