//! Which pages may use the service from a browser.

use poem::http::Uri;

use super::variables::Variables;

/// The origins whose pages may read replies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CorsOrigins {
    /// None but the service's own.
    None,
    /// All.
    Any,
    /// These: scheme, host and port (RFC 6454, section 7).
    Listed(Vec<String>),
}

pub(super) fn cors_origins(env: &mut Variables<'_>) -> Option<CorsOrigins> {
    env.value(
        "CRM_CORS_ORIGINS",
        "off",
        "origins whose pages may use the service from a browser, `https://app.example.com,…`; `*` for all",
        origins,
    )
}

fn origins(text: &str) -> Result<CorsOrigins, String> {
    match text {
        "off" => return Ok(CorsOrigins::None),
        "*" => return Ok(CorsOrigins::Any),
        _ => {}
    }
    let listed: Option<Vec<String>> =
        text.split(',').map(|origin| is_origin(origin.trim()).then(|| origin.trim().to_owned())).collect();
    listed.map(CorsOrigins::Listed).ok_or_else(|| {
        "must be origins like https://app.example.com (scheme, host and, if it is not the usual one, port), separated by commas, or * or off".to_owned()
    })
}

fn is_origin(text: &str) -> bool {
    let Ok(uri) = text.parse::<Uri>() else { return false };
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return false };
    // What a browser sends has neither a user nor a path, not even a slash.
    matches!(scheme, "http" | "https") && !authority.as_str().contains('@') && text.ends_with(authority.as_str())
}
