//! The tenants that this process has written for not long ago.

use std::{collections::HashSet, time::Duration};

use tokio::time::Instant;

use crate::{database::party::Party, values::Tenant};

/// For how long a tenant reads from the primary after a write: longer than a standby may be behind.
const OWN_WRITES: Duration = Duration::from_secs(10);

/// Tenants by the time in which they were last written for: at least [`OWN_WRITES`] ago, at most twice as long. Two sets that
/// take turns forget by themselves; so they hold no more than were written for in that time.
pub(super) struct Writers {
    since: Instant,
    present: HashSet<Tenant>,
    former: HashSet<Tenant>,
}

impl Writers {
    pub(super) fn new(now: Instant) -> Self {
        Self { since: now, present: HashSet::new(), former: HashSet::new() }
    }

    pub(super) fn wrote(&mut self, tenant: &Tenant, now: Instant) {
        self.turn(now);
        if !self.present.contains(tenant) {
            self.present.insert(tenant.clone());
        }
    }

    pub(super) fn has_written(&mut self, party: &Party, now: Instant) -> bool {
        self.turn(now);
        match party {
            Party::Tenant(tenant) => self.present.contains(tenant) || self.former.contains(tenant),
            Party::Several | Party::Service => true,
        }
    }

    /// Forgets what was before the time that is past.
    fn turn(&mut self, now: Instant) {
        let past = now.saturating_duration_since(self.since);
        if past < OWN_WRITES {
            return;
        }
        let present = std::mem::take(&mut self.present);
        self.former = if past < OWN_WRITES * 2 { present } else { HashSet::new() };
        self.since = now;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::Writers;
    use crate::{database::party::Party, values::Tenant};

    #[test]
    fn a_tenant_has_written_for_ten_seconds_and_not_for_more_than_twenty() {
        let tenant = |name: &str| {
            let Some(tenant) = Tenant::parse(name) else { panic!("{name}") };
            tenant
        };
        let (start, acme, globex) = (Instant::now(), tenant("acme"), tenant("globex"));
        let at = |millis| start + Duration::from_millis(millis);
        for first in [0, 1, 5_000, 9_999, 10_000, 19_999, 31_234] {
            let mut writers = Writers::new(start);
            let mut has = |tenant: &Tenant, millis| writers.has_written(&Party::from(tenant), at(millis));
            assert!(!has(&acme, first));
            let mut writers = Writers::new(start);
            writers.wrote(&acme, at(first));
            let mut has = |tenant: &Tenant, millis| writers.has_written(&Party::from(tenant), at(first + millis));
            assert!(has(&acme, 0) && has(&acme, 5_000) && has(&acme, 9_999), "{first}");
            assert!(!has(&globex, 9_999));
            assert!(!has(&acme, 20_000), "{first}");
        }
    }
}
