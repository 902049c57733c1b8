//! The pipeline as it is, and what became of opportunities in a time.

use std::{collections::BTreeMap, ops::Range};

use chrono::{DateTime, Utc};
use sea_orm::ConnectionTrait;
use uuid::Uuid;

use super::types::{ClosedFigures, Conversion, CurrencyFigures, PipelineSummary, StageFigures, WindowFigures};
use crate::{
    database::pipeline::{self, Measure, Sum, Wanted},
    error::{Error, Result},
    opportunities::{OpportunityStage, OpportunityStatus},
    values::{
        Currency, Nullable, Tenant, Timestamp,
        date::Date,
        figure::{Count, Percent, Seconds, SumCents, half_even},
        integer_enum::IntegerEnum,
    },
};

/// The most days of a window.
const LONGEST: i64 = 366;
/// How many days a window has by default, today included.
const DEFAULT: i64 = 90;
/// Seconds of a day.
const DAY: i128 = 86_400;

/// A time of whole days (UTC).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The first day.
    pub from: Date,
    /// The day before which it ends.
    pub to: Date,
}

impl Window {
    /// The window that is asked for: without a beginning the 90 days before its end, without an end up to today.
    ///
    /// # Errors
    /// Invalid: it ends before it begins, or has more than 366 days.
    pub fn new(from: Option<Date>, to: Option<Date>, now: DateTime<Utc>) -> Result<Self> {
        let to = to.unwrap_or_else(|| Date::of(now).plus(1));
        let from = from.unwrap_or_else(|| to.plus(-DEFAULT));
        if from >= to {
            return Err(Error::invalid("from: must be before to"));
        }
        if from.plus(LONGEST) < to {
            return Err(Error::invalid(format!("from: must be at most {LONGEST} days before to")));
        }
        Ok(Self { from, to })
    }

    fn days(self) -> Range<i32> {
        self.from.number()..self.to.number()
    }
}

/// The codes of all stages, and of the closed ones.
fn codes(status: Option<OpportunityStatus>) -> Range<i32> {
    let all = OpportunityStage::ALL.iter().filter(|stage| status.is_none_or(|status| stage.kind() == status));
    let codes: Vec<i32> = all.map(|stage| stage.code()).collect();
    codes.first().copied().unwrap_or_default()..codes.last().map_or(0, |last| last + 1)
}

/// Whose pipeline, and which of it.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'s> {
    /// Only of this customer.
    pub customer: Option<Uuid>,
    /// Only in this currency.
    pub currency: Option<&'s str>,
}

/// Summarizes the tenant's pipeline.
///
/// # Errors
/// A database error.
pub async fn read(
    db: &impl ConnectionTrait,
    tenant: &Tenant,
    scope: Scope<'_>,
    window: Window,
    now: Timestamp,
) -> Result<PipelineSummary> {
    // Asked first: what is complete stays so.
    let complete = pipeline::is_complete(db, tenant).await?;
    let closed = codes(Some(OpportunityStatus::Won)).start..codes(Some(OpportunityStatus::Lost)).end;
    let wanted = [
        Wanted::standing(codes(None)),
        Wanted { measure: Measure::Entered, stages: closed, days: window.days(), by_day: None },
        Wanted { measure: Measure::Moved, stages: codes(None), days: window.days(), by_day: None },
    ];
    let sums = pipeline::read(db, tenant, scope.customer, scope.currency, &wanted).await?;
    summarize(&sums, complete, window, now)
}

/// What these totals say.
///
/// # Errors
/// Internal: a total of an unknown stage.
pub fn summarize(sums: &[Sum], complete: bool, window: Window, now: Timestamp) -> Result<PipelineSummary> {
    let of = |measure| sums.iter().filter(move |sum| sum.measure == measure);
    let mut stages: Vec<StageFigures> =
        of(Measure::Standing).map(|sum| stage_figures(sum, now)).collect::<Result<_>>()?;
    stages.sort_by(|one, other| one.currency.code().cmp(other.currency.code()));
    Ok(PipelineSummary {
        as_of: now,
        complete,
        stages,
        currencies: currencies(of(Measure::Standing))?,
        window: WindowFigures {
            from: window.from,
            to: window.to,
            conversions: conversions(of(Measure::Moved))?,
            ..closed(of(Measure::Entered), window)?
        },
    })
}

/// The stage with this code.
///
/// # Errors
/// Internal, if there is none.
pub(super) fn stage(code: i32) -> Result<OpportunityStage> {
    let stage = OpportunityStage::ALL.iter().copied().find(|stage| stage.code() == code);
    stage.ok_or_else(|| Error::internal(format!("totals of the pipeline have a stage {code}")))
}

fn stage_figures(sum: &Sum, now: Timestamp) -> Result<StageFigures> {
    let stage = stage(sum.stage)?;
    let (count, now) = (i128::from(sum.count), i128::from(now.0.timestamp()));
    let age = half_even(now * count - i128::from(sum.to_seconds), count);
    Ok(StageFigures {
        currency: Currency::stored(sum.currency.clone()),
        stage,
        count: Count(sum.count),
        amount_cents: SumCents::exact(sum.amount),
        weighted_cents: SumCents::exact(half_even(sum.amount * i128::from(stage.probability()), 100)),
        // A clock that was set back makes no stay a negative one.
        mean_age_seconds: Seconds(i64::try_from(age).unwrap_or(i64::MAX).max(0)),
    })
}

/// A number of opportunities and the sum of their amounts.
#[derive(Debug, Default, Clone, Copy)]
struct Tally {
    count: i64,
    amount: i128,
}

impl Tally {
    fn add(&mut self, sum: &Sum) {
        self.count += sum.count;
        self.amount += sum.amount;
    }
}

/// Those in a currency, by status.
#[derive(Debug, Default)]
struct ByStatus {
    open: Tally,
    won: Tally,
    lost: Tally,
    /// The sum of amount × probability, of the open ones.
    weighted: i128,
}

impl ByStatus {
    fn add(&mut self, sum: &Sum) -> Result<()> {
        let stage = stage(sum.stage)?;
        match stage.kind() {
            OpportunityStatus::Open => {
                self.open.add(sum);
                self.weighted += sum.amount * i128::from(stage.probability());
            }
            OpportunityStatus::Won => self.won.add(sum),
            OpportunityStatus::Lost => self.lost.add(sum),
        }
        Ok(())
    }

    fn of_each<'s>(sums: impl Iterator<Item = &'s Sum>) -> Result<BTreeMap<&'s str, Self>> {
        let mut currencies: BTreeMap<&str, Self> = BTreeMap::new();
        for sum in sums {
            currencies.entry(&sum.currency).or_default().add(sum)?;
        }
        Ok(currencies)
    }
}

fn currencies<'s>(sums: impl Iterator<Item = &'s Sum>) -> Result<Vec<CurrencyFigures>> {
    let figures = |(currency, ByStatus { open, won, lost, weighted }): (&str, ByStatus)| CurrencyFigures {
        currency: Currency::stored(currency.to_owned()),
        open_count: Count(open.count),
        open_cents: SumCents::exact(open.amount),
        weighted_cents: SumCents::exact(half_even(weighted, 100)),
        won_count: Count(won.count),
        won_cents: SumCents::exact(won.amount),
        lost_count: Count(lost.count),
        lost_cents: SumCents::exact(lost.amount),
    };
    Ok(ByStatus::of_each(sums)?.into_iter().map(figures).collect())
}

fn closed<'s>(sums: impl Iterator<Item = &'s Sum> + Clone, window: Window) -> Result<WindowFigures> {
    let taken: i128 = sums.clone().map(|sum| i128::from(sum.to_seconds) - i128::from(sum.from_seconds)).sum();
    let currencies = ByStatus::of_each(sums)?;
    let won: i64 = currencies.values().map(|one| one.won.count).sum();
    let lost: i64 = currencies.values().map(|one| one.lost.count).sum();
    let all = i128::from(won) + i128::from(lost);
    let days = half_even(taken, all * DAY);
    let figures = |(currency, ByStatus { won, lost, .. }): (&str, ByStatus)| ClosedFigures {
        currency: Currency::stored(currency.to_owned()),
        won_count: Count(won.count),
        won_cents: SumCents::exact(won.amount),
        lost_count: Count(lost.count),
        lost_cents: SumCents::exact(lost.amount),
    };
    Ok(WindowFigures {
        from: window.from,
        to: window.to,
        won_count: Count(won),
        lost_count: Count(lost),
        win_rate_percent: Nullable((all > 0).then(|| percent(won, all))),
        mean_days_to_close: Nullable((all > 0).then(|| Count(i64::try_from(days).unwrap_or(i64::MAX)))),
        currencies: currencies.into_iter().map(figures).collect(),
        conversions: Vec::new(),
    })
}

fn percent(count: i64, of: i128) -> Percent {
    Percent(i64::try_from(half_even(i128::from(count) * 100, of)).unwrap_or_default())
}

/// The moves in all currencies.
fn conversions<'s>(sums: impl Iterator<Item = &'s Sum>) -> Result<Vec<Conversion>> {
    let mut moves: BTreeMap<(i32, i32), (i64, i128)> = BTreeMap::new();
    let mut left: BTreeMap<i32, i128> = BTreeMap::new();
    for sum in sums {
        let (count, seconds) = moves.entry((sum.stage, sum.next_stage)).or_default();
        *count += sum.count;
        *seconds += i128::from(sum.to_seconds) - i128::from(sum.from_seconds);
        *left.entry(sum.stage).or_default() += i128::from(sum.count);
    }
    let conversion = |((from, to), (count, seconds)): ((i32, i32), (i64, i128))| {
        Ok(Conversion {
            from_stage: stage(from)?,
            to_stage: stage(to)?,
            count: Count(count),
            percent: percent(count, left.get(&from).copied().unwrap_or_default()),
            mean_seconds: Seconds(i64::try_from(half_even(seconds, count.into())).unwrap_or(i64::MAX)),
        })
    };
    moves.into_iter().map(conversion).collect()
}
