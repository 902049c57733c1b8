//! Authentication and authorization: [`Caller`] is the result of the security scheme and the first argument of every
//! operation except the probes. Writes require a `Caller<CanWrite>` and reads the caller's tenant, so neither check can
//! be forgotten; tests walk the contract to make sure that no other operation answers anonymous requests.
//!
//! Order of checks: token (401), rate (429), scope (403), tenant header (400), tenant allowed by the token (403), names of
//! query parameters (400), how new what is read must be (400).

use std::{marker::PhantomData, sync::Arc};

use poem::{
    Request, RequestBody,
    http::{HeaderMap, header::AUTHORIZATION},
};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions, registry::Registry};

pub use super::access::{Access, CanAudit, CanErase, CanExport, CanRead, CanReadOrWrite, CanWrite, Changing};
use super::{
    access::{self, PII_SCOPE},
    header::{Sent, sent, text},
    identified::{IdentifiedCaller, reveals},
    in_flight::InFlight,
    position::recency,
    query::DeclaredParameters,
    rate::RateLimits,
    request_id::ReceivedRequestId,
};
use crate::{
    auth::{Actor, Bearer, Claims, MAX_TOKEN, Rejection, TokenVerifier},
    config::{PiiDisplay, ScopePolicy, Tenancy},
    database::Recency,
    error::{Error, Result},
    pii::PiiVisibility,
    telemetry::{
        metrics::{HttpLimit, Metrics},
        span::Span,
        trace::Trace,
    },
    values::Tenant,
};

/// The tenant header, as spelled in the contract.
pub const TENANT_HEADER: &str = "X-Tenant-Id";

/// What a caller is told whose token is for other tenants.
pub const FOREIGN_TENANT: &str = "X-Tenant-Id: the token does not name this tenant";

/// What stands before a token.
const SCHEME: &str = "Bearer ";

/// An authenticated caller with the access `A`.
#[derive(Debug, Clone)]
pub struct Caller<A> {
    /// Who the caller is and for which tenant, for the audit trail.
    pub actor: Actor,
    /// Whether the caller sees phone numbers and e-mail addresses unmasked.
    pub visibility: PiiVisibility,
    /// How new what the caller reads must be, and how far the database had come when its change was committed.
    pub recency: Recency,
    access: PhantomData<A>,
}

/// Authenticates and authorizes callers. Attached to every request.
#[derive(Clone)]
pub struct Authenticator {
    /// What verifies tokens.
    pub tokens: Arc<TokenVerifier>,
    /// Counts tokens that are too long.
    pub metrics: Arc<Metrics>,
    /// Who says for which tenant a request is.
    pub tenancy: Tenancy,
    /// What a token may do that names no `crm:` scope.
    pub scopes: ScopePolicy,
    /// The tenant if neither header nor token names one.
    pub default_tenant: Tenant,
    /// Who sees phone numbers and e-mail addresses unmasked.
    pub pii_display: PiiDisplay,
}

impl<A> Caller<A> {
    /// The tenant that the request is about.
    #[must_use]
    pub fn tenant(&self) -> &Tenant {
        &self.actor.tenant
    }
}

impl<A: Access> Caller<A> {
    async fn of(request: &Request) -> Result<Self> {
        let authenticator =
            request.data::<Authenticator>().ok_or_else(|| Error::internal("the service has no authenticator"))?;
        let mut span = Span::of_current("authenticate");
        let claims = span.around(authenticator.authenticate(request)).await;
        if claims.is_err() {
            span.fails("refused");
        }
        drop(span);
        let claims = claims?;
        // If the request is rejected below, it is audited under this actor's tenant.
        let actor = authenticator.audited_actor(request, &claims.bearer);
        identify(request, actor.as_ref());
        rates(request)?.admit(request, actor.as_ref().map(|actor| &actor.tenant), &claims.bearer)?;
        if let (Some(actor), Some(in_flight)) = (&actor, request.extensions().get::<InFlight>()) {
            in_flight.belongs_to(&actor.tenant)?;
        }
        authenticator.authorize::<A>(&claims)?;
        let may_read = authenticator.authorize::<CanRead>(&claims).is_ok();
        if let (false, Some(identified)) = (may_read, request.extensions().get::<IdentifiedCaller>()) {
            let _first_wins = identified.0.is_blind.set(());
        }
        let tenant = authenticator.tenant(&claims.bearer, request.headers())?;
        let visibility = authenticator.visibility(&claims, may_read);
        if let Some(identified) = request.extensions().get::<IdentifiedCaller>() {
            let _first_wins = identified.0.visibility.set(visibility);
        }
        if A::REVEALS {
            reveals(visibility, "the answer shows personal data in clear, which")?;
        }
        let actor = authenticator.actor(request, &claims.bearer, tenant);
        DeclaredParameters::check(request)?;
        let recency = recency(request)?;
        Ok(Self { actor, visibility, recency, access: PhantomData })
    }
}

impl Authenticator {
    /// Verifies the bearer token. The `Authorization` header must be sent exactly once.
    async fn authenticate(&self, request: &Request) -> Result<Claims> {
        let value = match sent(request.headers(), AUTHORIZATION) {
            Sent::Once(value) if value.len() > MAX_TOKEN + SCHEME.len() => return Err(self.too_large()),
            Sent::Once(value) => text(value).unwrap_or_default(),
            Sent::Repeatedly => return Err(Error::invalid_token("must be sent once")),
            Sent::Never => return Err(Error::unauthenticated("Authorization: is required")),
        };
        let token = match value.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
            _ => return Err(Error::unauthenticated("Authorization: must be Bearer and a token")),
        };
        let verified = match request.extensions().get::<InFlight>() {
            // Whoever has no valid token must not hold a place by having the platform asked about one.
            Some(in_flight) => in_flight.outside(self.tokens.verify(token)).await?,
            None => self.tokens.verify(token).await,
        };
        verified.map_err(|rejection| match rejection {
            Rejection::Refused(refused) => {
                // An expired token still identifies its bearer.
                if let Some(bearer) = refused.bearer.filter(|bearer| bearer.subject.is_some()) {
                    identify(request, self.audited_actor(request, &bearer).as_ref());
                }
                Error::invalid_token(refused.refusal.text)
            }
            Rejection::TooLarge => self.too_large(),
            Rejection::Unavailable(cause) => Error::unavailable(cause),
        })
    }

    fn too_large(&self) -> Error {
        self.metrics.refuse(HttpLimit::token_size);
        Error::token_too_large(MAX_TOKEN)
    }

    /// A token with any `crm:` scope is limited to the scopes it has; one without was authorized by the platform, unless
    /// scopes are required. In whatever case a scope is written, it limits; what it allows is written as it is.
    fn authorize<A: Access>(&self, claims: &Claims) -> Result<()> {
        let is_ours = |scope: &String| scope.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case("crm:"));
        let is_limited = A::MUST_BE_NAMED || self.scopes == ScopePolicy::Required || claims.scopes.iter().any(is_ours);
        let suffices = |held: &String| held == A::SCOPE || Some(held.as_str()) == A::ALTERNATIVE;
        match is_limited && !claims.scopes.iter().any(suffices) {
            true => Err(Error::insufficient_scope(A::SCOPE)),
            false => Ok(()),
        }
    }

    /// The actor, with the tenant whose audit trail records a rejection. This is never a tenant that only the header
    /// names: a caller could fill another tenant's trail. Nobody's, where the token may act for no tenant.
    fn audited_actor(&self, request: &Request, bearer: &Bearer) -> Option<Actor> {
        let requested = self.tenant(bearer, request.headers()).ok();
        let own = || match &bearer.tenants {
            Some(named) => named.iter().find_map(|name| Tenant::parse(name)),
            None if self.tenancy == Tenancy::Token => None,
            None => Some(self.default_tenant.clone()),
        };
        requested.or_else(own).map(|tenant| self.actor(request, bearer, tenant))
    }

    fn actor(&self, request: &Request, bearer: &Bearer, tenant: Tenant) -> Actor {
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
            (_, None) if self.tenancy == Tenancy::Token => Err(Error::forbidden("the token names no tenant")),
            (Some(requested), None) => Ok(requested),
            (None, None) => Ok(self.default_tenant.clone()),
            (Some(requested), Some(named)) if named.iter().any(|named| named == requested.as_str()) => Ok(requested),
            (Some(_), Some(_)) => Err(Error::forbidden(FOREIGN_TENANT)),
            (None, Some([named])) => Tenant::parse(named)
                .ok_or_else(|| Error::invalid_token(format!("the tenant that the token names {}", Tenant::EXPECTED))),
            (None, Some([])) => Err(Error::forbidden("the token names no tenant")),
            (None, Some(_)) => {
                Err(Error::invalid(format!("{TENANT_HEADER}: is required, because the token names several tenants")))
            }
        }
    }

    /// Who may not read sees in the reply to a write no more than what it wrote.
    fn visibility(&self, claims: &Claims, may_read: bool) -> PiiVisibility {
        match self.pii_display {
            PiiDisplay::Clear => PiiVisibility::Clear,
            PiiDisplay::Scoped if may_read && claims.scopes.iter().any(|scope| scope == PII_SCOPE) => {
                PiiVisibility::Clear
            }
            PiiDisplay::Scoped => PiiVisibility::Masked,
        }
    }
}

fn rates(request: &Request) -> Result<&RateLimits> {
    let rates = request.data::<Arc<RateLimits>>().ok_or_else(|| Error::internal("the service has no rates"))?;
    Ok(rates)
}

/// Records the caller for the service stack and the log.
fn identify(request: &Request, actor: Option<&Actor>) {
    let Some(actor) = actor else { return };
    tracing::Span::current().record("tenant_id", actor.tenant.as_str()).record("actor", &actor.name);
    if let Some(identified) = request.extensions().get::<IdentifiedCaller>() {
        let _first_wins = identified.0.actor.set(actor.clone());
    }
}

impl<'a, A: Access> ApiExtractor<'a> for Caller<A> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];
    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        access::register(registry);
    }

    /// The operation's scopes: the contract's emission makes the requirement of both schemes of it.
    fn security_schemes() -> Vec<&'static str> {
        A::contract_scopes()
    }

    async fn from_request(
        request: &'a Request,
        _body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        Ok(Self::of(request).await?)
    }
}
