//! The path prefix that the API is mounted under.

use poem::{Request, http::Uri};
use uuid::Uuid;

/// The prefix at the gateway. Operations are served with it and, for gateways that strip it, without it.
pub const BASE_PATH: &str = "/api/v1/crm";

/// The URL path of a resource.
#[must_use]
pub fn address(collection: &str, id: Uuid) -> String {
    format!("{BASE_PATH}/{collection}/{id}")
}

/// Removes [`BASE_PATH`], so that one router serves requests with and without it.
pub fn strip(request: &mut Request) {
    let rest = request.uri().path_and_query().and_then(|path| path.as_str().strip_prefix(BASE_PATH));
    if let Some(Ok(uri)) = rest.filter(|rest| rest.starts_with('/')).map(str::parse::<Uri>) {
        *request.uri_mut() = uri;
    }
}
