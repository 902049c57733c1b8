//! The lines in their order, and what they share.

use serde_json::Value;

use super::{
    boundaries,
    client::{Client, Reply},
    data, delivery, errors, idempotency, interface,
    line::{Entry, Found, Line, Trouble},
    operations::{Operation, operations},
    sample::Sample,
    target::{NEEDS_WRITING, Target},
};

/// What was learned before the first line.
struct Walk<'t> {
    client: Client,
    target: &'t Target,
    /// The contract that is served, and its text.
    contract: Result<(Value, String), String>,
    /// The totals of lists before anything was written.
    totals: Result<Vec<(String, Value)>, String>,
    /// The customer that was made; none where none may be.
    sample: Option<Result<Sample, String>>,
    /// The reply to the request that made it, sent again.
    duplicate: Option<Result<Reply, String>>,
}

/// Walks the list, and deletes again what it made.
///
/// # Errors
/// No client can be made, or what was made cannot be deleted.
pub async fn walk(target: &Target) -> Result<Vec<Line>, String> {
    let client = Client::new(&target.base, target.own.is_some())?;
    let (contract, totals) = (interface::contract(&client).await, boundaries::totals(&client, target).await);
    let sample = match target.may_write {
        true => Some(Sample::create(&client, &target.caller).await),
        false => None,
    };
    let duplicate = match &sample {
        Some(Ok(sample)) => Some(idempotency::duplicate(&client, target, sample).await),
        _ => None,
    };
    let walk = Walk { client, target, contract, totals, sample, duplicate };
    let lines = walk.lines().await;
    if let Some(Ok(sample)) = &walk.sample {
        sample.delete(&walk.client, &target.caller).await?;
    }
    Ok(lines)
}

const PLATFORM_CODE: Entry =
    ("4.1.1", "no code of the platform", "imports nothing of the platform, and opens none of its databases");
const OWN_DATABASE: Entry = ("4.1.2", "a database of its own", "shares no database or schema with another cell");
const ONLY_EVENTS: Entry =
    ("4.1.3", "no direct way to other cells", "meets other cells by events or by way of the platform alone");
const HEALTH: Entry = ("4.2.1", "health", "GET /health answers status and cell, without a token");
const TOKENS: Entry = ("4.2.2", "authentication", "business operations verify Authorization");
const ERRORS: Entry = ("4.2.3", "one error body", "4xx and 5xx have code, message, details and requestId");
const REQUEST_IDS: Entry =
    ("4.2.4", "required header", "POST and PATCH need X-Request-ID, and are answered 400 without");
const TIMES: Entry = ("4.2.5", "response header", "replies have X-Response-Time");
const ONCE: Entry = ("4.2.6", "idempotency", "POST and PATCH are done once for an X-Request-ID; repeated, 409");
const TENANTS: Entry = ("4.3.1", "tenants", "reads and writes are within the tenant of X-Tenant-Id");
const PERSONAL: Entry =
    ("4.3.2", "personal data", "phone numbers and e-mail addresses are masked where shown, and protected where stored");
const PACKAGE: Entry =
    ("4.4.1", "delivery.package", "is there, with cell_name, status, version and completion_manifest");
const MANIFEST: Entry = ("4.4.2", "completion.manifest", "lists what is delivered");
const CONTRACT: Entry = ("4.4.3", "api_contract.yaml", "is OpenAPI 3.0, and what is served");
const TESTS: Entry = ("4.4.4", "tests of the delivery", "the verification of the delivery passes");

impl Walk<'_> {
    async fn lines(&self) -> Vec<Line> {
        let Self { client, target, .. } = self;
        let mut lines = vec![
            Line::of(PLATFORM_CODE, self.platform_code().await),
            Line::of(OWN_DATABASE, self.own_database().await),
            Line::of(ONLY_EVENTS, self.only_events().await),
            Line::of(HEALTH, interface::health(client, target).await),
            Line::of(TOKENS, self.tokens().await),
            Line::of(ERRORS, self.errors().await),
            Line::of(REQUEST_IDS, self.request_ids().await),
        ];
        let once = Line::of(ONCE, self.once().await);
        let tenants = Line::of(TENANTS, self.tenants().await);
        let personal = Line::of(PERSONAL, self.personal_data().await);
        // Judged by all replies, those to the lines below included.
        lines.push(Line::of(TIMES, interface::response_times(client)));
        lines.extend([once, tenants, personal]);
        let package = target.documents.package();
        let manifest = package.as_ref().map_err(Clone::clone).and_then(|package| target.documents.manifest(package));
        lines.push(Line::of(PACKAGE, delivery::package(&target.documents, &package)));
        lines.push(Line::of(MANIFEST, self.operations().and_then(|all| delivery::manifest(&manifest, &all))));
        let contract = self.contract().and_then(|(_, text)| delivery::contract(&target.documents, &package, text));
        lines.push(Line::of(CONTRACT, contract));
        let tests = delivery::tests(&lines, client.times().replies);
        lines.push(Line::of(TESTS, tests));
        lines
    }

    fn contract(&self) -> Result<(&Value, &str), Trouble> {
        self.contract.as_ref().map(|(document, text)| (document, text.as_str())).map_err(|error| error.clone().into())
    }

    fn operations(&self) -> Result<Vec<Operation>, Trouble> {
        self.contract().map(|(document, _)| operations(document))
    }

    /// The customer that was made; why not, where it could not be.
    fn sample(&self) -> Result<Option<&Sample>, Trouble> {
        match &self.sample {
            None => Ok(None),
            Some(Ok(sample)) => Ok(Some(sample)),
            Some(Err(error)) => Err(error.clone().into()),
        }
    }

    async fn platform_code(&self) -> Found {
        boundaries::platform_code(&self.client, self.target, self.contract()?.0).await
    }

    async fn own_database(&self) -> Found {
        let totals = self.totals.as_ref().map_err(Clone::clone)?;
        boundaries::own_database(&self.client, self.target, totals).await
    }

    async fn only_events(&self) -> Found {
        boundaries::only_events(&self.client, self.target, self.contract()?.0, self.sample()?).await
    }

    async fn tokens(&self) -> Found {
        interface::tokens(&self.client, self.target, &self.operations()?).await
    }

    async fn errors(&self) -> Found {
        let duplicate =
            self.duplicate.as_ref().and_then(|reply| reply.as_ref().ok()).filter(|reply| reply.status == 409);
        errors::one_body(&self.client, self.target, duplicate).await
    }

    async fn request_ids(&self) -> Found {
        interface::request_ids(&self.client, self.target, &self.operations()?).await
    }

    async fn once(&self) -> Found {
        let sample = self.sample()?.ok_or(Trouble::NotChecked(NEEDS_WRITING.to_owned()))?;
        match &self.duplicate {
            Some(Ok(duplicate)) => idempotency::once(&self.client, self.target, sample, duplicate).await,
            Some(Err(error)) => Err(error.clone().into()),
            None => Err(Trouble::NotChecked(NEEDS_WRITING.to_owned())),
        }
    }

    async fn tenants(&self) -> Found {
        data::tenants(&self.client, self.target, self.sample()?).await
    }

    async fn personal_data(&self) -> Found {
        data::personal_data(&self.client, self.target, self.sample()?).await
    }
}
