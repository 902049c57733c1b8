//! What is to be expected of the open opportunities, by how long opportunities took in each stage until now.

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike, Months, Utc};
use sea_orm::ConnectionTrait;

use super::{
    summary::stage,
    types::{CurrencyForecast, ForecastInterval, IntervalForecast, PipelineForecast, StageVelocity},
};
use crate::{
    database::pipeline::{self, Measure, Sum, Wanted},
    error::Result,
    opportunities::{OpportunityStage, OpportunityStatus},
    values::{
        Currency, Nullable, Tenant, Timestamp,
        date::Date,
        figure::{Count, Seconds, SumCents, half_even},
        integer_enum::IntegerEnum,
    },
};

/// How many moves out of a stage there must have been.
pub const MINIMUM_CASES: i64 = 5;
/// From how many days moves are looked at.
const OBSERVED: i64 = 365;
/// Opportunities that have been in their stage for more days than that are taken together.
const TOLD_APART: i64 = 730;
/// The day after all others.
const NEVER: i32 = i32::MAX;
/// How many intervals a forecast has.
const MONTHS: u32 = 12;
const WEEKS: i64 = 13;
/// By how many halves the times of stages are multiplied: what is expected, and what else it might be.
const HALVES: [i128; 3] = [2, 1, 3];

/// What the reply says of how it is calculated.
const FORMULA: &str = "expectedCents = sum of amountCents × probabilityPercent / 100 over the open opportunities that are to be \
     closed in the interval: each at the time at which it came into its stage + secondsToClose of that stage, but not before asOf. \
     Those that came into a stage on the same day (UTC) are taken together, at their mean time. lowCents and highCents are the least \
     and the most that expectedCents is with secondsToClose × 0.5, 1 and 1.5. Rounded half to even, once for each sum.";

/// Forecasts by the tenant's pipeline.
///
/// # Errors
/// A database error.
pub async fn read(
    db: &impl ConnectionTrait,
    tenant: &Tenant,
    interval: ForecastInterval,
    now: Timestamp,
) -> Result<PipelineForecast> {
    // Asked first: what is complete stays so.
    let complete = pipeline::is_complete(db, tenant).await?;
    let today = Date::of(now.0);
    let codes: Vec<i32> = OpportunityStage::of(OpportunityStatus::Open).map(IntegerEnum::code).collect();
    let open = codes.first().copied().unwrap_or_default()..codes.last().map_or(0, |last| last + 1);
    let by_day = Some(today.plus(-TOLD_APART).number());
    let observed = today.plus(-OBSERVED).number()..today.plus(1).number();
    let wanted = [
        Wanted { measure: Measure::Entered, stages: open.clone(), days: 0..NEVER, by_day },
        Wanted { measure: Measure::Moved, stages: open, days: observed, by_day: None },
    ];
    let sums = pipeline::read(db, tenant, None, None, &wanted).await?;
    forecast(&sums, complete, interval, now)
}

/// What these totals make expect.
///
/// # Errors
/// Internal: a total of an unknown stage.
pub fn forecast(sums: &[Sum], complete: bool, interval: ForecastInterval, now: Timestamp) -> Result<PipelineForecast> {
    let velocity = velocity(sums.iter().filter(|sum| sum.measure == Measure::Moved));
    let intervals = intervals(interval, now.0);
    let mut currencies: BTreeMap<&str, Expected> = BTreeMap::new();
    for sum in sums.iter().filter(|sum| sum.measure == Measure::Entered) {
        let expected = currencies.entry(&sum.currency).or_insert_with(|| Expected::of(intervals.len()));
        expected.add(sum, &velocity, &intervals, now)?;
    }
    Ok(PipelineForecast {
        as_of: now,
        complete,
        interval,
        formula: FORMULA.into(),
        minimum_cases: Count(MINIMUM_CASES),
        velocity,
        currencies: currencies.into_iter().map(|(currency, one)| one.told(currency, &intervals)).collect(),
    })
}

/// How long opportunities took in each open stage.
fn velocity<'s>(moves: impl Iterator<Item = &'s Sum> + Clone) -> Vec<StageVelocity> {
    let mut stages: Vec<StageVelocity> = Vec::new();
    let mut to_close = Some(0);
    // From the last one, because each has those behind it.
    for stage in OpportunityStage::of(OpportunityStatus::Open).collect::<Vec<_>>().into_iter().rev() {
        let out = moves.clone().filter(|sum| sum.stage == stage.code());
        let cases: i64 = out.clone().map(|sum| sum.count).sum();
        let taken: i128 = out.map(|sum| i128::from(sum.to_seconds) - i128::from(sum.from_seconds)).sum();
        let mean = i64::try_from(half_even(taken, cases.into())).unwrap_or(i64::MAX);
        let mean = Some(mean).filter(|_| cases >= MINIMUM_CASES);
        to_close = to_close.zip(mean).map(|(behind, mean): (i64, i64)| behind.saturating_add(mean));
        stages.push(StageVelocity {
            stage,
            cases: Count(cases),
            mean_seconds: Nullable(mean.map(Seconds)),
            seconds_to_close: Nullable(to_close.map(Seconds)),
        });
    }
    stages.reverse();
    stages
}

/// The first day of each interval, and the day after the last one.
fn intervals(interval: ForecastInterval, now: DateTime<Utc>) -> Vec<(Date, Date)> {
    let today = Date::of(now);
    let days: Vec<Date> = match interval {
        ForecastInterval::Month => {
            let first = Date(today.0.with_day(1).unwrap_or(today.0));
            let later = |months| Date(first.0.checked_add_months(Months::new(months)).unwrap_or(first.0));
            (0..=MONTHS).map(later).collect()
        }
        ForecastInterval::Week => {
            let monday = today.plus(-i64::from(today.0.weekday().num_days_from_monday()));
            (0..=WEEKS).map(|weeks| monday.plus(7 * weeks)).collect()
        }
    };
    days.iter().copied().zip(days.iter().copied().skip(1)).collect()
}

/// What is expected in a currency.
#[derive(Debug)]
struct Expected {
    /// Of each interval: how many, and the sum of amount × probability, by what the times of stages are multiplied by.
    intervals: Vec<(i64, [i128; HALVES.len()])>,
    is_known: bool,
    later: i64,
    unknown: (i64, i128),
}

impl Expected {
    fn of(intervals: usize) -> Self {
        Self { intervals: vec![Default::default(); intervals], is_known: false, later: 0, unknown: (0, 0) }
    }

    fn add(&mut self, sum: &Sum, velocity: &[StageVelocity], intervals: &[(Date, Date)], now: Timestamp) -> Result<()> {
        let stage = stage(sum.stage)?;
        let to_close = velocity.iter().find(|one| one.stage == stage).and_then(|one| one.seconds_to_close.0);
        let Some(Seconds(to_close)) = to_close else {
            self.unknown.0 += sum.count;
            self.unknown.1 += sum.amount;
            return Ok(());
        };
        self.is_known = true;
        let entered = half_even(sum.to_seconds.into(), sum.count.into());
        for (at, halves) in HALVES.into_iter().enumerate() {
            let close = (entered + i128::from(to_close) * halves / 2).max(i128::from(now.0.timestamp()));
            let of = intervals.iter().position(|(_, to)| close < i128::from(to.seconds()));
            match of.and_then(|of| self.intervals.get_mut(of)) {
                Some((count, weighted)) => {
                    *count += if at == 0 { sum.count } else { 0 };
                    if let Some(weighted) = weighted.get_mut(at) {
                        *weighted += sum.amount * i128::from(stage.probability());
                    }
                }
                None if at == 0 => self.later += sum.count,
                None => {}
            }
        }
        Ok(())
    }

    fn told(self, currency: &str, intervals: &[(Date, Date)]) -> CurrencyForecast {
        let Self { intervals: expected, is_known, later, unknown } = self;
        let told = |((from, to), (count, weighted)): (&(Date, Date), (i64, [i128; HALVES.len()]))| {
            let sum = |weighted: Option<&i128>| match weighted {
                Some(weighted) if is_known => SumCents::exact(half_even(*weighted, 100)),
                _ => Nullable(None),
            };
            IntervalForecast {
                from: *from,
                to: *to,
                count: Count(count),
                expected_cents: sum(weighted.first()),
                low_cents: sum(weighted.iter().min()),
                high_cents: sum(weighted.iter().max()),
            }
        };
        CurrencyForecast {
            currency: Currency::stored(currency.to_owned()),
            intervals: intervals.iter().zip(expected).map(told).collect(),
            later_count: Count(later),
            unknown_count: Count(unknown.0),
            unknown_cents: SumCents::exact(unknown.1),
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, NaiveTime, Utc};

    use super::{ForecastInterval, Measure, Sum, forecast};
    use crate::{
        opportunities::OpportunityStage,
        values::{
            Nullable, Timestamp,
            date::Date,
            figure::{Count, Seconds, SumCents},
        },
    };

    const DAY: i64 = 86_400;

    fn sum(measure: Measure, stage: i32, (count, amount): (i64, i128), (from, to): (i64, i64)) -> Sum {
        let (day, currency, next_stage) = (0, "EUR".to_owned(), -1);
        Sum { measure, day, currency, stage, next_stage, count, amount, from_seconds: from, to_seconds: to }
    }

    fn day(text: &str) -> Date {
        let Ok(day) = text.parse() else { panic!("{text}") };
        Date(day)
    }

    fn midnight(text: &str) -> DateTime<Utc> {
        day(text).0.and_time(NaiveTime::MIN).and_utc()
    }

    /// Negotiation takes 10 days, Proposal 20; of Qualification there are too few cases.
    #[test]
    fn a_forecast_is_what_is_computed_by_hand() {
        let now = midnight("2026-01-20");
        let at = now.timestamp();
        let sums = [
            sum(Measure::Moved, 4, (5, 0), (0, 50 * DAY)),
            sum(Measure::Moved, 3, (6, 0), (0, 120 * DAY)),
            sum(Measure::Moved, 2, (4, 0), (0, 40 * DAY)),
            // Two that came to Negotiation five days ago: closed in five days, on January 25th; by half of that now, by half
            // more on the 30th. 80 % of 1001 is 800.8.
            sum(Measure::Entered, 4, (2, 1001), (0, 2 * (at - 5 * DAY))),
            // One that came to Proposal today: closed in 30 days, on February 19th; in 15 or 45 days, on February 4th or March 6th.
            sum(Measure::Entered, 3, (1, 2001), (0, at)),
            // One that should have been closed long ago: now.
            sum(Measure::Entered, 4, (1, 5), (0, at - 400 * DAY)),
            sum(Measure::Entered, 2, (3, 700), (0, 3 * at)),
        ];
        let found = forecast(&sums, true, ForecastInterval::Month, Timestamp(now));
        let Ok(found) = found else { panic!("{found:?}") };
        let of = |stage| match found.velocity.iter().find(|one| one.stage == stage) {
            Some(one) => one,
            None => panic!("{stage:?} is not among {:?}", found.velocity),
        };
        assert_eq!(of(OpportunityStage::Negotiation).seconds_to_close, Nullable(Some(Seconds(10 * DAY))));
        assert_eq!(of(OpportunityStage::Proposal).mean_seconds, Nullable(Some(Seconds(20 * DAY))));
        assert_eq!(of(OpportunityStage::Proposal).seconds_to_close, Nullable(Some(Seconds(30 * DAY))));
        let qualification = of(OpportunityStage::Qualification);
        assert_eq!((qualification.cases, &qualification.mean_seconds), (Count(4), &Nullable(None)));
        assert_eq!(of(OpportunityStage::New).seconds_to_close, Nullable(None));
        let [euros] = found.currencies.as_slice() else { panic!("{:?}", found.currencies) };
        assert_eq!((euros.unknown_count, &euros.unknown_cents), (Count(3), &SumCents::exact(700)));
        let told: Vec<_> = euros
            .intervals
            .iter()
            .take(3)
            .map(|one| {
                (one.from, one.count.0, one.expected_cents.clone(), one.low_cents.clone(), one.high_cents.clone())
            })
            .collect();
        let cents = |sum| SumCents::exact(sum);
        // 800.8 + 4 = 804.8 in January; 1000.5 in February, or in March.
        assert_eq!(told[0], (day("2026-01-01"), 3, cents(805), cents(805), cents(805)));
        assert_eq!(told[1], (day("2026-02-01"), 1, cents(1000), cents(0), cents(1000)));
        assert_eq!(told[2], (day("2026-03-01"), 0, cents(0), cents(0), cents(1000)));
        assert_eq!(euros.intervals.len(), 12);
    }

    #[test]
    fn with_too_few_cases_nothing_is_forecast() {
        let now = midnight("2026-01-20");
        let sums =
            [sum(Measure::Moved, 4, (4, 0), (0, 4 * DAY)), sum(Measure::Entered, 4, (1, 100), (0, now.timestamp()))];
        let found = forecast(&sums, true, ForecastInterval::Week, Timestamp(now));
        let Ok(found) = found else { panic!("{found:?}") };
        let [euros] = found.currencies.as_slice() else { panic!("{:?}", found.currencies) };
        assert_eq!(euros.intervals.len(), 13);
        assert_eq!(euros.intervals[0].from, day("2026-01-19"));
        assert!(euros.intervals.iter().all(|one| one.expected_cents == Nullable(None)), "{euros:?}");
        assert_eq!(euros.unknown_count, Count(1));
    }
}
