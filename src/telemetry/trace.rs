//! The trace that a request belongs to: W3C Trace Context, level 1 (<https://www.w3.org/TR/trace-context/>).
//!
//! A valid `traceparent` is continued: its trace id is in the log, the audit trail and the reply's `traceparent`, whose parent
//! id is this service's own span. Without one, or with a malformed one, a new trace begins.

use uuid::Uuid;

/// The header that carries the trace.
pub const HEADER: &str = "traceparent";

/// The trace of a request, and this service's span in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    id: String,
    span: String,
    /// The caller's span.
    parent: Option<String>,
    flags: u8,
}

/// What a valid `traceparent` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceParent<'t> {
    /// The id of the trace: 32 hexadecimal digits.
    pub trace: &'t str,
    /// The id of the sender's span: 16 hexadecimal digits.
    pub span: &'t str,
    /// Whether the sender may have recorded it.
    pub sampled: bool,
}

impl Trace {
    /// Continues the trace of a request's `traceparent`, or begins one. `new` is an id that is used for nothing else.
    #[must_use]
    pub fn of(parent: Option<&str>, new: Uuid) -> Self {
        // The second half of the id holds most of its randomness.
        let span = format!("{:016x}", new.as_u64_pair().1);
        match parent.and_then(parse) {
            Some(TraceParent { trace, span: parent, sampled }) => {
                Self { id: trace.to_owned(), span, parent: Some(parent.to_owned()), flags: u8::from(sampled) }
            }
            None => Self { id: format!("{:032x}", new.as_u128()), span, parent: None, flags: 0 },
        }
    }

    /// The `traceparent` of an event. The event is a span of its own, the same each time it is sent.
    #[must_use]
    pub fn parent_of(trace_id: &str, event: Uuid) -> String {
        let span = format!("{:016x}", event.as_u64_pair().1);
        Self { id: trace_id.to_owned(), span, parent: None, flags: 0 }.traceparent()
    }

    /// The id of the trace: 32 hexadecimal digits.
    #[must_use]
    pub fn id(&self) -> String {
        self.id.clone()
    }

    /// The id of this service's own span: 16 hexadecimal digits.
    #[must_use]
    pub fn span_id(&self) -> &str {
        &self.span
    }

    /// What the caller's `traceparent` said, if there was a valid one.
    #[must_use]
    pub fn parent(&self) -> Option<TraceParent<'_>> {
        let span = self.parent.as_deref()?;
        Some(TraceParent { trace: &self.id, span, sampled: self.flags == 1 })
    }

    /// Says whether this service records its span, for those who continue the trace.
    pub(super) fn mark_recorded(&mut self, recorded: bool) {
        self.flags = u8::from(recorded);
    }

    /// The `traceparent` that passes the trace on.
    #[must_use]
    pub fn traceparent(&self) -> String {
        format!("00-{}-{}-{:02x}", self.id, self.span, self.flags)
    }
}

/// Whether a text is the id of a trace: 32 hexadecimal digits, not all zero.
#[must_use]
pub fn is_id(text: &str) -> bool {
    is_hex(text, 32) && !is_zero(text)
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f'))
}

fn is_zero(text: &str) -> bool {
    text.bytes().all(|byte| byte == b'0')
}

/// Reads a `traceparent` (section 3.2.2). Later versions may have more after the flags.
#[must_use]
pub fn parse(value: &str) -> Option<TraceParent<'_>> {
    let mut parts = value.splitn(5, '-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let shaped = is_hex(version, 2) && is_hex(span, 16) && is_hex(flags, 2);
    let valid =
        shaped && is_id(trace) && version != "ff" && !is_zero(span) && (version != "00" || parts.next().is_none());
    // `sampled` is the only flag that level 1 defines.
    let sampled = u8::from_str_radix(flags, 16).is_ok_and(|flags| flags & 1 == 1);
    valid.then_some(TraceParent { trace, span, sampled })
}
