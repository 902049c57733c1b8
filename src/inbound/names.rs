//! What names an event of the platform, in the log and to operators: of what it says nothing else is shown, and of these only
//! what has the form of one.

use serde::Deserialize;
use serde_json::Value;
use tracing::Span;

use super::envelope::EventId;
use crate::{
    telemetry::trace,
    values::{ContractValue, Tenant},
};

/// Maximum length of a type that is shown, in bytes.
const TYPE: usize = 64;

/// The names of an event, as far as they can be read, however wrong the rest is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct EventNames {
    pub event_id: Option<String>,
    pub event_type: Option<String>,
    pub tenant_id: Option<String>,
    pub trace_id: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Head {
    event_id: Value,
    event_type: Value,
    trace_id: Value,
    data: Value,
}

impl EventNames {
    pub fn of(event: &[u8]) -> Self {
        // serde would also read the fields from an array of any texts.
        let is_object = event.trim_ascii_start().starts_with(b"{");
        let head: Option<Head> = is_object.then(|| serde_json::from_slice(event).ok()).flatten();
        let Some(Head { event_id, event_type, trace_id, data }) = head else { return Self::default() };
        let tenant = data.get("tenantId").and_then(Value::as_str).and_then(Tenant::parse);
        Self {
            event_id: EventId::from_value(event_id).ok().map(EventId::into_string),
            event_type: event_type.as_str().filter(|text| is_type(text)).map(str::to_owned),
            tenant_id: tenant.map(|tenant| tenant.as_str().to_owned()),
            trace_id: trace_id.as_str().filter(|id| trace::is_id(id)).map(str::to_owned),
        }
    }

    /// The system that sent it.
    pub fn sender(&self) -> Option<String> {
        self.event_type.as_deref().and_then(|text| text.split('.').next()).map(str::to_owned)
    }

    /// What is logged in it, is about this event.
    pub fn span(&self) -> Span {
        let Self { event_id, event_type, tenant_id, trace_id } = self;
        tracing::error_span!("event", event_id, event_type, tenant_id, trace_id)
    }
}

/// Whether a text is a type of event, of whatever system: `erp.contract.signed`.
fn is_type(text: &str) -> bool {
    let is_word = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_lowercase())
            && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    };
    text.len() <= TYPE && text.contains('.') && text.split('.').all(is_word)
}
