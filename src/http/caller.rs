//! Who calls, for whom, and what they may do: [`Caller`], the security scheme's result and the first argument of every
//! operation but `/health`. A change demands a `Caller<CanWrite>` and a read the caller's tenant, so the check cannot be
//! forgotten where it matters; that no other operation answers the anonymous, the tests find by walking the contract.
//!
//! Order of judgement: token (401), scope (403), tenant header (400), tenant of the token (403).

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
    request_id::Received,
};
use crate::{
    app::App,
    audit::Agent,
    auth::{Bearer, Claims},
    config::PiiDisplay,
    error::{ApiError, Result},
    pii::Sight,
    telemetry::trace::Trace,
    values::Tenant,
};

/// The header that names the tenant, as the contract spells it.
pub const TENANT_HEADER: &str = "X-Tenant-Id";

/// The security scheme's name in the contract.
pub const SECURITY_SCHEME: &str = "bearerAuth";

/// The scope that shows phone numbers and e-mail addresses in clear.
const PII_SCOPE: &str = "crm:pii:read";

/// What an operation demands of a token.
pub trait Access: Send + Sync + 'static {
    /// The scope that a token with any `crm:` scope must name.
    const SCOPE: &'static str;
}

/// The caller may read.
#[derive(Debug, Clone)]
pub struct CanRead;

/// The caller may change.
#[derive(Debug, Clone)]
pub struct CanWrite;

/// The caller may read the audit trail.
#[derive(Debug, Clone)]
pub struct CanAudit;

impl Access for CanRead {
    const SCOPE: &'static str = "crm:read";
}

impl Access for CanWrite {
    const SCOPE: &'static str = "crm:write";
}

impl Access for CanAudit {
    const SCOPE: &'static str = "crm:audit:read";
}

/// Who calls, for which tenant.
#[derive(Debug, Clone)]
pub struct Caller<A> {
    /// Who it is, for the audit trail.
    pub agent: Agent,
    /// How the caller sees phone numbers and e-mail addresses.
    pub sight: Sight,
    access: PhantomData<A>,
}

/// Who a request turned out to come from, as soon as its token shows it: for the trail of what is refused.
#[derive(Debug, Clone, Default)]
pub struct Known(Arc<OnceLock<Agent>>);

impl Known {
    /// Who it is, if it is known.
    #[must_use]
    pub fn agent(&self) -> Option<&Agent> {
        self.0.get()
    }
}

impl<A> Caller<A> {
    /// The tenant whose data the request is about.
    #[must_use]
    pub fn tenant(&self) -> &Tenant {
        &self.agent.tenant
    }
}

impl<A: Access> Caller<A> {
    fn of(request: &Request) -> Result<Self> {
        let app = request.data::<App>().ok_or_else(|| ApiError::internal("the service has no App"))?;
        let claims = authenticate(app, request)?;
        // Where the request is refused below, it is the trail of this tenant that has it.
        let agent = agent(request, &claims.bearer, tenant_of_trail(app, &claims.bearer, request.headers()));
        know(request, &agent);
        authorize(&claims, A::SCOPE)?;
        let tenant = tenant(app, &claims.bearer, request.headers())?;
        let sight = match app.config().pii_display {
            PiiDisplay::Clear => Sight::Clear,
            PiiDisplay::Scoped if claims.scopes.iter().any(|scope| scope == PII_SCOPE) => Sight::Clear,
            PiiDisplay::Scoped => Sight::Masked,
        };
        Ok(Self { agent: Agent { tenant, ..agent }, sight, access: PhantomData })
    }
}

/// The agent of this request.
fn agent(request: &Request, bearer: &Bearer, tenant: Tenant) -> Agent {
    let Bearer { subject, client, .. } = bearer.clone();
    let extensions = request.extensions();
    Agent {
        tenant,
        actor: subject.or_else(|| client.clone()).unwrap_or_else(|| "unknown".to_owned()),
        client,
        request_id: extensions.get::<Received>().map(|received| received.id.clone()).unwrap_or_default(),
        trace_id: extensions.get::<Trace>().map(Trace::id).unwrap_or_default(),
    }
}

/// Tells the membrane and the log who it is.
fn know(request: &Request, agent: &Agent) {
    tracing::Span::current().record("tenant_id", agent.tenant.as_str()).record("actor", &agent.actor);
    if let Some(known) = request.extensions().get::<Known>() {
        let _first_wins = known.0.set(agent.clone());
    }
}

/// The token of the one `Authorization` header, verified.
fn authenticate(app: &App, request: &Request) -> Result<Claims> {
    let value = match sent(request.headers(), AUTHORIZATION) {
        Sent::Once(value) => text(value).unwrap_or_default(),
        Sent::Repeatedly => return Err(ApiError::unauthorized("Authorization: must be sent once")),
        Sent::Never => return Err(ApiError::unauthorized("Authorization: is required")),
    };
    match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
            app.keys().verify(token.trim(), app.now()).map_err(|refused| {
                // An expired token is still its bearer's.
                if let Some(bearer) = refused.bearer.filter(|bearer| bearer.subject.is_some()) {
                    know(request, &agent(request, &bearer, tenant_of_trail(app, &bearer, request.headers())));
                }
                ApiError::unauthorized(format!("Authorization: {}", refused.refusal.0))
            })
        }
        _ => Err(ApiError::unauthorized("Authorization: must be Bearer and a token")),
    }
}

/// The tenant in whose trail a refusal stands. Never one that the token does not name: its bearer could fill a stranger's.
fn tenant_of_trail(app: &App, bearer: &Bearer, headers: &HeaderMap) -> Tenant {
    let asked = tenant(app, bearer, headers).ok();
    let own = || bearer.tenants.iter().flatten().find_map(|name| Tenant::parse(name));
    asked.or_else(own).unwrap_or_else(|| app.config().default_tenant.clone())
}

/// A token that names any `crm:` scope is held to what it names; one that names none was let through by the platform.
fn authorize(claims: &Claims, scope: &str) -> Result<()> {
    let held = claims.scopes.iter().any(|scope| scope.starts_with("crm:"));
    if held && !claims.scopes.iter().any(|held| held == scope) {
        return Err(ApiError::forbidden(format!("the token lacks the scope {scope}")));
    }
    Ok(())
}

/// The tenant of the header, else of the token, else the configured one.
fn tenant(app: &App, bearer: &Bearer, headers: &HeaderMap) -> Result<Tenant> {
    let asked = match sent(headers, TENANT_HEADER) {
        Sent::Never => None,
        Sent::Repeatedly => return Err(ApiError::bad_request(format!("{TENANT_HEADER}: must be sent once"))),
        Sent::Once(value) => Some(
            text(value)
                .and_then(Tenant::parse)
                .ok_or_else(|| ApiError::bad_request(format!("{TENANT_HEADER}: {}", Tenant::EXPECTED)))?,
        ),
    };
    match (asked, bearer.tenants.as_deref()) {
        (Some(asked), None) => Ok(asked),
        (None, None) => Ok(app.config().default_tenant.clone()),
        (Some(asked), Some(named)) if named.iter().any(|named| named == asked.as_str()) => Ok(asked),
        (Some(_), Some(_)) => Err(ApiError::forbidden(format!("{TENANT_HEADER}: the token does not name this tenant"))),
        (None, Some([named])) => Tenant::parse(named)
            .ok_or_else(|| ApiError::unauthorized(format!("the claim tenant_id {}", Tenant::EXPECTED))),
        (None, Some([])) => Err(ApiError::forbidden("the token names no tenant")),
        (None, Some(_)) => {
            Err(ApiError::bad_request(format!("{TENANT_HEADER}: is required, because the token names several tenants")))
        }
    }
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
                    "A JSON Web Token of the platform. A token that names no `crm:` scope may read and write its tenant; \
                     one that names any is held to them: `crm:read` for GET, `crm:write` for POST, PATCH and DELETE, \
                     `crm:pii:read` to see phone numbers and e-mail addresses in clear, `crm:audit:read` for the audit \
                     trail. A token with the claim `tenant_id` (a string or an array of strings) is held to those \
                     tenants.",
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
