//! What is known of a caller once its token has identified it, for whatever else looks at the request.

use std::sync::{Arc, OnceLock};

use super::access::PII_SCOPE;
use crate::{
    auth::Actor,
    error::{Error, Result},
    pii::PiiVisibility,
};

/// The caller, once its token has identified it: for auditing rejected requests, and for what the rest of the request must
/// know of it.
#[derive(Debug, Clone, Default)]
pub struct IdentifiedCaller(pub(super) Arc<Identity>);

#[derive(Debug, Default)]
pub(super) struct Identity {
    pub(super) actor: OnceLock<Actor>,
    /// Set where the caller may write, but not read.
    pub(super) is_blind: OnceLock<()>,
    /// Set once the caller may make the request.
    pub(super) visibility: OnceLock<PiiVisibility>,
}

impl IdentifiedCaller {
    /// The actor, if known.
    #[must_use]
    pub fn actor(&self) -> Option<&Actor> {
        self.0.actor.get()
    }

    /// Whether the caller may write, but not read.
    #[must_use]
    pub fn is_blind(&self) -> bool {
        self.0.is_blind.get().is_some()
    }

    /// Whether the caller may do something that reveals personal data, such as searching by it: a search confirms what it is
    /// given.
    ///
    /// # Errors
    /// Forbidden, unless the caller sees personal data unmasked.
    pub fn sees_clear(&self, what: &str) -> Result<()> {
        reveals(self.0.visibility.get().copied().unwrap_or(PiiVisibility::Masked), what)
    }
}

/// Forbidden, unless personal data is seen unmasked; `what` would reveal it.
pub(super) fn reveals(visibility: PiiVisibility, what: &str) -> Result<()> {
    match visibility {
        PiiVisibility::Clear => Ok(()),
        PiiVisibility::Masked => {
            Err(Error::insufficient_scope_for(format!("{what} needs the scope {PII_SCOPE}"), PII_SCOPE))
        }
    }
}
