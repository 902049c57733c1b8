//! The version of a contract: how far it has to rise with what differs.

use serde_json::Value;

use super::difference::{Difference, Effect, Place, Verdict};

/// Major, minor, patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Version(u64, u64, u64);

impl Version {
    fn of(document: &Value) -> Option<Self> {
        let mut parts = text_of(document).split('.').map(|part| part.parse().ok());
        match (parts.next()??, parts.next()??, parts.next()??, parts.next()) {
            (major, minor, patch, None) => Some(Self(major, minor, patch)),
            _ => None,
        }
    }

    /// The lowest version that may follow this one with such differences.
    fn after(self, effect: Effect) -> Self {
        match effect {
            Effect::Documentation => Self(self.0, self.1, self.2 + 1),
            Effect::Compatible => Self(self.0, self.1 + 1, 0),
            Effect::Breaking => Self(self.0 + 1, 0, 0),
        }
    }
}

/// What a document says that its version is.
pub(super) fn text_of(document: &Value) -> &str {
    document.pointer("/info/version").and_then(Value::as_str).unwrap_or_default()
}

/// Judges the versions of two documents that differ in this. The flag says whether the newer one has to be raised.
pub(super) fn judge(old: &Value, new: &Value, found: &[Difference]) -> (Option<Difference>, bool) {
    let (before, now) = (text_of(old), text_of(new));
    let difference = |effect, reason: String| {
        let Place { field, old, new, .. } = Place::new("", "#/info/version").titled("info.version");
        Some(Difference { operations: Vec::new(), field, effect, reason, pointers: (old, new) })
    };
    let (Some(old), Some(new)) = (Version::of(old), Version::of(new)) else {
        return (difference(Effect::Breaking, "a version is three numbers with points between".to_owned()), true);
    };
    let worst = found.iter().map(|difference| difference.effect).max();
    let least = worst.map_or(old, |worst| old.after(worst));
    if new < old {
        return (difference(Effect::Breaking, format!("the version is {now}, which comes before {before}")), true);
    }
    if new.0 != old.0 {
        let reason =
            format!("{now} is another contract than {before}: it needs a base path of its own beside this one");
        return (difference(Effect::Breaking, reason), false);
    }
    // A breaking change is not mended by a version.
    if new < least && Verdict::on(found) != Verdict::Breaking {
        let Version(major, minor, patch) = least;
        let reason = format!("the version must be raised from {before} to {major}.{minor}.{patch} at least");
        return (difference(Effect::Documentation, reason), true);
    }
    let raised = new > old;
    (
        raised
            .then(|| difference(Effect::Documentation, format!("the version rises from {before} to {now}")))
            .flatten(),
        false,
    )
}
