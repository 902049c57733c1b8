//! Contract types of the pipeline.

use poem_openapi::{
    Enum, Object,
    registry::{MetaSchema, MetaSchemaRef},
    types::Type,
};
use serde::{Deserialize, Serialize};

use crate::{
    opportunities::{OpportunityStage, OpportunityStatus, types::Title},
    values::{
        AmountCents, Currency, Id, Nullable, Shown, Timestamp, Violation,
        date::Date,
        figure::{Count, Percent, Seconds, SumCents},
        page::NextCursor,
        query::{IntegerRange, QueryValue},
        shown::{Formula, StageName},
    },
};

/// The stages of the pipeline.
#[derive(Debug, Object, Serialize)]
pub struct PipelineStages {
    /// The stages, in their order.
    #[oai(validator(max_items = 100))]
    pub data: Vec<PipelineStage>,
}

/// A stage of the pipeline.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct PipelineStage {
    /// The stage.
    pub stage: OpportunityStage,
    /// Its name.
    pub name: Shown<StageName>,
    /// Whether opportunities in it are open, won or lost.
    pub status: OpportunityStatus,
    /// How likely the customer is to buy.
    pub probability_percent: Percent,
}

impl PipelineStage {
    /// What is known of a stage.
    #[must_use]
    pub fn of(stage: OpportunityStage) -> Self {
        Self {
            stage,
            name: format!("{stage:?}").into(),
            status: stage.kind(),
            probability_percent: Percent(stage.probability().into()),
        }
    }
}

/// The pipeline as it is, and what became of opportunities in a time. Amounts are in the currency's minor unit, and never added
/// across currencies. What is divided is rounded to a whole number, a half to the even one. A sum that is more than
/// 9007199254740991, for which JSON has no exact number, is `null`.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct PipelineSummary {
    /// When the figures are from: all are of this instant.
    pub as_of: Timestamp,
    /// Whether all opportunities are counted. `false` for a while after an upgrade: older ones are being counted.
    pub complete: bool,
    /// For each currency that opportunities have, the stages that these are in: ordered by currency and stage.
    #[oai(validator(max_items = 2000))]
    pub stages: Vec<StageFigures>,
    /// The same by currency.
    #[oai(validator(max_items = 300))]
    pub currencies: Vec<CurrencyFigures>,
    /// What became of opportunities in the time that was asked for.
    pub window: WindowFigures,
}

/// The opportunities in a currency that are in a stage.
#[derive(Debug, Object, Serialize, PartialEq, Eq)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct StageFigures {
    /// The currency.
    pub currency: Currency,
    /// The stage.
    pub stage: OpportunityStage,
    /// How many there are.
    pub count: Count,
    /// The sum of their amounts.
    pub amount_cents: Nullable<SumCents>,
    /// The sum of their amounts × the probability of the stage / 100.
    pub weighted_cents: Nullable<SumCents>,
    /// For how long they have been in the stage, on average, in seconds.
    pub mean_age_seconds: Seconds,
}

/// The opportunities in a currency.
#[derive(Debug, Object, Serialize, PartialEq, Eq)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct CurrencyFigures {
    /// The currency.
    pub currency: Currency,
    /// How many are open.
    pub open_count: Count,
    /// The sum of their amounts.
    pub open_cents: Nullable<SumCents>,
    /// The sum of amount × probability of the stage over all open ones, divided by 100: rounded once.
    pub weighted_cents: Nullable<SumCents>,
    /// How many are won.
    pub won_count: Count,
    /// The sum of their amounts.
    pub won_cents: Nullable<SumCents>,
    /// How many are lost.
    pub lost_count: Count,
    /// The sum of their amounts.
    pub lost_cents: Nullable<SumCents>,
}

/// What became of opportunities in a time.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct WindowFigures {
    /// The first day (UTC).
    pub from: Date,
    /// The day before which the time ends (UTC).
    pub to: Date,
    /// How many came to be won in it and still are.
    pub won_count: Count,
    /// How many came to be lost in it and still are.
    pub lost_count: Count,
    /// The share of those that are won, `wonCount / (wonCount + lostCount) × 100`; `null` if none was closed.
    pub win_rate_percent: Nullable<Percent>,
    /// How many days passed, on average, from the creation of these to their closing; `null` if none was closed.
    pub mean_days_to_close: Nullable<Count>,
    /// The same by currency.
    #[oai(validator(max_items = 300))]
    pub currencies: Vec<ClosedFigures>,
    /// How many were moved from one stage to another, ordered by these. Moves of which it is not known when the opportunity came
    /// into the first stage are left out.
    #[oai(validator(max_items = 42))]
    pub conversions: Vec<Conversion>,
}

/// The opportunities in a currency that were closed in a time.
#[derive(Debug, Object, Serialize, PartialEq, Eq)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct ClosedFigures {
    /// The currency.
    pub currency: Currency,
    /// How many are won.
    pub won_count: Count,
    /// The sum of their amounts.
    pub won_cents: Nullable<SumCents>,
    /// How many are lost.
    pub lost_count: Count,
    /// The sum of their amounts.
    pub lost_cents: Nullable<SumCents>,
}

/// Moves from one stage to another.
#[derive(Debug, Object, Serialize, PartialEq, Eq)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct Conversion {
    /// The stage before.
    pub from_stage: OpportunityStage,
    /// The stage after.
    pub to_stage: OpportunityStage,
    /// How many moves there were.
    pub count: Count,
    /// Their share of all moves out of the first stage, `count / all × 100`.
    pub percent: Percent,
    /// For how long the opportunities had been in the first stage, on average, in seconds.
    pub mean_seconds: Seconds,
}

/// What is to be expected of the open opportunities, by how long they took in each stage until now.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct PipelineForecast {
    /// When the figures are from: all are of this instant.
    pub as_of: Timestamp,
    /// Whether all opportunities are counted. `false` for a while after an upgrade: older ones are being counted.
    pub complete: bool,
    /// How long an interval is.
    pub interval: ForecastInterval,
    /// How the figures are calculated.
    pub formula: Shown<Formula>,
    /// How many moves out of a stage there must have been to forecast by their times.
    pub minimum_cases: Count,
    /// How long opportunities took, by open stage.
    #[oai(validator(max_items = 100))]
    pub velocity: Vec<StageVelocity>,
    /// What is to be expected, by currency.
    #[oai(validator(max_items = 300))]
    pub currencies: Vec<CurrencyForecast>,
}

/// How long opportunities took in a stage, in the last 365 days.
#[derive(Debug, Object, Serialize, PartialEq, Eq)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct StageVelocity {
    /// The stage.
    pub stage: OpportunityStage,
    /// How many moves out of it there were.
    pub cases: Count,
    /// The mean time in it; `null` where there were fewer moves than `minimumCases`.
    pub mean_seconds: Nullable<Seconds>,
    /// The time from coming into it to closing: the sum of `meanSeconds` of this and each later open stage; `null` where one of
    /// them is.
    pub seconds_to_close: Nullable<Seconds>,
}

/// What is to be expected in a currency.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct CurrencyForecast {
    /// The currency.
    pub currency: Currency,
    /// The present interval and those that follow.
    #[oai(validator(max_items = 100))]
    pub intervals: Vec<IntervalForecast>,
    /// How many open opportunities are to be closed after these intervals.
    pub later_count: Count,
    /// How many open opportunities are in stages whose `secondsToClose` is `null`: they are in no interval.
    pub unknown_count: Count,
    /// The sum of their amounts.
    pub unknown_cents: Nullable<SumCents>,
}

/// What is to be expected in an interval.
#[derive(Debug, Object, Serialize, PartialEq, Eq)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct IntervalForecast {
    /// The first day (UTC).
    pub from: Date,
    /// The day before which the interval ends (UTC).
    pub to: Date,
    /// How many open opportunities are to be closed in it.
    pub count: Count,
    /// The sum of their amounts × the probability of their stages / 100; `null` where no open opportunity of the currency is in a
    /// stage whose `secondsToClose` is known.
    pub expected_cents: Nullable<SumCents>,
    /// The least that this is when all stages take as long as now, half as long or half as long again.
    pub low_cents: Nullable<SumCents>,
    /// The most that this is then.
    pub high_cents: Nullable<SumCents>,
}

/// A page of open opportunities to which nothing has happened for long.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct StalledOpportunities {
    /// The opportunities, the longest first; fewer than `pageSize`, or none, also where much had to be looked at: `nextCursor`
    /// tells whether there is more.
    #[oai(validator(max_items = 100))]
    pub data: Vec<StalledOpportunity>,
    /// Whether all opportunities are looked at. `false` for a while after an upgrade: older ones are being added.
    pub complete: bool,
    /// `after` of the next page, with the same `days`; `null` at the end.
    pub next_cursor: NextCursor,
}

/// An open opportunity to which nothing has happened for long.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct StalledOpportunity {
    /// The opportunity's id.
    pub opportunity_id: Id,
    /// The customer that it belongs to.
    pub customer_id: Id,
    /// Its title.
    pub title: Title,
    /// Its amount, in the currency's minor unit.
    pub amount_cents: AmountCents,
    /// The currency.
    pub currency: Currency,
    /// The stage that it is in.
    pub stage: OpportunityStage,
    /// When it came into the stage.
    pub stage_entered_at: Timestamp,
    /// When it last came into a stage or got a follow-up.
    pub idle_since: Timestamp,
    /// For how many days of 24 hours that is, rounded down.
    pub idle_days: Count,
}

/// How long an interval of a forecast is: a calendar `month`, or a `week` from Monday on, in UTC. New values may be added: the
/// days of each interval tell how long it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum, Serialize, Deserialize)]
#[oai(rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub enum ForecastInterval {
    /// A calendar month.
    Month,
    /// A week, from Monday on.
    Week,
}

/// The `interval` parameter.
#[derive(Debug)]
pub struct IntervalFilter;

impl QueryValue for IntervalFilter {
    type Value = ForecastInterval;

    fn schema() -> MetaSchemaRef {
        ForecastInterval::schema_ref()
    }

    /// A month, if none is named.
    fn read(value: Option<&str>) -> Result<ForecastInterval, Violation> {
        let known = |text: &str| serde_json::from_value(text.into()).map_err(|_| "must be month or week".into());
        value.map_or(Ok(ForecastInterval::Month), known)
    }
}

/// The `currency` parameter: one currency, active or not.
#[derive(Debug)]
pub struct OneCurrency;

impl QueryValue for OneCurrency {
    type Value = Option<String>;

    fn schema() -> MetaSchemaRef {
        MetaSchemaRef::Inline(Box::new(MetaSchema {
            max_length: Some(3),
            pattern: Some("^[A-Z]{3}$".to_owned()),
            example: Some("CNY".into()),
            ..MetaSchema::new("string")
        }))
    }

    fn read(value: Option<&str>) -> Result<Option<String>, Violation> {
        let code = |text: &str| match text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase()) {
            true => Ok(text.to_owned()),
            false => Err("must be an ISO 4217 code in capitals, like CNY".into()),
        };
        value.map(code).transpose()
    }
}

/// The `days` parameter of what is stalled.
#[derive(Debug)]
pub struct StalledDays;

impl StalledDays {
    const RANGE: IntegerRange = IntegerRange { default: 30, min: 1, max: 3650, format: "int32" };
}

impl QueryValue for StalledDays {
    type Value = u64;

    fn schema() -> MetaSchemaRef {
        Self::RANGE.schema()
    }

    fn read(value: Option<&str>) -> Result<u64, Violation> {
        Self::RANGE.read(value)
    }
}
