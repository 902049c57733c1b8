//! How much a tenant and a caller may ask for.

use std::{num::NonZeroU32, time::Duration};

use super::variables::Variables;

/// A number of requests in a time. All of it may come at once; it is given back evenly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// The requests.
    pub requests: NonZeroU32,
    /// The time.
    pub window: Duration,
}

/// As read: `None` after a mistake.
pub(super) struct Rates {
    pub(super) tenant: Option<Option<Rate>>,
    pub(super) caller: Option<Option<Rate>>,
    pub(super) event_waiters: Option<usize>,
    pub(super) event_waiters_per_tenant: Option<usize>,
}

impl Rates {
    pub(super) fn read(env: &mut Variables<'_>) -> Self {
        Self {
            tenant: env.value(
                "CRM_TENANT_RATE",
                "off",
                "requests that a tenant may send to each process, all at once or evenly: `100/s`, `600/m`; beyond them 429",
                rate,
            ),
            caller: env.value(
                "CRM_CALLER_RATE",
                "off",
                "the same of a caller (the token's `sub`, or else its client; those with neither together): of one in each \
                 tenant if its tokens name just one, else in all together",
                rate,
            ),
            event_waiters: env.value(
                "CRM_EVENT_WAITERS",
                "1024",
                "readers that may wait for events at once, `GET /events?wait=`, in each process",
                waiters,
            ),
            event_waiters_per_tenant: env.value(
                "CRM_EVENT_WAITERS_PER_TENANT",
                "256",
                "the same of one tenant",
                waiters,
            ),
        }
    }
}

fn rate(text: &str) -> Result<Option<Rate>, String> {
    if text == "off" {
        return Ok(None);
    }
    let rate = text.split_once('/').and_then(|(requests, unit)| {
        let window = match unit {
            "s" => 1,
            "m" => 60,
            _ => return None,
        };
        Some(Rate { requests: requests.parse().ok()?, window: Duration::from_secs(window) })
    });
    rate.map(Some)
        .ok_or_else(|| "must be a number of requests per second or minute, like 100/s or 600/m, or off".to_owned())
}

fn waiters(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(waiters @ 1..=100_000) => Ok(waiters),
        _ => Err("must be 1 to 100000".to_owned()),
    }
}
