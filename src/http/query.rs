//! Query parameters: [`Query<T>`] is an optional parameter that may be sent once.

use poem::{Request, RequestBody};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    registry::{MetaParamIn, MetaSchema, MetaSchemaRef},
};

use crate::{
    error::{ApiError, Result},
    values::{Flaw, Id},
};

/// A type of the contract that is read from a query parameter.
pub trait QueryValue: Sized + Send + Sync {
    /// The schema of the parameter.
    fn schema() -> MetaSchema;

    /// Reads the parameter, or takes its default where it was not sent.
    ///
    /// # Errors
    /// The rule that the value breaks.
    fn read(value: Option<&str>) -> std::result::Result<Self, Flaw>;
}

/// An optional query parameter. Sent twice it is refused; unknown parameters are ignored.
#[derive(Debug)]
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
        Some(MetaSchemaRef::Inline(Box::new(T::schema())))
    }

    async fn from_request(
        request: &'a Request,
        _body: &mut RequestBody,
        options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        Ok(Self::of(request, options.name)?)
    }
}

/// A filter by the id of another resource. Any text will do: one that is no id of the tenant's finds nothing.
#[derive(Debug, Clone, Copy)]
pub struct IdFilter(pub Option<uuid::Uuid>);

impl QueryValue for IdFilter {
    fn schema() -> MetaSchema {
        MetaSchema { example: Some(Id::EXAMPLE.into()), ..MetaSchema::new("string") }
    }

    fn read(value: Option<&str>) -> std::result::Result<Self, Flaw> {
        Ok(Self(value.map(Id::sought)))
    }
}
