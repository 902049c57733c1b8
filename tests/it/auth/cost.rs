//! What a refusal costs: whoever has no token must not be able to buy much work with one.

use std::time::{Duration, Instant};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::harness::Service;

/// The time of one of these calls: the least of many, so that others on the machine do not count.
async fn time(service: &Service, authorization: Option<&str>) -> Duration {
    let mut least = Duration::MAX;
    for _ in 0..300 {
        let call = match authorization {
            Some(token) => service.get("/customers").token(token),
            None => service.get("/health"),
        };
        let began = Instant::now();
        call.send_unchecked().await;
        least = least.min(began.elapsed());
    }
    least
}

fn of_header(header: &str) -> String {
    let token = format!("{}.e30.AAAA", URL_SAFE_NO_PAD.encode(header));
    assert!(token.len() <= 8192, "{}", token.len());
    token
}

/// In process and without optimisation, where the parts that libraries do are slow: so the bound is wide, and this only finds
/// what costs many times a probe. `make bench-refusals` measures it as built for production, over a socket.
#[tokio::test]
async fn no_token_that_is_refused_costs_much_more_than_a_probe() {
    let service = Service::start().await;
    let health = time(&service, None).await;
    let nested = |count: usize| format!(r#"{{"alg":"HS256","x":[{}]}}"#, vec!["[[1]]"; count].join(","));
    let members: Vec<String> = (0..400).map(|number| format!(r#""{number}":1"#)).collect();
    for (what, token) in [
        ("brackets", of_header(&nested(370))),
        ("too long a header", of_header(&nested(700))),
        ("members", of_header(&format!("{{{}}}", members.join(",")))),
        ("a long signature", format!("{}.e30.{}", URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#), "A".repeat(8100))),
        ("a long payload", format!("{}.{}.AAAA", URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#), "A".repeat(8100))),
        ("no JWT", "a".repeat(8192)),
        ("too long", "a.".repeat(200_000)),
    ] {
        let refused = time(&service, Some(&token)).await;
        eprintln!("{what}: {refused:?}, /health: {health:?}");
        assert!(refused < health * 20, "{what}: {refused:?}, /health: {health:?}");
    }
}
