//! Pages for people: an index at `/`, Swagger UI at `/docs`, Redoc at `/redoc`.
//!
//! A page names everything relative to its own address, because only the browser knows a gateway's prefix. It runs its own
//! script and loads what is in `assets`: files of the packages swagger-ui-dist and redoc as they are published, compressed.
//! `make check-assets` compares them. A page sends requests only to the service that it came from: its content security
//! policy ([`policy`]) allows no other.

mod policy;

use poem::{Route, get};
use serde_json::json;

use self::policy::Policy;
use crate::http::{
    BASE_PATH,
    document::{Document, Negotiated, Page},
};

const INDEX: &str = "/";
const SWAGGER_UI: &str = "/docs";
const REDOC: &str = "/redoc";
const SWAGGER_UI_SCRIPT: Asset = Asset {
    path: "/assets/swagger-ui-5.35.0.js",
    media_type: "text/javascript; charset=utf-8",
    gzip: include_bytes!("assets/swagger-ui-5.35.0.js.gz"),
};
const SWAGGER_UI_STYLE: Asset = Asset {
    path: "/assets/swagger-ui-5.35.0.css",
    media_type: "text/css; charset=utf-8",
    gzip: include_bytes!("assets/swagger-ui-5.35.0.css.gz"),
};
const REDOC_SCRIPT: Asset = Asset {
    path: "/assets/redoc-3.0.1.js",
    media_type: "text/javascript; charset=utf-8",
    gzip: include_bytes!("assets/redoc-3.0.1.js.gz"),
};

/// The paths of the pages, and of what they load. People and gateways add a slash at the end, or take it away.
pub const PATHS: [&str; 9] = [
    INDEX,
    BASE_PATH,
    SWAGGER_UI,
    "/docs/",
    REDOC,
    "/redoc/",
    SWAGGER_UI_SCRIPT.path,
    SWAGGER_UI_STYLE.path,
    REDOC_SCRIPT.path,
];

/// What a page loads, at an address that names its version.
struct Asset {
    path: &'static str,
    media_type: &'static str,
    gzip: &'static [u8],
}

impl Asset {
    fn document(self) -> Document {
        Document::asset(self.media_type, self.gzip)
    }
}

/// The versions of the contracts.
#[derive(Clone, Copy)]
pub struct Versions {
    /// That of the API.
    pub api: &'static str,
    /// That of the events.
    pub events: &'static str,
}

/// Adds the pages to the documents.
#[must_use]
pub fn add(documents: Route, versions: Versions) -> Route {
    documents
        .at(INDEX, get(index(".", versions)))
        .at(BASE_PATH, get(index("./crm", versions)))
        .at(SWAGGER_UI, get(Document::page(|| swagger_ui("."))))
        .at("/docs/", get(Document::page(|| swagger_ui(".."))))
        .at(REDOC, get(Document::page(|| redoc("."))))
        .at("/redoc/", get(Document::page(|| redoc(".."))))
        .at(SWAGGER_UI_SCRIPT.path, get(SWAGGER_UI_SCRIPT.document()))
        .at(SWAGGER_UI_STYLE.path, get(SWAGGER_UI_STYLE.document()))
        .at(REDOC_SCRIPT.path, get(REDOC_SCRIPT.document()))
}

/// Links to everything that is not an operation, for people and for programs. `root` leads from the page to `/`.
fn index(root: &'static str, Versions { api, events }: Versions) -> Negotiated {
    let page = move || {
        let html = include_str!("index.html").replace("{api}", api).replace("{events}", events);
        page(&html, root, "", &Policy::default())
    };
    let links = move || {
        let at = |path: &str| format!("{root}/{path}");
        let links = json!({
            "health": at("health"),
            "swaggerUi": at("docs"),
            "redoc": at("redoc"),
            "contract": { "version": api, "yaml": at("openapi.yaml"), "json": at("openapi.json") },
            "events": { "version": events, "yaml": at("asyncapi.yaml"), "json": at("asyncapi.json") },
        });
        format!("{links:#}")
    };
    Negotiated { page: Document::page(page), json: Document::new("application/json", links) }
}

fn swagger_ui(root: &str) -> Page {
    let html = include_str!("swagger_ui.html")
        .replace("{library}", SWAGGER_UI_SCRIPT.path)
        .replace("{style}", SWAGGER_UI_STYLE.path);
    let policy = Policy { loads: true, connects: true, ..Policy::default() };
    page(&html, root, concat!(include_str!("contract.js"), include_str!("swagger_ui.js")), &policy)
}

fn redoc(root: &str) -> Page {
    let html = include_str!("redoc.html").replace("{library}", REDOC_SCRIPT.path);
    let policy = Policy { loads: true, connects: true, makes_styles: true };
    page(&html, root, concat!(include_str!("contract.js"), include_str!("redoc.js")), &policy)
}

/// Fills in what all pages have in common.
fn page(html: &str, root: &str, script: &str, policy: &Policy) -> Page {
    let style = include_str!("page.css");
    let html = html
        .replace("{root}", root)
        .replace("{icon}", include_str!("icon.txt").trim_end())
        .replace("{own_style}", style)
        .replace("{own_script}", script);
    Page { html, policy: policy.header(style, script) }
}
