//! Values that must not leak: [`Secret`].

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

/// A value that is masked in logs, and wiped from memory when it is dropped.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Keeps a secret.
    #[must_use]
    pub fn new(secret: String) -> Self {
        Self(secret.into())
    }

    /// The secret itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        self.0.expose_secret()
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.reveal() == other.reveal()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
