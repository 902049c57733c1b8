//! Query parameters: [`Query<T>`] is a parameter that may be sent only once. One that the operation does not have is rejected:
//! a filter that is dropped without a word answers with everything.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use poem::{PathPattern, Request, http::Method};

use super::identified::IdentifiedCaller;
use crate::{
    error::{Error, Result},
    values::{query::QueryValue, unknown_name},
};

/// The parameters of a request, parsed by the first who wants to know. Put into each request.
#[derive(Debug, Clone, Default)]
pub(super) struct Parameters(Arc<OnceLock<Option<Pairs>>>);

/// Names and values, in the order in which they were sent.
pub(super) type Pairs = Vec<(String, String)>;

impl Parameters {
    pub(super) fn of(request: &Request) -> Result<&Pairs> {
        let parameters = request
            .extensions()
            .get::<Self>()
            .ok_or_else(|| Error::internal("an operation was reached around the service stack"))?;
        let all = parameters.0.get_or_init(|| request.params().ok());
        all.as_ref().ok_or_else(|| Error::invalid("the query is malformed"))
    }
}

/// The query parameters that each operation declares in the contract. Attached to every request.
#[derive(Debug, Default)]
pub struct DeclaredParameters(HashMap<String, Vec<String>>);

impl DeclaredParameters {
    /// Adds the parameters of an operation. `template` is a path of the contract, such as `/customers/{customer_id}`.
    pub fn add(&mut self, method: &str, template: &str, names: Vec<String>) {
        self.0.insert(key(&method.to_uppercase(), template), names);
    }

    /// Rejects a parameter that the operation does not declare.
    ///
    /// # Errors
    /// Invalid: it names the parameter and the one that was probably meant, or all that there are.
    pub fn check(request: &Request) -> Result<()> {
        if request.uri().query().unwrap_or_default().is_empty() {
            return Ok(());
        }
        // The router answers HEAD with the operation of GET.
        let method = if request.method() == Method::HEAD { &Method::GET } else { request.method() };
        let declared = request
            .data::<PathPattern>()
            .and_then(|PathPattern(path)| request.data::<Arc<Self>>()?.0.get(&key(method.as_str(), path)));
        let declared = declared.ok_or_else(|| Error::internal("an operation is not in the contract"))?;
        match Parameters::of(request)?.iter().find(|(name, _)| !declared.contains(name)) {
            Some((name, _)) => {
                let declared: Vec<&str> = declared.iter().map(String::as_str).collect();
                Err(Error::invalid(unknown_name::describe(name, "a parameter of this operation", &declared)))
            }
            None => Ok(()),
        }
    }
}

/// The method, and the path without the names of its parameters, for which the router has others than the contract.
fn key(method: &str, path: &str) -> String {
    let segments = path.split('/').map(|segment| if segment.starts_with(['{', ':']) { ":" } else { segment });
    format!("{method} {}", segments.collect::<Vec<_>>().join("/"))
}

/// Makes a type an argument of operations that the contract knows as a query parameter; its function `of` reads the parameter
/// of a name. A macro, because the trait is foreign.
macro_rules! query_parameter {
    ($type:ty $(where $generic:ident: $bound:path)?, required: $required:expr, schema: $schema:expr) => {
        impl<'a $(, $generic: $bound)?> poem_openapi::ApiExtractor<'a> for $type {
            const TYPES: &'static [poem_openapi::ApiExtractorType] = &[poem_openapi::ApiExtractorType::Parameter];
            const PARAM_IS_REQUIRED: bool = $required;
            type ParamType = ();
            type ParamRawType = ();

            fn param_in() -> Option<poem_openapi::registry::MetaParamIn> {
                Some(poem_openapi::registry::MetaParamIn::Query)
            }

            fn param_schema_ref() -> Option<poem_openapi::registry::MetaSchemaRef> {
                Some($schema)
            }

            async fn from_request(
                request: &'a poem::Request,
                _body: &mut poem::RequestBody,
                options: poem_openapi::ExtractParamOptions<()>,
            ) -> poem::Result<Self> {
                Ok(Self::of(request, options.name)?)
            }
        }
    };
}
pub(crate) use query_parameter;

/// A query parameter, optional unless its type says otherwise, rejected if sent more than once.
pub struct Query<T: QueryValue>(pub T::Value);

impl<T: QueryValue> Query<T> {
    /// The parameter of this name.
    ///
    /// # Errors
    /// Invalid: it is sent more than once, or violates a rule of its type. Forbidden: it confirms what the caller may not see.
    pub(crate) fn of(request: &Request, name: &str) -> Result<Self> {
        let mut values =
            Parameters::of(request)?.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let value = values.next();
        if values.next().is_some() {
            return Err(Error::invalid(format!("{name}: must be sent once")));
        }
        if value.is_some_and(T::is_personal) {
            let caller = request.extensions().get::<IdentifiedCaller>();
            let caller = caller.ok_or_else(|| Error::internal("a search without a caller"))?;
            caller.sees_clear(&format!("{name}: searching by it"))?;
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

query_parameter!(Query<T> where T: QueryValue, required: T::REQUIRED, schema: T::schema());
