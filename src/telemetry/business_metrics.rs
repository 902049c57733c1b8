//! Metrics of what the service is for, over all tenants: no label tells of one.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError, atomic::AtomicU64},
};

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue},
    metrics::{family::Family, gauge::Gauge},
};

use super::registrar::Registrar;

/// The gauges.
#[derive(Default)]
pub struct BusinessMetrics {
    opportunities: Family<StageLabels, Gauge>,
    amounts: Family<AmountLabels, Gauge<f64, AtomicU64>>,
    customers: Family<CustomerLabels, Gauge>,
    follow_ups: Family<DayLabels, Gauge>,
    refreshed: Gauge,
    /// What was shown last: what is no more goes back to 0.
    shown: Mutex<Figures>,
}

/// The numbers of all tenants.
#[derive(Debug, Default, Clone)]
pub struct Figures {
    /// Opportunities by stage and status.
    pub opportunities: BTreeMap<(String, Status), i64>,
    /// Their amounts by currency and status, in the minor unit.
    pub amounts: BTreeMap<(String, Status), i128>,
    /// Customers by status.
    pub customers: BTreeMap<CustomerStatusLabel, i64>,
    /// Follow-ups by the day of their creation.
    pub follow_ups: BTreeMap<Day, i64>,
}

/// The labels of the opportunities.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StageLabels {
    stage: String,
    status: Status,
}

/// The labels of amounts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AmountLabels {
    currency: String,
    status: Status,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CustomerLabels {
    status: CustomerStatusLabel,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DayLabels {
    day: Day,
}

/// The status of an opportunity, as a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "label values are written as they are named")]
pub enum Status {
    /// Not decided yet.
    open,
    /// The customer buys.
    won,
    /// The customer does not buy.
    lost,
}

impl Status {
    /// The status with this code.
    #[must_use]
    pub fn of(code: i32) -> Self {
        match code {
            1 => Self::won,
            2 => Self::lost,
            _ => Self::open,
        }
    }
}

/// The status of a customer, as a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "label values are written as they are named")]
pub enum CustomerStatusLabel {
    /// No contract yet.
    prospect,
    /// A contract is signed.
    signed,
}

impl CustomerStatusLabel {
    /// Its code.
    #[must_use]
    pub fn code(self) -> i32 {
        match self {
            Self::prospect => 0,
            Self::signed => 1,
        }
    }
}

/// A day (UTC), as a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "label values are written as they are named")]
pub enum Day {
    /// The present one, until now.
    today,
    /// The one before.
    yesterday,
}

impl BusinessMetrics {
    pub(super) fn new(new: &mut Registrar<'_>) -> Self {
        Self {
            opportunities: new.metric("opportunities", "Opportunities of all tenants, by stage and status"),
            amounts: new.metric(
                "opportunity_amount_minor_units",
                "Sum of the amounts of opportunities of all tenants, by currency and status, in the minor unit",
            ),
            customers: new.metric("customers", "Customers of all tenants, by status"),
            follow_ups: new.metric("follow_ups_created_on", "Follow-ups of all tenants created on a day (UTC)"),
            refreshed: new.metric(
                "business_figures_refreshed_seconds",
                "When the numbers above were read, in seconds since 1970",
            ),
            shown: Mutex::default(),
        }
    }

    /// Shows these numbers, which were read now, in place of the ones before.
    pub fn show(&self, figures: &Figures) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        for (stage, status) in shown.opportunities.keys().chain(figures.opportunities.keys()) {
            let count = figures.opportunities.get(&(stage.clone(), *status)).copied().unwrap_or_default();
            self.opportunities.get_or_create(&StageLabels { stage: stage.clone(), status: *status }).set(count);
        }
        for (currency, status) in shown.amounts.keys().chain(figures.amounts.keys()) {
            let amount = figures.amounts.get(&(currency.clone(), *status)).copied().unwrap_or_default();
            self.amounts
                .get_or_create(&AmountLabels { currency: currency.clone(), status: *status })
                .set(amount as f64);
        }
        for (status, count) in &figures.customers {
            self.customers.get_or_create(&CustomerLabels { status: *status }).set(*count);
        }
        for (day, count) in &figures.follow_ups {
            self.follow_ups.get_or_create(&DayLabels { day: *day }).set(*count);
        }
        *shown = figures.clone();
    }

    /// Notes when the numbers were read.
    pub fn refreshed_at(&self, seconds: i64) {
        self.refreshed.set(seconds);
    }
}
