//! Pages for people: where they are, what they load, and what a browser may do with them.

use base64::{Engine, engine::general_purpose::STANDARD};
use crm::service::pages::PATHS;
use poem::http::Method;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::harness::{Reply, Service};

/// Each page, with the way from its folder to where the operations are.
const PAGES: [(&str, &str); 6] =
    [("/", "."), ("/docs", "."), ("/docs/", ".."), ("/redoc", "."), ("/redoc/", ".."), ("/api/v1/crm", "./crm")];

async fn page(service: &Service, path: &str) -> Reply {
    let call = service.get(if path == "/api/v1/crm" { "" } else { path }).without("Authorization");
    call.send().await.expect(200)
}

/// What stands in the page between these.
fn inline<'p>(page: &'p str, start: &str, end: &str) -> Vec<&'p str> {
    page.split(start).skip(1).filter_map(|rest| Some(rest.split_once('>')?.1.split_once(end)?.0)).collect()
}

#[tokio::test]
async fn a_page_is_html_with_a_title_a_language_and_an_icon() {
    let service = Service::start().await;
    for (path, _) in PAGES {
        let reply = page(&service, path).await;
        assert_eq!(reply.header("Content-Type"), "text/html; charset=utf-8", "{path}");
        assert!(reply.text.starts_with("<!doctype html>\n<html lang=\"en\">"), "{path}");
        assert!(
            reply.text.contains("<title>CRM API") && reply.text.contains("rel=\"icon\" href=\"data:image"),
            "{path}"
        );
        assert!(!reply.text.contains("{root}") && !reply.text.contains("{own_"), "{path} has gaps");
    }
}

#[tokio::test]
async fn what_a_page_names_is_relative_and_exists() {
    let service = Service::start().await;
    for (path, root) in PAGES {
        let reply = page(&service, path).await;
        let named = ["href=\"", "src=\"", "data-library=\""].map(|start| reply.text.split(start).skip(1));
        let named = named.into_iter().flatten().filter_map(|rest| rest.split('"').next());
        let named: Vec<&str> = named.filter(|address| !address.starts_with("data:")).collect();
        assert!(named.len() >= 3, "{path}: {named:?}");
        for address in named {
            let target = address.strip_prefix(root).unwrap_or_else(|| panic!("{path} names {address}"));
            service.get(target).without("Authorization").send().await.expect(200);
            service.get(target).without("Authorization").without_prefix().send().await.expect(200);
        }
    }
}

#[tokio::test]
async fn a_page_runs_what_its_policy_names_by_hash_and_from_here_only() {
    let service = Service::start().await;
    for (path, _) in PAGES {
        let reply = page(&service, path).await;
        let policy = reply.header("Content-Security-Policy");
        let hash = |text: &str| format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text)));
        let scripts: Vec<&str> =
            inline(&reply.text, "<script", "</script>").into_iter().filter(|s| !s.is_empty()).collect();
        assert_eq!(scripts.len(), usize::from(reply.text.contains("<script")), "{path}");
        let directive = |name: &str| policy.split("; ").find_map(|part| part.strip_prefix(name)).unwrap_or_default();
        for script in &scripts {
            assert!(directive("script-src ").contains(&hash(script)), "{path}: {policy}");
        }
        let allowed = if scripts.is_empty() { "'none'".to_owned() } else { format!("'self' {}", hash(scripts[0])) };
        assert_eq!(directive("script-src "), allowed, "{path}");
        for style in inline(&reply.text, "<style", "</style>") {
            let styles = directive("style-src ");
            assert!(styles.contains(&hash(style)) || path.starts_with("/redoc"), "{path}: {styles}");
        }
        assert!(policy.starts_with("default-src 'none'; ") && policy.ends_with("frame-ancestors 'none'"), "{policy}");
        assert!(!policy.contains("http") && !policy.contains("unsafe-eval") && !policy.contains('*'), "{policy}");
        assert!(!directive("script-src ").contains("unsafe"), "{policy}");
    }
}

#[tokio::test]
async fn what_pages_load_is_kept_for_good_and_pages_are_asked_for() {
    let service = Service::start().await;
    let mut assets = 0;
    for path in PATHS.iter().filter(|path| path.starts_with("/assets/")) {
        let reply = service.get(path).without("Authorization").send_unchecked().await.expect(200);
        assert_eq!(reply.header("Cache-Control"), "public, max-age=31536000, immutable");
        assert!(path.bytes().filter(u8::is_ascii_digit).count() >= 3, "{path} names no version");
        let media_type = if path.ends_with(".css") { "text/css" } else { "text/javascript" };
        assert_eq!(reply.header("Content-Type"), format!("{media_type}; charset=utf-8"));
        assert_eq!(reply.header("X-Content-Type-Options"), "nosniff");
        assets += 1;
    }
    assert_eq!(assets, 3);
    assert_eq!(page(&service, "/docs").await.header("Cache-Control"), "no-cache");
}

#[tokio::test]
async fn the_index_is_json_for_those_who_would_rather_have_that() {
    let service = Service::start().await;
    let version = crm::service::contract::VERSION;
    for (accept, is_json) in [
        ("application/json", true),
        ("text/html;q=0.5, application/json", true),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", false),
        ("text/html, application/json", false),
        ("application/json;q=0", false),
        ("*/*", false),
    ] {
        let reply = service.get("/").without("Authorization").header("Accept", accept).send().await.expect(200);
        assert_eq!(reply.header("Content-Type").starts_with("application/json"), is_json, "{accept}");
        assert_eq!(reply.header("Vary"), "Accept, Accept-Encoding");
        assert!(reply.text.contains(version));
        if is_json {
            assert_eq!(
                reply.body["contract"],
                json!({ "version": version, "yaml": "./openapi.yaml", "json": "./openapi.json" })
            );
        }
    }
}

#[tokio::test]
async fn pages_take_get_and_head_and_their_neighbours_are_404() {
    let service = Service::start().await;
    for path in PATHS {
        let path = if path == "/api/v1/crm" { "" } else { path };
        let head = service.call(Method::HEAD, path).without("Authorization").send_unchecked().await.expect(200);
        assert!(head.text.is_empty() && !head.header("ETag").is_empty(), "{path}");
        let reply = service.post(path, json!({})).without("Authorization").send().await.expect(405);
        assert_eq!((reply.header("Allow"), &reply.body["code"]), ("GET, HEAD", &json!("METHOD_NOT_ALLOWED")));
    }
    for path in ["/assets", "/assets/", "/assets/swagger-ui-0.0.0.js", "/docs//", "/docs/index.html", "/redoc/x", "//"]
    {
        let reply = service.get(path).without("Authorization").send().await.expect(404);
        assert_eq!(reply.body["code"], "NOT_FOUND", "{path}");
    }
}
