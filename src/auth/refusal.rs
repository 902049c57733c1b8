//! Reasons for not accepting a token.

use std::borrow::Cow;

use crate::telemetry::auth_metrics::TokenRefusal;

/// Why a token is not valid, in words that repeat nothing of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The kind of reason.
    pub reason: TokenRefusal,
    /// The reason, for the client.
    pub text: Cow<'static, str>,
}

/// A reason.
pub(super) fn refusal(reason: TokenRefusal, text: &'static str) -> Refusal {
    Refusal { reason, text: Cow::Borrowed(text) }
}

/// A token that has not the form of one.
pub(super) fn malformed(text: &'static str) -> Refusal {
    refusal(TokenRefusal::malformed, text)
}

/// A claim that is not what it must be.
pub(super) fn bad_claim(name: &str, must: &str) -> Refusal {
    Refusal { reason: TokenRefusal::claims, text: Cow::Owned(format!("the claim {name} must be {must}")) }
}
