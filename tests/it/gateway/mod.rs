//! The gateways of `delivery/gateway`, each started in front of the service with TLS, once with the prefix passed on and once with
//! it stripped. Run by `make gateways`. What is not installed is skipped, and a line says so; with `CI=true` it is a failure.

mod front;
mod passing;
mod recorder;
mod refusing;
mod registration;
mod repeating;

use serde_json::{Value, json};

use self::front::{Front, Kind};
use crate::harness::{Contract, Process, SECRET, TestDatabase, sign_hs256};

/// The prefix under which the service is reached.
const PREFIX: &str = "/api/v1/crm";

/// Whoever is behind a gateway has many connections.
const BEHIND: [(&str, &str); 1] = [("CRM_TRUSTED_PROXIES", "127.0.0.0/8")];

async fn service() -> (TestDatabase, Process) {
    let database = TestDatabase::new().await;
    let process = Process::with("serve", "serving", &database, &BEHIND);
    (database, process)
}

fn token() -> String {
    sign_hs256(&json!({ "exp": 4_000_000_000_u64, "scope": "crm:read crm:write" }), SECRET)
}

/// A reply that came through a gateway.
#[derive(Debug)]
struct Reply {
    /// Which gateway it came through.
    front: String,
    status: u16,
    headers: reqwest::header::HeaderMap,
    body: String,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The only value of a header.
    fn header(&self, name: &str) -> &str {
        let values: Vec<_> = self.headers.get_all(name).iter().collect();
        let [value] = values.as_slice() else { panic!("{name} {values:?} times: {self:?}") };
        value.to_str().unwrap()
    }

    fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "through {}: {self:?}", self.front);
        self
    }

    /// Fails unless this is an error of the contract, with this code and, if there was one, the request's id; whoever made it.
    fn refused(self, status: u16, code: &str, request_id: Option<&str>) -> Self {
        let reply = self.expect(status);
        let body = reply.json();
        let contract = Contract::emitted();
        contract.check_schema(contract.schema("ErrorBody"), &body);
        assert_eq!(body["code"], code, "{reply:?}");
        assert_eq!(body["requestId"], reply.header("X-Request-ID"), "{reply:?}");
        assert!(request_id.is_none_or(|id| body["requestId"] == id), "{reply:?}");
        assert_eq!(reply.header("Content-Type"), "application/json");
        let time: f64 = reply.header("X-Response-Time").parse().unwrap_or_else(|_| panic!("{reply:?}"));
        assert!(time >= 0.0 && reply.headers.contains_key("Retry-After") == [429, 503].contains(&status), "{reply:?}");
        reply
    }
}
