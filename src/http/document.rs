//! Documents beside the operations: the contracts, the pages, and what the pages load.
//!
//! A document is made once, by the first request for it, and served from memory ever after without being copied: plain or
//! compressed (RFC 9110, section 8.4.1.3), and not at all to a client that has it (RFC 9110, section 13.1.2).

use std::{
    io::{Read, Write},
    sync::LazyLock,
};

use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use hyper::body::Bytes;
use poem::{
    Endpoint, Request, Response,
    http::{
        HeaderMap, HeaderName, HeaderValue, StatusCode,
        header::{
            ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, VARY,
        },
    },
};
use sha2::{Digest, Sha256};

use super::{
    header::text,
    precondition::{IF_NONE_MATCH_HEADER, Named},
};

/// It changes with a release: a client asks each time, and is told that it has it.
const REVALIDATED: &str = "no-cache";
/// What is at this address is never another (RFC 8246).
const IMMUTABLE: &str = "public, max-age=31536000, immutable";

/// A value that is made when it is first needed.
type Lazy<T> = LazyLock<T, Box<dyn FnOnce() -> T + Send>>;

/// A document, made when it is first asked for.
pub struct Document(Lazy<Made>);

/// A page, and what a browser may do with it.
pub struct Page {
    /// The text.
    pub html: String,
    /// The content security policy (CSP Level 3).
    pub policy: String,
}

/// The same for people and for programs.
pub struct Negotiated {
    /// For browsers, and for those who say nothing.
    pub page: Document,
    /// For those who would rather have JSON.
    pub json: Document,
}

struct Made {
    plain: Lazy<Encoded>,
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
        Self(LazyLock::new(Box::new(move || Made::of_text(media_type, make()))))
    }

    /// A page that `make` writes.
    pub fn page(make: impl FnOnce() -> Page + Send + 'static) -> Self {
        Self(LazyLock::new(Box::new(move || {
            let page = make();
            let mut made = Made::of_text("text/html; charset=utf-8", page.html);
            let policy = HeaderValue::try_from(page.policy).ok();
            made.headers.extend(policy.map(|policy| (CONTENT_SECURITY_POLICY, policy)));
            made
        })))
    }

    /// What pages load: compressed already, at an address that names its version.
    #[must_use]
    pub fn asset(media_type: &'static str, gzip: &'static [u8]) -> Self {
        Self(LazyLock::new(Box::new(move || Made::of_gzip(media_type, gzip))))
    }
}

impl Endpoint for Document {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        Ok(self.0.answer(request.headers()))
    }
}

impl Endpoint for Negotiated {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        let document = if prefers_json(request.headers()) { &self.json } else { &self.page };
        let mut response = document.call(request).await?;
        response.headers_mut().insert(VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
        Ok(response)
    }
}

impl Made {
    fn of_text(media_type: &'static str, text: String) -> Self {
        let digest = Sha256::digest(&text);
        let gzip = Encoded { bytes: gzip(text.as_bytes()).into(), etag: etag(&digest, "-gzip") };
        let plain = Encoded { bytes: text.into(), etag: etag(&digest, "") };
        Self { plain: LazyLock::new(Box::new(move || plain)), gzip, headers: headers(media_type, REVALIDATED) }
    }

    fn of_gzip(media_type: &'static str, gzip: &'static [u8]) -> Self {
        let digest = Sha256::digest(gzip);
        let plain_etag = etag(&digest, "");
        let plain = move || Encoded { bytes: gunzip(gzip).into(), etag: plain_etag };
        let gzip = Encoded { bytes: Bytes::from_static(gzip), etag: etag(&digest, "-gzip") };
        Self { plain: LazyLock::new(Box::new(plain)), gzip, headers: headers(media_type, IMMUTABLE) }
    }

    fn answer(&self, request: &HeaderMap) -> Response {
        let compressed = accepts_gzip(request) && !self.gzip.bytes.is_empty();
        let encoded = if compressed { &self.gzip } else { &*self.plain };
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

fn headers(media_type: &'static str, cached: &'static str) -> Vec<(HeaderName, HeaderValue)> {
    vec![
        (CONTENT_TYPE, HeaderValue::from_static(media_type)),
        (VARY, HeaderValue::from_static("Accept-Encoding")),
        (CACHE_CONTROL, HeaderValue::from_static(cached)),
    ]
}

fn etag(digest: &[u8], suffix: &str) -> String {
    let digest: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("\"{digest}{suffix}\"")
}

/// Compresses a text; empty where that fails, which it cannot in memory.
fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text).and_then(|()| encoder.finish()).unwrap_or_default()
}

/// What was compressed when the program was built; empty where that is damaged, which a test would see.
fn gunzip(gzip: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    GzDecoder::new(gzip).read_to_end(&mut text).map(|_| text).unwrap_or_default()
}

/// Whether the client accepts gzip (RFC 9110, section 12.5.3): what it says of gzip decides, else what it says of all others.
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let weight = |names: &[&str]| weight(headers, &ACCEPT_ENCODING, names);
    weight(&["gzip", "x-gzip"]).or_else(|| weight(&["*"])).is_some_and(|weight| weight > 0.0)
}

/// Whether the client names JSON (RFC 9110, section 12.5.1), and likes it better than a page.
fn prefers_json(headers: &HeaderMap) -> bool {
    let weight = |names: &[&str]| weight(headers, &ACCEPT, names).unwrap_or_default();
    weight(&["application/json"]) > weight(&["text/html", "application/xhtml+xml"])
}

/// The weight that the client gives the first that it names of these (RFC 9110, section 12.4.2): 1 unless it says otherwise.
fn weight(headers: &HeaderMap, header: &HeaderName, names: &[&str]) -> Option<f32> {
    headers.get_all(header).iter().filter_map(text).flat_map(|value| value.split(',')).find_map(|item| {
        let mut parts = item.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        let weight = weight.and_then(|weight| weight.trim().parse().ok()).unwrap_or(1.0);
        names.iter().any(|known| known.eq_ignore_ascii_case(name)).then_some(weight)
    })
}

/// Whether the client has what an entity tag names; what is malformed names nothing.
fn has(headers: &HeaderMap, etag: &str) -> bool {
    Named::of(headers, IF_NONE_MATCH_HEADER).is_ok_and(|named| named.is_some_and(|named| named.includes(etag)))
}
