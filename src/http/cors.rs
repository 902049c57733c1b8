//! Cross-origin requests of browsers (the CORS protocol of the Fetch standard), from the origins that are configured.
//!
//! Off by default: a browser then lets no other origin's page read a reply. Credentials are never asked for: tokens come in a
//! header that the page itself sets.

use poem::{
    Response,
    http::{
        HeaderMap, HeaderValue, Method, StatusCode,
        header::{
            ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
            ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
        },
    },
};

use super::header::text_once;
use crate::config::CorsOrigins;

/// The headers that a page may send.
const ALLOWED_HEADERS: &str = "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, \
                               X-Database-Position, X-Request-ID, X-Tenant-Id, traceparent";
/// The headers of a reply that a page may read.
const EXPOSED_HEADERS: &str = "Location, ETag, X-Request-ID, X-Response-Time, traceparent, Retry-After, RateLimit, \
                               RateLimit-Policy, WWW-Authenticate, X-Database-Position";
/// How long a browser may remember the answer to a preflight, in seconds.
const MAX_AGE: &str = "600";

/// The origin of a request, and whether its pages may read replies.
pub(super) struct Cors {
    /// The value of `Access-Control-Allow-Origin`.
    allowed: Option<HeaderValue>,
    /// Whether the reply depends on the origin.
    varies: bool,
    preflight: bool,
}

impl Cors {
    pub(super) fn of(origins: &CorsOrigins, method: &Method, headers: &HeaderMap) -> Self {
        let origin = text_once(headers, ORIGIN);
        let allowed = match origins {
            CorsOrigins::None => None,
            CorsOrigins::Any => origin.map(|_| HeaderValue::from_static("*")),
            CorsOrigins::Listed(listed) => origin
                .filter(|origin| listed.iter().any(|listed| listed.eq_ignore_ascii_case(origin)))
                .and_then(|origin| HeaderValue::try_from(origin).ok()),
        };
        let preflight = method == Method::OPTIONS && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        Self { preflight: preflight && allowed.is_some(), varies: matches!(origins, CorsOrigins::Listed(_)), allowed }
    }

    /// The answer to a preflight request for a path with these methods: `None` for any other request.
    pub(super) fn preflight(&self, methods: &str) -> Option<Response> {
        if !self.preflight || methods.is_empty() {
            return None;
        }
        let mut response = Response::builder().status(StatusCode::NO_CONTENT).finish();
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::try_from(methods).ok()?);
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(ALLOWED_HEADERS));
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE));
        Some(response)
    }

    /// Lets the page read the reply.
    pub(super) fn set_headers(&self, headers: &mut HeaderMap) {
        if self.varies {
            headers.append(VARY, HeaderValue::from_static("Origin"));
        }
        if let Some(allowed) = &self.allowed {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed.clone());
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED_HEADERS));
        }
    }
}
