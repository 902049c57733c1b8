//! What becomes of a token that is not accepted.

use super::{claims::Bearer, refusal::Refusal};
use crate::telemetry::auth_metrics::TokenRefusal;

/// A token that is not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Why.
    pub refusal: Refusal,
    /// Whose it is, where it was issued by the platform: an expired token, one for another audience.
    pub bearer: Option<Box<Bearer>>,
}

/// What keeps a token from being accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rejection {
    /// It is not valid.
    Refused(Refused),
    /// It is too long to be looked at.
    TooLarge,
    /// The platform is away, and it cannot be checked without. The cause is for the log.
    Unavailable(String),
}

impl Rejection {
    /// The kind of reason.
    #[must_use]
    pub fn reason(&self) -> TokenRefusal {
        match self {
            Self::Refused(refused) => refused.refusal.reason,
            Self::TooLarge => TokenRefusal::too_large,
            Self::Unavailable(_) => TokenRefusal::unavailable,
        }
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, bearer: None }
    }
}

impl<R: Into<Refused>> From<R> for Rejection {
    fn from(refused: R) -> Self {
        Self::Refused(refused.into())
    }
}
