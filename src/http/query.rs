//! Query parameters: [`Query<T>`] is an optional parameter that may be sent once.

use chrono::{DateTime, Utc};
use poem::{Request, RequestBody};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    registry::{MetaParamIn, MetaSchema, MetaSchemaRef},
};

use crate::{
    error::{ApiError, Result},
    values::{ContractValue, Flaw, Id, Timestamp},
};

/// A type of the contract that is read from a query parameter.
pub trait QueryValue: Sized + Send + Sync {
    /// The schema of the parameter.
    fn schema() -> MetaSchemaRef;

    /// Reads the parameter, or takes its default where it was not sent.
    ///
    /// # Errors
    /// The rule that the value breaks.
    fn read(value: Option<&str>) -> std::result::Result<Self, Flaw>;
}

/// An optional query parameter. Sent twice it is refused; unknown parameters are ignored.
pub struct Query<T>(pub T);

impl<T: QueryValue> Query<T> {
    fn of(request: &Request, name: &str) -> Result<Self> {
        let all: Vec<(String, String)> =
            request.params().map_err(|_| ApiError::bad_request("the query is malformed"))?;
        let mut values = all.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let value = values.next();
        if values.next().is_some() {
            return Err(ApiError::bad_request(format!("{name}: must be sent once")));
        }
        T::read(value).map(Self).map_err(|flaw| ApiError::bad_request(format!("{name}: {flaw}")))
    }
}

impl<'a, T: QueryValue> ApiExtractor<'a> for Query<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::Parameter];
    type ParamType = ();
    type ParamRawType = ();

    fn param_in() -> Option<MetaParamIn> {
        Some(MetaParamIn::Query)
    }

    fn param_schema_ref() -> Option<MetaSchemaRef> {
        Some(T::schema())
    }

    async fn from_request(
        request: &'a Request,
        _body: &mut RequestBody,
        options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        Ok(Self::of(request, options.name)?)
    }
}

/// What a parameter that is a whole number accepts.
pub struct Whole {
    /// Its value where it is not sent.
    pub default: u64,
    /// The least.
    pub min: u64,
    /// The most.
    pub max: u64,
    /// Its format in the contract.
    pub format: &'static str,
}

impl Whole {
    /// The schema of the parameter.
    #[must_use]
    pub fn schema(&self) -> MetaSchemaRef {
        inline(MetaSchema {
            minimum: Some(self.min as f64),
            maximum: Some(self.max as f64),
            default: Some(self.default.into()),
            ..MetaSchema::new_with_format("integer", self.format)
        })
    }

    /// Reads the parameter.
    ///
    /// # Errors
    /// The range, where the value is outside it or no whole number.
    pub fn read(&self, value: Option<&str>) -> std::result::Result<u64, Flaw> {
        let Some(text) = value else { return Ok(self.default) };
        // `parse` would take a sign, too.
        let number = if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None };
        number
            .filter(|number| (self.min..=self.max).contains(number))
            .ok_or_else(|| format!("must be a whole number from {} to {}", self.min, self.max).into())
    }
}

/// A filter by the id of another resource. Any text will do: one that is no id of the tenant's finds nothing.
#[derive(Debug, Clone, Copy)]
pub struct IdFilter(pub Option<uuid::Uuid>);

impl QueryValue for IdFilter {
    fn schema() -> MetaSchemaRef {
        inline(MetaSchema { example: Some(Id::EXAMPLE.into()), ..MetaSchema::new("string") })
    }

    fn read(value: Option<&str>) -> std::result::Result<Self, Flaw> {
        Ok(Self(value.map(Id::sought)))
    }
}

/// A filter by a text that must be the same.
#[derive(Debug, Clone)]
pub struct TextFilter(pub Option<String>);

impl QueryValue for TextFilter {
    fn schema() -> MetaSchemaRef {
        inline(MetaSchema::new("string"))
    }

    /// No stored text has a control character; one database would refuse to look for a NUL.
    fn read(value: Option<&str>) -> std::result::Result<Self, Flaw> {
        Ok(Self(value.map(|text| text.replace('\0', "\u{fffd}"))))
    }
}

/// A filter by an instant.
#[derive(Debug, Clone, Copy)]
pub struct InstantFilter(pub Option<DateTime<Utc>>);

impl QueryValue for InstantFilter {
    fn schema() -> MetaSchemaRef {
        Timestamp::schema_ref()
    }

    fn read(value: Option<&str>) -> std::result::Result<Self, Flaw> {
        let instant = |text: &str| Timestamp::from_value(text.into()).map(|instant| instant.0);
        value.map(instant).transpose().map(Self)
    }
}

fn inline(schema: MetaSchema) -> MetaSchemaRef {
    MetaSchemaRef::Inline(Box::new(schema))
}
