//! The content security policy of a page (CSP Level 3): what stands in it, by its hash, and what it needs besides.

use base64::{Engine, engine::general_purpose::STANDARD};
use sha2::{Digest, Sha256};

/// What a page may do besides showing itself.
#[derive(Default)]
pub struct Policy {
    /// Load scripts and styles from the service.
    pub loads: bool,
    /// Send requests to the service.
    pub connects: bool,
    /// Make styles as it goes.
    pub makes_styles: bool,
}

impl Policy {
    /// The header's value for a page with this style and this script in it.
    #[must_use]
    pub fn header(&self, style: &str, script: &str) -> String {
        let own = if self.loads { " 'self'" } else { "" };
        // Beside a hash, browsers ignore 'unsafe-inline'.
        let style = if self.makes_styles { " 'unsafe-inline'".to_owned() } else { hash(style) };
        let scripts = if script.is_empty() { " 'none'".to_owned() } else { format!("{own}{}", hash(script)) };
        let connect = if self.connects { "'self'" } else { "'none'" };
        format!(
            "default-src 'none'; script-src{scripts}; style-src{own}{style}; img-src data:; font-src data:; \
             connect-src {connect}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
    }
}

fn hash(text: &str) -> String {
    format!(" 'sha256-{}'", STANDARD.encode(Sha256::digest(text)))
}
