//! Query parameters: [`Query<T>`] is a parameter that may be sent only once.

use std::sync::{Arc, OnceLock};

use poem::{Request, RequestBody};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    registry::{MetaParamIn, MetaSchemaRef},
};

use crate::{
    error::{Error, Result},
    values::query::QueryValue,
};

/// The parameters of a request, parsed by the first who wants to know. Put into each request.
#[derive(Debug, Clone, Default)]
pub(super) struct Parameters(Arc<OnceLock<Option<Pairs>>>);

/// Names and values, in the order in which they were sent.
type Pairs = Vec<(String, String)>;

/// A query parameter, optional unless its type says otherwise, rejected if sent more than once. Unknown parameters are ignored.
pub struct Query<T: QueryValue>(pub T::Value);

impl<T: QueryValue> Query<T> {
    fn of(request: &Request, name: &str) -> Result<Self> {
        let parameters = request
            .extensions()
            .get::<Parameters>()
            .ok_or_else(|| Error::internal("an operation was reached around the service stack"))?;
        let all = parameters.0.get_or_init(|| request.params().ok());
        let all = all.as_ref().ok_or_else(|| Error::invalid("the query is malformed"))?;
        let mut values = all.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let value = values.next();
        if values.next().is_some() {
            return Err(Error::invalid(format!("{name}: must be sent once")));
        }
        let literal = value.filter(|_| T::PLUS_IS_LITERAL).and_then(|_| with_literal_plus(request, name));
        T::read(literal.as_deref().or(value))
            .map(Self)
            .map_err(|violation| Error::invalid(format!("{name}: {violation}")))
    }
}

/// The value of a parameter, in which a `+` is no space.
fn with_literal_plus(request: &Request, name: &str) -> Option<String> {
    let query = request.uri().query()?.replace('+', "%2B");
    form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

impl<'a, T: QueryValue> ApiExtractor<'a> for Query<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::Parameter];
    const PARAM_IS_REQUIRED: bool = T::REQUIRED;
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
