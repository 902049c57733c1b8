//! Documents beside the operations: the contract and Swagger UI.
//!
//! A document is made once, by the first request for it, and served from memory ever after without being copied: plain or
//! compressed (RFC 9110, section 8.4.1.3), and not at all to a client that has it (RFC 9110, section 13.1.2).

use std::{io::Write, sync::LazyLock};

use base64::{Engine, engine::general_purpose::STANDARD};
use flate2::{Compression, write::GzEncoder};
use hyper::body::Bytes;
use poem::{
    Endpoint, Request, Response,
    http::{
        HeaderMap, HeaderName, HeaderValue, StatusCode,
        header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, VARY},
    },
};
use sha2::{Digest, Sha256};

use super::{
    header::text,
    precondition::{IF_NONE_MATCH_HEADER, Named},
};

/// A document, made when it is first asked for.
pub struct Document(LazyLock<Made, Box<dyn FnOnce() -> Made + Send>>);

struct Made {
    plain: Encoded,
    gzip: Encoded,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// A document in one encoding.
struct Encoded {
    bytes: Bytes,
    /// Names content and encoding together.
    etag: String,
}

impl Document {
    /// A document that `make` writes.
    pub fn new(media_type: &'static str, make: impl FnOnce() -> String + Send + 'static) -> Self {
        Self(LazyLock::new(Box::new(move || Made::new(media_type, make(), None))))
    }

    /// A page that `make` writes, and that may run what stands in it and talk to the host it comes from, and nothing else.
    pub fn page(make: impl FnOnce() -> String + Send + 'static) -> Self {
        Self(LazyLock::new(Box::new(move || {
            let html = make();
            let policy = page_policy(&html);
            Made::new("text/html; charset=utf-8", html, HeaderValue::try_from(policy).ok())
        })))
    }
}

impl Endpoint for Document {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        Ok(self.0.answer(request.headers()))
    }
}

impl Made {
    fn new(media_type: &'static str, text: String, policy: Option<HeaderValue>) -> Self {
        let digest = Sha256::digest(&text);
        let tag = |suffix: &str| {
            let digest: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
            format!("\"{digest}{suffix}\"")
        };
        let gzip = Encoded { bytes: gzip(text.as_bytes()).into(), etag: tag("-gzip") };
        let mut headers = vec![
            (CONTENT_TYPE, HeaderValue::from_static(media_type)),
            (VARY, HeaderValue::from_static("Accept-Encoding")),
            // It changes with a release: a client asks each time, and is told that it has it.
            (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        ];
        headers.extend(policy.map(|policy| (CONTENT_SECURITY_POLICY, policy)));
        Self { plain: Encoded { bytes: text.into(), etag: tag("") }, gzip, headers }
    }

    fn answer(&self, request: &HeaderMap) -> Response {
        let compressed = accepts_gzip(request) && !self.gzip.bytes.is_empty();
        let encoded = if compressed { &self.gzip } else { &self.plain };
        let mut response = if has(request, &encoded.etag) {
            Response::builder().status(StatusCode::NOT_MODIFIED).finish()
        } else {
            Response::builder().body(encoded.bytes.clone())
        };
        let headers = response.headers_mut();
        headers.extend(self.headers.iter().map(|(name, value)| (name.clone(), value.clone())));
        if let Ok(etag) = HeaderValue::try_from(&encoded.etag) {
            headers.insert(ETAG, etag);
        }
        if compressed {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response
    }
}

/// Compresses a text; empty where that fails, which it cannot in memory.
fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text).and_then(|()| encoder.finish()).unwrap_or_default()
}

/// Whether the client accepts gzip (RFC 9110, section 12.5.3): what it says of gzip decides, else what it says of all others.
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT_ENCODING).iter().filter_map(text);
    let (mut gzip, mut others) = (None, None);
    for coding in values.flat_map(|value| value.split(',')) {
        let mut parts = coding.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        let accepted = weight.and_then(|weight| weight.trim().parse::<f32>().ok()) != Some(0.0);
        match name {
            "*" => others = Some(accepted),
            _ if ["gzip", "x-gzip"].iter().any(|own| own.eq_ignore_ascii_case(name)) => gzip = Some(accepted),
            _ => {}
        }
    }
    gzip.or(others).unwrap_or(false)
}

/// Whether the client has what an entity tag names; what is malformed names nothing.
fn has(headers: &HeaderMap, etag: &str) -> bool {
    Named::of(headers, IF_NONE_MATCH_HEADER).is_ok_and(|named| named.is_some_and(|named| named.includes(etag)))
}

/// The content security policy of a page (CSP Level 3): the scripts in it, by their hash, and styles, which Swagger UI makes
/// as it goes.
fn page_policy(html: &str) -> String {
    let mut scripts = String::new();
    let mut rest = html;
    // One after the other, because a script may well have `<script` in a text of its own.
    while let Some((script, after)) = first_script(rest) {
        // Browsers hash what the parser makes of it, which has no carriage returns.
        let digest = Sha256::digest(script.replace("\r\n", "\n").replace('\r', "\n"));
        scripts += &format!(" 'sha256-{}'", STANDARD.encode(digest));
        rest = after;
    }
    format!(
        "default-src 'none'; script-src{scripts}; style-src 'unsafe-inline'; img-src data:; font-src data:; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}

/// The text of the first script in a page, and what follows it.
fn first_script(html: &str) -> Option<(&str, &str)> {
    let (_, rest) = html.split_once("<script")?;
    let (_, rest) = rest.split_once('>')?;
    rest.split_once("</script>")
}
