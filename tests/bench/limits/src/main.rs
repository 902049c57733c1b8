//! Answers `GET /customers/{id}` with one customer and `GET /customers` with twenty, written as JSON each time: what is left of a
//! request where there is no token, no tenant, no database and no contract. Usage: `limits PORT`.

use poem::{Body, Response, Route, Server, get, handler, listener::TcpListener, web::Path};
use serde::Serialize;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Customer<'c> {
    customer_id: &'c str,
    name: &'static str,
    contact_phone: &'static str,
    contact_email: &'static str,
    status: i32,
    created_at: &'static str,
    updated_at: &'static str,
    version: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Page<'c> {
    data: Vec<Customer<'c>>,
    total: u64,
    total_exact: bool,
    next_cursor: String,
}

fn of(customer_id: &str) -> Customer<'_> {
    Customer {
        customer_id,
        name: "Acme",
        contact_phone: "138****5678",
        contact_email: "l***@example.com",
        status: 0,
        created_at: "2026-01-31T09:30:00.125Z",
        updated_at: "2026-01-31T09:30:00.125Z",
        version: 1,
    }
}

fn json(value: &impl Serialize) -> Response {
    let body = serde_json::to_vec(value).unwrap_or_default();
    Response::builder().content_type("application/json").body(Body::from_vec(body))
}

#[handler]
fn customer(Path(id): Path<String>) -> Response {
    json(&of(&id))
}

#[handler]
fn customers() -> Response {
    let data = (0..20).map(|_| of("019c0f1e-5c3a-7d62-9a41-3d0b6a9b7e55")).collect();
    json(&Page { data, total: 1000, total_exact: true, next_cursor: "x".repeat(112) })
}

fn routes() -> Route {
    Route::new().at("/customers", get(customers)).at("/customers/:id", get(customer))
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let port = std::env::args().nth(1).unwrap_or_else(|| "18123".to_owned());
    Server::new(TcpListener::bind(format!("127.0.0.1:{port}"))).run(routes()).await
}
