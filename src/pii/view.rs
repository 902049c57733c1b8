//! How personal data is displayed.

use std::{borrow::Cow, fmt, marker::PhantomData};

use poem_openapi::registry::{MetaSchema, MetaSchemaRef};
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::{
    cipher::PiiCipher,
    column::PiiColumn,
    rule::PiiRule,
    stored::{PiiLocation, Sealed},
};
use crate::{
    error::Result,
    values::{ContractValue, Nullable, Violation, contract_type},
};

/// How a caller sees personal data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PiiVisibility {
    /// As it is.
    Clear,
    /// With most of it replaced by stars.
    Masked,
}

/// Opens what is stored and displays it as the caller may see it.
pub struct PiiView<'a> {
    cipher: &'a PiiCipher,
    visibility: PiiVisibility,
    /// Whether a value that does not open is displayed as stars, in place of an error.
    lenient: bool,
}

impl<'a> PiiView<'a> {
    /// The view of a caller.
    #[must_use]
    pub fn new(cipher: &'a PiiCipher, visibility: PiiVisibility) -> Self {
        Self { cipher, visibility, lenient: false }
    }

    /// The view of events, which is masked. A value that does not open is all stars, so that a damaged row can still be
    /// repaired and deleted.
    #[must_use]
    pub fn for_events(cipher: &'a PiiCipher) -> Self {
        Self { cipher, visibility: PiiVisibility::Masked, lenient: true }
    }

    /// How the caller sees personal data.
    #[must_use]
    pub fn visibility(&self) -> PiiVisibility {
        self.visibility
    }

    /// What the caller sees of a value that a row holds.
    ///
    /// # Errors
    /// Internal, where the stored value does not open.
    pub fn display<R: PiiRule>(
        &self,
        column: &PiiColumn<R>,
        location: PiiLocation<'_>,
        stored: Option<&Sealed>,
    ) -> Result<Nullable<DisplayedPii<R>>> {
        let Some(sealed) = stored else { return Ok(Nullable(None)) };
        let text = match (column.open(self.cipher, location, sealed), self.visibility) {
            (Ok(value), PiiVisibility::Clear) => value.reveal().to_owned(),
            (Ok(value), PiiVisibility::Masked) => value.to_string(),
            (Err(fault), _) if self.lenient => {
                tracing::error!(cause = fault.cause(), "an event cannot show personal data, not even masked");
                "****".to_owned()
            }
            (Err(fault), _) => return Err(fault),
        };
        Ok(Nullable(Some(DisplayedPii { text, kind: PhantomData })))
    }
}

/// Personal data of the kind `R` in a reply.
#[derive(Clone, PartialEq, Eq)]
pub struct DisplayedPii<R> {
    text: String,
    kind: PhantomData<R>,
}

impl<R: PiiRule> fmt::Debug for DisplayedPii<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl<R: PiiRule> Serialize for DisplayedPii<R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<R: PiiRule> ContractValue for DisplayedPii<R> {
    fn name() -> Cow<'static, str> {
        R::NAME.into()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Inline(Box::new(MetaSchema {
            // A mask may be longer than the shortest addresses.
            max_length: Some(R::MAX + 8),
            example: Some(Value::from(R::mask(R::EXAMPLE))),
            ..MetaSchema::new("string")
        }))
    }

    fn from_value(_: Value) -> std::result::Result<Self, Violation> {
        Err("is only ever answered".into())
    }
}

contract_type!(DisplayedPii<R>, R: PiiRule);
