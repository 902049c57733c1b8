//! Where the service is mounted.

use poem::{Request, http::Uri};
use uuid::Uuid;

/// Where the gateway mounts the service. Operations are served here and, for gateways that strip it, without it.
pub const BASE_PATH: &str = "/api/v1/crm";

/// The address of a resource in a collection.
#[must_use]
pub fn address(collection: &str, id: Uuid) -> String {
    format!("{BASE_PATH}/{collection}/{id}")
}

/// Takes off [`BASE_PATH`], so that one router serves both mount points.
pub fn strip(request: &mut Request) {
    let rest = request.uri().path_and_query().and_then(|path| path.as_str().strip_prefix(BASE_PATH));
    if let Some(Ok(uri)) = rest.filter(|rest| rest.starts_with('/')).map(str::parse::<Uri>) {
        *request.uri_mut() = uri;
    }
}
