//! The history of the demo's customers: the requests and events that make it, in chronological order.

use std::{cmp::Reverse, collections::HashMap};

use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveTime, TimeDelta, Utc, Weekday};
use serde_json::{Value, json};

use super::customers::{ContactData, CustomerData, FILES, FollowUpData, Move, OpportunityData, TenantData};

/// When a working day begins, and how long it is.
const MORNING: TimeDelta = TimeDelta::minutes(8 * 60 + 12);
const WORKING_DAY: TimeDelta = TimeDelta::hours(9);

/// Stands for a resource, which has no id until it is created.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Handle(usize);

/// What somebody did.
#[derive(Debug)]
pub(super) struct Step {
    /// How many days ago.
    ago: u16,
    pub tenant: String,
    pub actor: String,
    pub action: Action,
}

#[derive(Debug)]
pub(super) enum Action {
    /// POST, with the ids of what it refers to among the fields of the body.
    Create {
        resource: Handle,
        collection: &'static str,
        id: &'static str,
        body: Value,
        references: Vec<(&'static str, Handle)>,
    },
    /// PATCH.
    Move { opportunity: Handle, stage: i32 },
    /// An event of the platform.
    Sign { customer: Handle, opportunity: Handle },
}

/// The steps of all tenants, the oldest first.
///
/// # Errors
/// Data that cannot be read.
pub(super) fn history() -> Result<Vec<Step>, yaml_serde::Error> {
    let mut history = History::default();
    for file in FILES {
        let TenantData { tenant, customers } = yaml_serde::from_str(file)?;
        history.tenant = tenant;
        customers.into_iter().for_each(|customer| history.customer(customer));
    }
    // Those of one day stay in the order of the file.
    history.steps.sort_by_key(|step| Reverse(step.ago));
    Ok(history.steps)
}

/// The steps of one customer of this tenant, the oldest first.
pub(super) fn history_of(tenant: &str, customer: CustomerData) -> Vec<Step> {
    let mut history = History { tenant: tenant.to_owned(), ..History::default() };
    history.customer(customer);
    history.steps.sort_by_key(|step| Reverse(step.ago));
    history.steps
}

/// When the steps happened: within working hours, spread over their day.
pub(super) fn times(steps: &[Step], now: DateTime<Utc>) -> Vec<DateTime<Utc>> {
    let today = now.date_naive();
    let days: Vec<NaiveDate> = steps.iter().map(|step| working_day(today, step.ago)).collect();
    let of_day = |day: &[NaiveDate]| -> Vec<DateTime<Utc>> {
        let count = i32::try_from(day.len()).unwrap_or(i32::MAX).max(1);
        let time = |(number, day): (i32, &NaiveDate)| {
            // Nobody begins at the same time every day, or works to the second.
            let begins = MORNING + TimeDelta::seconds(i64::from(day.ordinal() * 613 % 2400));
            let uneven = TimeDelta::milliseconds(i64::from((number + 1) * 7919 % 50_000));
            day.and_time(NaiveTime::MIN).and_utc() + begins + WORKING_DAY / count * number + uneven
        };
        (0..).zip(day).map(time).collect()
    };
    days.chunk_by(|one, other| one == other).flat_map(of_day).collect()
}

/// The day so many days ago; on a weekend, the Friday before.
fn working_day(today: NaiveDate, ago: u16) -> NaiveDate {
    let day = today - Days::new(ago.into());
    let since_friday = match day.weekday() {
        Weekday::Sat => 1,
        Weekday::Sun => 2,
        _ => 0,
    };
    day - Days::new(since_friday)
}

#[derive(Default)]
struct History {
    steps: Vec<Step>,
    handles: usize,
    tenant: String,
    owner: String,
}

/// A customer, and its contacts by name.
struct Known {
    customer: Handle,
    contacts: HashMap<String, Handle>,
}

impl History {
    fn customer(&mut self, customer: CustomerData) {
        let CustomerData { name, phone, email, owner, since, contacts, opportunities, follow_ups } = customer;
        self.owner = owner;
        let body = json!({ "name": name, "contactPhone": phone, "contactEmail": email });
        let customer = self.create(since, "/customers", "customerId", body, Vec::new());
        let mut known = Known { customer, contacts: HashMap::new() };
        for ContactData { name, phone, email, primary, since: known_since } in contacts {
            let body = json!({ "name": name, "phone": phone, "email": email, "isPrimary": primary });
            let references = vec![("customerId", customer)];
            let contact = self.create(known_since.unwrap_or(since), "/contacts", "contactId", body, references);
            known.contacts.insert(name, contact);
        }
        for opportunity in opportunities {
            self.opportunity(opportunity, &known);
        }
        for follow_up in follow_ups {
            self.follow_up(follow_up, ("customerId", customer), &known);
        }
    }

    fn opportunity(&mut self, opportunity: OpportunityData, known: &Known) {
        let OpportunityData { title, amount, currency, opened, stages, follow_ups } = opportunity;
        let body = json!({ "title": title, "amountCents": amount, "currency": currency });
        let references = vec![("customerId", known.customer)];
        let opportunity = self.create(opened, "/opportunities", "opportunityId", body, references);
        for follow_up in follow_ups {
            self.follow_up(follow_up, ("opportunityId", opportunity), known);
        }
        for (ago, to) in stages {
            let customer = known.customer;
            let action = match to {
                Move::Prospecting => Action::Move { opportunity, stage: 1 },
                Move::Qualification => Action::Move { opportunity, stage: 2 },
                Move::Proposal => Action::Move { opportunity, stage: 3 },
                Move::Negotiation => Action::Move { opportunity, stage: 4 },
                Move::Won => Action::Move { opportunity, stage: 5 },
                Move::Lost => Action::Move { opportunity, stage: 6 },
                Move::Signed => Action::Sign { customer, opportunity },
            };
            self.step(ago, action);
        }
    }

    fn follow_up(&mut self, follow_up: FollowUpData, about: (&'static str, Handle), known: &Known) {
        let FollowUpData { ago, kind, with, content } = follow_up;
        let contact = with.and_then(|name| known.contacts.get(&name)).map(|contact| ("contactId", *contact));
        let references = [about].into_iter().chain(contact).collect();
        let body = json!({ "followUpType": kind, "content": content });
        self.create(ago, "/follow-ups", "followUpId", body, references);
    }

    fn create(
        &mut self,
        ago: u16,
        collection: &'static str,
        id: &'static str,
        body: Value,
        references: Vec<(&'static str, Handle)>,
    ) -> Handle {
        let resource = Handle(self.handles);
        self.handles += 1;
        self.step(ago, Action::Create { resource, collection, id, body, references });
        resource
    }

    fn step(&mut self, ago: u16, action: Action) {
        self.steps.push(Step { ago, tenant: self.tenant.clone(), actor: self.owner.clone(), action });
    }
}
