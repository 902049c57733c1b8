//! Phone numbers and e-mail addresses: who sees them, and how they are stored.

use std::path::PathBuf;

use super::{
    country::Country,
    database::beside,
    database_url::DatabaseUrl,
    pii_keys::PiiKeys,
    variables::{SecretName, Variables, on_or_off},
};

/// Who sees phone numbers and e-mail addresses in clear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PiiDisplay {
    /// Tokens with the scope `crm:pii:read`; everybody else sees them masked.
    Scoped,
    /// Everybody: the platform masks elsewhere.
    Clear,
}

/// Where the keys come from that personal data is sealed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PiiKeySource {
    /// The environment, or a file that it names.
    Given(PiiKeys),
    /// Nothing is configured: a file beside the embedded database, made when missing.
    Embedded(PathBuf),
    /// Nothing is configured, and the database is not the embedded one.
    NotConfigured,
}

/// As read: `None` after a mistake.
pub(super) struct Pii {
    pub(super) display: Option<PiiDisplay>,
    /// Also `None` where it is not set.
    keys: Option<PiiKeys>,
    pub(super) encryption: Option<bool>,
    pub(super) phone_country: Option<Country>,
}

impl Pii {
    pub(super) fn read(env: &mut Variables<'_>) -> Self {
        env.about("Phone numbers and e-mail addresses");
        Self {
            display: env.value(
                "CRM_PII_DISPLAY",
                "scoped",
                "in replies: masked without the scope `crm:pii:read` (`scoped`), or never (`clear`)",
                display,
            ),
            keys: env.secret(
                SecretName { name: "CRM_PII_KEYS", file: "CRM_PII_KEYS_FILE" },
                (
                    "encryption keys, `id:base64,…`: the first encrypts, all decrypt; `crm keygen pii` makes one",
                    "file with them, separated by commas or lines",
                ),
                str::parse,
            ),
            encryption: env.value(
                "CRM_PII_ENCRYPTION",
                "on",
                "they are stored encrypted (`on`) or in clear (`off`)",
                on_or_off,
            ),
            phone_country: env.value(
                "CRM_PHONE_COUNTRY",
                "CN",
                "country (ISO 3166-1) by whose rules a phone number without `+` or `00` is read for searching",
                str::parse,
            ),
        }
    }

    pub(super) fn key_source(&self, database: Option<&DatabaseUrl>) -> PiiKeySource {
        match (&self.keys, database) {
            (Some(keys), _) => PiiKeySource::Given(keys.clone()),
            (None, Some(DatabaseUrl::Sqlite(file))) => PiiKeySource::Embedded(beside(file, ".keys")),
            (None, _) => PiiKeySource::NotConfigured,
        }
    }
}

fn display(text: &str) -> Result<PiiDisplay, String> {
    match text {
        "scoped" => Ok(PiiDisplay::Scoped),
        "clear" => Ok(PiiDisplay::Clear),
        _ => Err("must be scoped or clear".to_owned()),
    }
}
