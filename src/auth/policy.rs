//! What the claims of a token must be (RFC 7519; RFC 8725).
//!
//! - `exp` is required of a token, not of what the platform says about one; `nbf`, `iss` and `aud` are checked where they are
//!   there or the configuration names them. A token that names an audience is refused where none is configured: it may be
//!   meant for another service (RFC 7519, section 4.1.3).
//! - `iat` must not be ahead; where a greatest age is configured, it is required, and the token not older.
//! - Clocks may differ by [`LEEWAY`] (RFC 7519, sections 4.1.4 and 4.1.5).

use std::time::Duration;

use serde_json::{Map, Value};

use super::{
    claims::{self, Claims, Times, text, texts},
    refusal::{Refusal, bad_claim, refusal},
    rejection::Refused,
};
use crate::{config::AuthConfig, telemetry::auth_metrics::TokenRefusal, values::Timestamp};

/// How far the issuer's clock may be off.
pub const LEEWAY: Duration = Duration::from_secs(60);

/// What the claims must be.
pub(super) struct Policy {
    issuer: Option<String>,
    audience: Option<String>,
    max_age: Option<Duration>,
    tenant_claim: String,
}

/// What was found out about a token: what it says, and when it is valid.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Checked {
    pub(super) claims: Claims,
    times: Times,
}

impl Policy {
    pub(super) fn new(config: &AuthConfig) -> Self {
        Self {
            issuer: config.issuer.clone(),
            audience: config.audience.clone(),
            max_age: config.max_age,
            tenant_claim: config.tenant_claim.clone(),
        }
    }

    /// Reads claims, and checks what does not depend on the time. Those of a token must say when it expires.
    ///
    /// # Errors
    /// What is wrong with them, and whose the token is where they tell.
    pub(super) fn read(&self, claims: &Map<String, Value>, is_token: bool) -> Result<Checked, Refused> {
        let bearer = claims::bearer(claims, &self.tenant_claim)?;
        let known = |refusal| Refused { refusal, bearer: Some(Box::new(bearer.clone())) };
        let times = claims::times(claims).map_err(known)?;
        if is_token && times.expires.is_none() {
            return Err(known(refusal(TokenRefusal::claims, "the token has no claim exp")));
        }
        if self.max_age.is_some() && times.issued.is_none() {
            return Err(known(refusal(TokenRefusal::claims, "the token has no claim iat")));
        }
        self.check_parties(claims).map_err(known)?;
        let scopes = claims::scopes(claims).map_err(known)?;
        Ok(Checked { claims: Claims { bearer, scopes }, times })
    }

    /// Checks what depends on the time: each time that the token is used.
    ///
    /// # Errors
    /// That it is not valid now.
    pub(super) fn check(&self, checked: &Checked, now: Timestamp) -> Result<(), Refusal> {
        let now = now.0.timestamp_millis() as f64 / 1000.0;
        let leeway = LEEWAY.as_secs_f64();
        let Times { expires, begins, issued } = checked.times;
        if expires.is_some_and(|expires| now >= expires + leeway) {
            return Err(refusal(TokenRefusal::expired, "the token has expired"));
        }
        if begins.is_some_and(|begins| now < begins - leeway) {
            return Err(refusal(TokenRefusal::not_yet_valid, "the token is not valid yet"));
        }
        if issued.is_some_and(|issued| now < issued - leeway) {
            return Err(refusal(TokenRefusal::not_yet_valid, "the token was issued in the future (iat)"));
        }
        let oldest = issued.zip(self.max_age).map(|(issued, age)| issued + age.as_secs_f64() + leeway);
        if oldest.is_some_and(|oldest| now >= oldest) {
            return Err(refusal(TokenRefusal::expired, "the token is too old (iat)"));
        }
        Ok(())
    }

    fn check_parties(&self, claims: &Map<String, Value>) -> Result<(), Refusal> {
        let issuer = text(claims, "iss")?;
        if self.issuer.is_some() && issuer != self.issuer {
            return Err(refusal(TokenRefusal::issuer, "the token is from another issuer"));
        }
        let audience = texts(claims.get("aud")).map_err(|()| bad_claim("aud", "a string or an array of strings"))?;
        let ours = |audience: &Vec<String>| self.audience.as_ref().is_some_and(|own| audience.contains(own));
        match audience {
            Some(audience) if !ours(&audience) => {
                Err(refusal(TokenRefusal::audience, "the token is meant for another audience"))
            }
            None if self.audience.is_some() => Err(refusal(TokenRefusal::audience, "the token names no audience")),
            _ => Ok(()),
        }
    }
}
