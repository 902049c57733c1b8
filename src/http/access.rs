//! What a caller may do: the scopes, and what the contract says of them.

use poem_openapi::registry::{MetaOAuthFlow, MetaOAuthFlows, MetaOAuthScope, MetaSecurityScheme, Registry};

/// The security scheme's name in the contract.
pub const SECURITY_SCHEME: &str = "bearerAuth";

/// The name of the same as an OAuth 2.0 scheme, which can say which scope an operation needs.
pub const OAUTH_SCHEME: &str = "oauth2";

/// Where the platform issues tokens, as far as this service can say: the gateway's documentation has the address.
const TOKEN_URL: &str = "/oauth2/token";

/// The scopes, and what each allows.
const SCOPES: [(&str, &str); 5] = [
    (CanRead::SCOPE, "Read resources and events."),
    (CanWrite::SCOPE, "Create, change and delete resources."),
    (PII_SCOPE, "See phone numbers and e-mail addresses unmasked, search by them, and export a customer's data."),
    (CanErase::SCOPE, "Erase a customer's personal data."),
    (CanAudit::SCOPE, "Read the audit trail."),
];

/// The names of all scopes.
pub fn scopes() -> impl Iterator<Item = &'static str> {
    SCOPES.iter().map(|(scope, _)| *scope)
}

/// The scope of this name.
#[must_use]
pub fn scope(name: &str) -> Option<&'static str> {
    SCOPES.iter().map(|(scope, _)| *scope).find(|scope| *scope == name)
}

/// The scope for seeing phone numbers and e-mail addresses unmasked.
pub(super) const PII_SCOPE: &str = "crm:pii:read";

/// The access that an operation requires.
pub trait Access: Send + Sync + 'static {
    /// The required scope.
    const SCOPE: &'static str;
    /// Whether a token must name it, also one that names no `crm:` scope at all.
    const MUST_BE_NAMED: bool = false;
    /// A scope that suffices too.
    const ALTERNATIVE: Option<&'static str> = None;
    /// Whether all that is answered is personal data in clear, so that the caller must be allowed to see it.
    const REVEALS: bool = false;

    /// The scopes in the contract, each of which suffices; those that are needed together are separated by a space.
    #[must_use]
    fn contract_scopes() -> Vec<&'static str> {
        [Some(Self::SCOPE), Self::ALTERNATIVE].into_iter().flatten().collect()
    }
}

/// The caller may read.
#[derive(Debug, Clone)]
pub struct CanRead;

/// The caller may write.
#[derive(Debug, Clone)]
pub struct CanWrite;

/// The caller may read or write: who may only write must be able to learn what came of it.
#[derive(Debug, Clone)]
pub struct CanReadOrWrite;

/// The caller may read everything, personal data in clear too.
#[derive(Debug, Clone)]
pub struct CanExport;

/// The caller may read the audit trail.
#[derive(Debug, Clone)]
pub struct CanAudit;

/// The caller may erase personal data.
#[derive(Debug, Clone)]
pub struct CanErase;

impl Access for CanRead {
    const SCOPE: &'static str = "crm:read";
}

impl Access for CanWrite {
    const SCOPE: &'static str = "crm:write";
}

impl Access for CanReadOrWrite {
    const SCOPE: &'static str = CanRead::SCOPE;
    const ALTERNATIVE: Option<&'static str> = Some(CanWrite::SCOPE);
}

impl Access for CanExport {
    const SCOPE: &'static str = CanRead::SCOPE;
    const REVEALS: bool = true;

    fn contract_scopes() -> Vec<&'static str> {
        vec!["crm:read crm:pii:read"]
    }
}

impl Access for CanAudit {
    const SCOPE: &'static str = "crm:audit:read";
    const MUST_BE_NAMED: bool = true;
}

impl Access for CanErase {
    const SCOPE: &'static str = "crm:pii:erase";
    const MUST_BE_NAMED: bool = true;
}

/// The access of a caller who may change data.
pub trait Changing: Access {}

impl Changing for CanWrite {}

impl Changing for CanErase {}

/// Adds the security schemes to the contract.
pub(super) fn register(registry: &mut Registry) {
    registry.create_security_scheme(SECURITY_SCHEME, bearer_scheme());
    registry.create_security_scheme(OAUTH_SCHEME, oauth_scheme());
}

fn bearer_scheme() -> MetaSecurityScheme {
    MetaSecurityScheme {
        scheme: Some("bearer"),
        bearer_format: Some("JWT"),
        ..scheme(
            "http",
            "A JSON Web Token issued by the platform, verified as RFC8725 recommends, or an opaque token that the platform \
             knows. A token that names no `crm:` scope may read and write its tenant, unless the service is configured to \
             require scopes; one that names any is limited to the scopes it has. `crm:pii:read`, `crm:pii:erase` and \
             `crm:audit:read` must always be named. A token with the claim `tenant_id` (a string or an array of strings; the \
             service may be configured for another name) is limited to those tenants.",
        )
    }
}

fn oauth_scheme() -> MetaSecurityScheme {
    let scopes = SCOPES.iter().map(|(name, allows)| MetaOAuthScope { name, description: Some(allows) });
    let flow = MetaOAuthFlow {
        authorization_url: None,
        token_url: Some(TOKEN_URL),
        refresh_url: Some(TOKEN_URL),
        scopes: scopes.collect(),
    };
    MetaSecurityScheme {
        flows: Some(MetaOAuthFlows {
            implicit: None,
            password: None,
            client_credentials: Some(flow),
            authorization_code: None,
        }),
        ..scheme(
            OAUTH_SCHEME,
            "The same tokens, with the scope that each operation needs. The platform issues them, not this service: its \
             documentation has the address, in place of the one here. Tokens are verified as RFC8725 recommends.",
        )
    }
}

fn scheme(ty: &'static str, description: &'static str) -> MetaSecurityScheme {
    MetaSecurityScheme {
        ty,
        description: Some(description),
        name: None,
        key_in: None,
        scheme: None,
        bearer_format: None,
        flows: None,
        openid_connect_url: None,
    }
}
