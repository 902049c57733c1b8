//! Authentication and authorization: [`Caller`] is the result of the security scheme and the first argument of every
//! operation except the probes. Writes require a `Caller<CanWrite>` and reads the caller's tenant, so neither check can
//! be forgotten; tests walk the contract to make sure that no other operation answers anonymous requests.
//!
//! Order of checks: token (401), rate (429), scope (403), tenant header (400), tenant allowed by the token (403).

use std::{
    marker::PhantomData,
    sync::{Arc, OnceLock},
};

use poem::{
    Request, RequestBody,
    http::{HeaderMap, header::AUTHORIZATION},
};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    registry::{MetaSecurityScheme, Registry},
};

use super::{
    header::{Sent, sent, text},
    rate::RateLimits,
    request_id::ReceivedRequestId,
};
use crate::{
    auth::{Actor, Bearer, Claims, Keys},
    config::PiiDisplay,
    error::{Error, Result},
    pii::PiiVisibility,
    telemetry::trace::Trace,
    values::{Clock, Tenant},
};

/// The tenant header, as spelled in the contract.
pub const TENANT_HEADER: &str = "X-Tenant-Id";

/// The security scheme's name in the contract.
pub const SECURITY_SCHEME: &str = "bearerAuth";

/// The scope for seeing phone numbers and e-mail addresses unmasked.
const PII_SCOPE: &str = "crm:pii:read";

/// The access that an operation requires.
pub trait Access: Send + Sync + 'static {
    /// The required scope, unless the token has no `crm:` scope at all.
    const SCOPE: &'static str;
}

/// The caller may read.
#[derive(Debug, Clone)]
pub struct CanRead;

/// The caller may write.
#[derive(Debug, Clone)]
pub struct CanWrite;

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

impl Access for CanAudit {
    const SCOPE: &'static str = "crm:audit:read";
}

impl Access for CanErase {
    const SCOPE: &'static str = "crm:pii:erase";
}

/// The access of a caller who may change data.
pub trait Changing: Access {}

impl Changing for CanWrite {}

impl Changing for CanErase {}

/// An authenticated caller with the access `A`.
#[derive(Debug, Clone)]
pub struct Caller<A> {
    /// Who the caller is and for which tenant, for the audit trail.
    pub actor: Actor,
    /// Whether the caller sees phone numbers and e-mail addresses unmasked.
    pub visibility: PiiVisibility,
    access: PhantomData<A>,
}

/// Authenticates and authorizes callers. Attached to every request.
#[derive(Clone)]
pub struct Authenticator {
    /// The keys that verify tokens.
    pub keys: Arc<Keys>,
    /// The clock that token lifetimes are checked against.
    pub clock: Clock,
    /// The tenant if neither header nor token names one.
    pub default_tenant: Tenant,
    /// Who sees phone numbers and e-mail addresses unmasked.
    pub pii_display: PiiDisplay,
}

/// The caller, once its token has identified it, for auditing rejected requests.
#[derive(Debug, Clone, Default)]
pub struct IdentifiedCaller(Arc<OnceLock<Actor>>);

impl IdentifiedCaller {
    /// The actor, if known.
    #[must_use]
    pub fn actor(&self) -> Option<&Actor> {
        self.0.get()
    }
}

impl<A> Caller<A> {
    /// The tenant that the request is about.
    #[must_use]
    pub fn tenant(&self) -> &Tenant {
        &self.actor.tenant
    }

    /// Whether the caller may do something that reveals personal data, such as `searching by phone`: a search confirms
    /// what it is given.
    ///
    /// # Errors
    /// Forbidden, unless the caller sees personal data unmasked.
    pub fn sees_clear(&self, what: &str) -> Result<()> {
        match self.visibility {
            PiiVisibility::Clear => Ok(()),
            PiiVisibility::Masked => Err(Error::forbidden(format!("{what} needs the scope {PII_SCOPE}"))),
        }
    }
}

impl<A: Access> Caller<A> {
    fn of(request: &Request) -> Result<Self> {
        let authenticator =
            request.data::<Authenticator>().ok_or_else(|| Error::internal("the service has no authenticator"))?;
        let claims = authenticator.authenticate(request)?;
        // If the request is rejected below, it is audited under this actor's tenant.
        let actor = authenticator.audited_actor(request, &claims.bearer);
        identify(request, &actor);
        let caller = claims.bearer.subject.as_deref().or(claims.bearer.client.as_deref());
        rates(request)?.admit(request, &actor.tenant, caller)?;
        authorize(&claims, A::SCOPE)?;
        let tenant = authenticator.tenant(&claims.bearer, request.headers())?;
        let visibility = authenticator.visibility(&claims);
        Ok(Self { actor: Actor { tenant, ..actor }, visibility, access: PhantomData })
    }
}

impl Authenticator {
    /// Verifies the bearer token. The `Authorization` header must be sent exactly once.
    fn authenticate(&self, request: &Request) -> Result<Claims> {
        let value = match sent(request.headers(), AUTHORIZATION) {
            Sent::Once(value) => text(value).unwrap_or_default(),
            Sent::Repeatedly => return Err(Error::unauthenticated("Authorization: must be sent once")),
            Sent::Never => return Err(Error::unauthenticated("Authorization: is required")),
        };
        match value.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
                self.keys.verify(token.trim(), self.clock.now()).map_err(|refused| {
                    // An expired token still identifies its bearer.
                    if let Some(bearer) = refused.bearer.filter(|bearer| bearer.subject.is_some()) {
                        identify(request, &self.audited_actor(request, &bearer));
                    }
                    Error::unauthenticated(format!("Authorization: {}", refused.refusal.0))
                })
            }
            _ => Err(Error::unauthenticated("Authorization: must be Bearer and a token")),
        }
    }

    /// The actor, with the tenant whose audit trail records a rejection. This is never a tenant that only the header
    /// names: a caller could fill another tenant's trail.
    fn audited_actor(&self, request: &Request, bearer: &Bearer) -> Actor {
        let requested = self.tenant(bearer, request.headers()).ok();
        let own = || bearer.tenants.iter().flatten().find_map(|name| Tenant::parse(name));
        let tenant = requested.or_else(own).unwrap_or_else(|| self.default_tenant.clone());
        let Bearer { subject, client, .. } = bearer.clone();
        let extensions = request.extensions();
        Actor {
            tenant,
            name: subject.or_else(|| client.clone()).unwrap_or_else(|| "unknown".to_owned()),
            client,
            request_id: extensions.get::<ReceivedRequestId>().map(|received| received.id.clone()).unwrap_or_default(),
            trace_id: extensions.get::<Trace>().map(Trace::id).unwrap_or_default(),
        }
    }

    /// The tenant from the header, else from the token, else the configured default.
    fn tenant(&self, bearer: &Bearer, headers: &HeaderMap) -> Result<Tenant> {
        let requested = match sent(headers, TENANT_HEADER) {
            Sent::Never => None,
            Sent::Repeatedly => return Err(Error::invalid(format!("{TENANT_HEADER}: must be sent once"))),
            Sent::Once(value) => Some(
                text(value)
                    .and_then(Tenant::parse)
                    .ok_or_else(|| Error::invalid(format!("{TENANT_HEADER}: {}", Tenant::EXPECTED)))?,
            ),
        };
        match (requested, bearer.tenants.as_deref()) {
            (Some(requested), None) => Ok(requested),
            (None, None) => Ok(self.default_tenant.clone()),
            (Some(requested), Some(named)) if named.iter().any(|named| named == requested.as_str()) => Ok(requested),
            (Some(_), Some(_)) => {
                Err(Error::forbidden(format!("{TENANT_HEADER}: the token does not name this tenant")))
            }
            (None, Some([named])) => Tenant::parse(named)
                .ok_or_else(|| Error::unauthenticated(format!("the claim tenant_id {}", Tenant::EXPECTED))),
            (None, Some([])) => Err(Error::forbidden("the token names no tenant")),
            (None, Some(_)) => {
                Err(Error::invalid(format!("{TENANT_HEADER}: is required, because the token names several tenants")))
            }
        }
    }

    fn visibility(&self, claims: &Claims) -> PiiVisibility {
        match self.pii_display {
            PiiDisplay::Clear => PiiVisibility::Clear,
            PiiDisplay::Scoped if claims.scopes.iter().any(|scope| scope == PII_SCOPE) => PiiVisibility::Clear,
            PiiDisplay::Scoped => PiiVisibility::Masked,
        }
    }
}

fn rates(request: &Request) -> Result<&RateLimits> {
    let rates = request.data::<Arc<RateLimits>>().ok_or_else(|| Error::internal("the service has no rates"))?;
    Ok(rates)
}

/// Records the caller for the service stack and the log.
fn identify(request: &Request, actor: &Actor) {
    tracing::Span::current().record("tenant_id", actor.tenant.as_str()).record("actor", &actor.name);
    if let Some(identified) = request.extensions().get::<IdentifiedCaller>() {
        let _first_wins = identified.0.set(actor.clone());
    }
}

/// A token with any `crm:` scope is limited to the scopes it has; a token without one was authorized by the platform.
fn authorize(claims: &Claims, scope: &str) -> Result<()> {
    let held = claims.scopes.iter().any(|scope| scope.starts_with("crm:"));
    if held && !claims.scopes.iter().any(|held| held == scope) {
        return Err(Error::forbidden(format!("the token lacks the scope {scope}")));
    }
    Ok(())
}

impl<'a, A: Access> ApiExtractor<'a> for Caller<A> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];
    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        registry.create_security_scheme(
            SECURITY_SCHEME,
            MetaSecurityScheme {
                ty: "http",
                description: Some(
                    "A JSON Web Token issued by the platform. A token without any `crm:` scope may read and write its \
                     tenant and read its audit trail; a token with one is limited to the scopes it has: `crm:read` for GET, `crm:write` for \
                     POST, PATCH and DELETE, `crm:pii:read` to see phone numbers and e-mail addresses unmasked, \
                     `crm:audit:read` for the audit trail. A token with the claim `tenant_id` (a string or an array of \
                     strings) is limited to those tenants.",
                ),
                name: None,
                key_in: None,
                scheme: Some("bearer"),
                bearer_format: Some("JWT"),
                flows: None,
                openid_connect_url: None,
            },
        );
    }

    fn security_schemes() -> Vec<&'static str> {
        vec![SECURITY_SCHEME]
    }

    async fn from_request(
        request: &'a Request,
        _body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        Ok(Self::of(request)?)
    }
}
