//! Documents beside the operations: made once, compressed, and not sent to those who have them.

use std::io::Read;

use flate2::read::GzDecoder;
use poem::{Endpoint, Request, Response, http::StatusCode};

use crate::harness::{LARGE_DOCUMENT, Service};

const DOCUMENTS: [&str; 8] = [
    "/docs",
    "/docs/",
    "/redoc",
    "/openapi.json",
    "/openapi.yaml",
    "/asyncapi.json",
    "/asyncapi.yaml",
    "/assets/swagger-ui-5.35.0.css",
];

async fn get(service: &impl Endpoint<Output = Response>, path: &str, headers: &[(&str, &str)]) -> (Response, Vec<u8>) {
    let mut request = Request::builder().uri_str(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut response = service.get_response(request.finish()).await;
    let body = response.take_body().into_vec().await.unwrap();
    (response, body)
}

fn header<'r>(response: &'r Response, name: &str) -> &'r str {
    response.header(name).unwrap_or_default()
}

#[tokio::test]
async fn a_document_comes_compressed_to_those_who_accept_it() {
    let service = Service::start().await;
    let service = crm::service::service(&service.app);
    for path in DOCUMENTS {
        let (plain, text) = get(&service, path, &[]).await;
        assert_eq!((plain.status(), header(&plain, "content-encoding")), (StatusCode::OK, ""));
        for accept in ["gzip", "br, GZIP;q=0.5", "*", "identity;q=0, gzip ; q=1.0"] {
            let (compressed, bytes) = get(&service, path, &[("Accept-Encoding", accept)]).await;
            assert_eq!(header(&compressed, "content-encoding"), "gzip", "{accept}");
            assert!(bytes.len() * 2 < text.len(), "{path}: {} of {}", bytes.len(), text.len());
            let mut unpacked = Vec::new();
            GzDecoder::new(bytes.as_slice()).read_to_end(&mut unpacked).unwrap();
            assert!(unpacked == text, "{path} is another one when compressed");
            assert_eq!(header(&compressed, "vary"), "Accept-Encoding");
            assert_ne!(header(&compressed, "etag"), header(&plain, "etag"));
        }
        for accept in ["identity", "br", "gzip;q=0", "gzip; q=0.000", "", "gzip;q=0, *", "*, gzip;q=0", "*;q=0"] {
            let (plain, bytes) = get(&service, path, &[("Accept-Encoding", accept)]).await;
            assert!(header(&plain, "content-encoding").is_empty() && bytes == text, "{accept}");
        }
    }
}

#[tokio::test]
async fn a_document_that_the_client_has_is_not_sent_again() {
    let service = Service::start().await;
    let service = crm::service::service(&service.app);
    for path in DOCUMENTS {
        for accept in ["gzip", "identity"] {
            let (first, _) = get(&service, path, &[("Accept-Encoding", accept)]).await;
            let etag = header(&first, "etag").to_owned();
            assert!(etag.starts_with('"') && etag.ends_with('"'), "{etag}");
            for known in [etag.clone(), format!("\"other\", W/{etag}"), "*".to_owned()] {
                let headers = [("Accept-Encoding", accept), ("If-None-Match", known.as_str())];
                let (again, body) = get(&service, path, &headers).await;
                assert_eq!((again.status(), body.len()), (StatusCode::NOT_MODIFIED, 0), "{known}");
                assert_eq!(header(&again, "etag"), etag);
                assert!(!header(&again, "x-response-time").is_empty());
            }
            let (other, body) = get(&service, path, &[("If-None-Match", "\"other\"")]).await;
            assert!(other.status() == StatusCode::OK && !body.is_empty());
        }
    }
}

#[tokio::test]
async fn many_who_read_a_document_at_once_share_its_bytes() {
    let service = Service::start().await;
    let endpoint = crm::service::service(&service.app);
    let request = || Request::builder().uri_str(LARGE_DOCUMENT).finish();
    let mut first = endpoint.get_response(request()).await;
    let mut second = endpoint.get_response(request()).await;
    let (first, second) =
        (first.take_body().into_bytes().await.unwrap(), second.take_body().into_bytes().await.unwrap());
    assert!(first.len() > 1_000_000 && first.as_ptr() == second.as_ptr(), "a document was copied");
}
