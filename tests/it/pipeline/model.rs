//! A naive model of the pipeline: all opportunities as they are read one by one, added up.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::harness::Service;

use super::read;

const LARGEST: i128 = 9_007_199_254_740_991;
const DAY: i64 = 86_400;

/// An opportunity with the stages that it was in, the first one first: stage, and when it came there.
#[derive(Debug, Clone)]
pub struct Known {
    pub item: Value,
    pub stays: Vec<(i64, String)>,
}

/// Whole seconds since 1970.
pub fn seconds(timestamp: &str) -> i64 {
    chrono::DateTime::parse_from_rfc3339(timestamp).unwrap().timestamp()
}

fn day(date: &Value) -> i64 {
    seconds(&format!("{}T00:00:00Z", date.as_str().unwrap())) / DAY
}

/// To the nearest whole number, a half to the even one.
fn rounded(number: i128, by: i128) -> i128 {
    let (whole, rest) = (number.div_euclid(by), number.rem_euclid(by));
    whole + i128::from(2 * rest > by || (2 * rest == by && whole % 2 == 1))
}

/// As JSON has it.
fn cents(sum: i128) -> Value {
    if sum > LARGEST { Value::Null } else { json!(i64::try_from(sum).unwrap()) }
}

const PROBABILITY: [i128; 7] = [5, 10, 20, 50, 80, 100, 0];

impl Known {
    fn stage(&self) -> usize {
        usize::try_from(self.item["stage"].as_u64().unwrap()).unwrap()
    }

    fn amount(&self) -> i128 {
        self.item["amountCents"].as_i64().unwrap().into()
    }

    fn currency(&self) -> String {
        self.item["currency"].as_str().unwrap().to_owned()
    }

    fn entered(&self) -> i64 {
        seconds(&self.stays.last().unwrap().1)
    }

    fn created(&self) -> i64 {
        seconds(self.item["createdAt"].as_str().unwrap())
    }
}

/// What the summary of these has to say, for the window and the instant of `told`.
pub fn summary(known: &[Known], told: &Value) -> Value {
    let now = seconds(told["asOf"].as_str().unwrap());
    let (from, to) = (day(&told["window"]["from"]), day(&told["window"]["to"]));
    let is_in = |at: i64| (from..to).contains(&(at / DAY));
    let mut groups: BTreeMap<(String, usize), Vec<&Known>> = BTreeMap::new();
    for one in known {
        groups.entry((one.currency(), one.stage())).or_default().push(one);
    }
    let stages: Vec<Value> = groups
        .iter()
        .map(|((currency, stage), all)| {
            let amount: i128 = all.iter().map(|one| one.amount()).sum();
            let age: i128 = all.iter().map(|one| i128::from(now - one.entered())).sum();
            json!({ "currency": currency, "stage": stage, "count": all.len(), "amountCents": cents(amount),
                "weightedCents": cents(rounded(amount * PROBABILITY[*stage], 100)),
                "meanAgeSeconds": i64::try_from(rounded(age, all.len() as i128)).unwrap() })
        })
        .collect();
    let named = |all: &[&Known]| all.iter().map(|one| one.currency()).collect::<std::collections::BTreeSet<_>>();
    let tally = |all: &[&Known], currency: &str, of: fn(usize) -> bool| -> (usize, Value) {
        let found: Vec<_> = all.iter().filter(|one| one.currency() == currency && of(one.stage())).collect();
        (found.len(), cents(found.iter().map(|one| one.amount()).sum()))
    };
    let all: Vec<&Known> = known.iter().collect();
    let currencies: Vec<Value> = named(&all)
        .iter()
        .map(|currency| {
            let of: [fn(usize) -> bool; 3] = [|stage| stage < 5, |stage| stage == 5, |stage| stage == 6];
            let [open, won, lost] = of.map(|of| tally(&all, currency, of));
            let weighted: i128 = all
                .iter()
                .filter(|one| one.currency() == *currency && one.stage() < 5)
                .map(|one| one.amount() * PROBABILITY[one.stage()])
                .sum();
            json!({ "currency": currency, "openCount": open.0, "openCents": open.1,
                "weightedCents": cents(rounded(weighted, 100)), "wonCount": won.0, "wonCents": won.1,
                "lostCount": lost.0, "lostCents": lost.1 })
        })
        .collect();
    let closed: Vec<&Known> = known.iter().filter(|one| one.stage() > 4 && is_in(one.entered())).collect();
    let closed_in: Vec<Value> = named(&closed)
        .iter()
        .map(|currency| {
            let of: [fn(usize) -> bool; 2] = [|stage| stage == 5, |stage| stage == 6];
            let [won, lost] = of.map(|of| tally(&closed, currency, of));
            json!({ "currency": currency, "wonCount": won.0, "wonCents": won.1, "lostCount": lost.0, "lostCents": lost.1 })
        })
        .collect();
    let won = closed.iter().filter(|one| one.stage() == 5).count();
    let taken: i128 = closed.iter().map(|one| i128::from(one.entered() - one.created())).sum();
    let mean = |number: i128, by: usize| match by {
        0 => Value::Null,
        by => json!(i64::try_from(rounded(number, by as i128)).unwrap()),
    };
    json!({ "asOf": told["asOf"], "complete": true, "stages": stages, "currencies": currencies, "window": {
        "from": told["window"]["from"], "to": told["window"]["to"],
        "wonCount": won, "lostCount": closed.len() - won,
        "winRatePercent": mean(won as i128 * 100, closed.len()),
        "meanDaysToClose": mean(taken, closed.len() * 86_400),
        "currencies": closed_in, "conversions": conversions(known, &is_in) } })
}

fn conversions(known: &[Known], is_in: &dyn Fn(i64) -> bool) -> Vec<Value> {
    let mut moves: BTreeMap<(i64, i64), Vec<i64>> = BTreeMap::new();
    for one in known {
        for pair in one.stays.windows(2) {
            let (entered, left) = (seconds(&pair[0].1), seconds(&pair[1].1));
            if is_in(left) {
                moves.entry((pair[0].0, pair[1].0)).or_default().push(left - entered);
            }
        }
    }
    let out = |from: i64| moves.iter().filter(|((one, _), _)| *one == from).map(|(_, all)| all.len()).sum::<usize>();
    let told = |((from, to), taken): (&(i64, i64), &Vec<i64>)| {
        let share = rounded(taken.len() as i128 * 100, out(*from) as i128);
        let mean = rounded(taken.iter().map(|one| i128::from(*one)).sum(), taken.len() as i128);
        json!({ "fromStage": from, "toStage": to, "count": taken.len(), "percent": i64::try_from(share).unwrap(),
            "meanSeconds": i64::try_from(mean).unwrap() })
    };
    moves.iter().map(told).collect()
}

/// The whole stage history of an opportunity, page by page, the first stage first.
pub async fn told_history(service: &Service, id: &str, page_size: usize) -> (Vec<Value>, Value) {
    let path = format!("/opportunities/{id}/stage-history?pageSize={page_size}");
    let (mut stays, mut next) = (Vec::new(), path.clone());
    loop {
        let page = read(service, &next).await;
        let data = page["data"].as_array().unwrap();
        assert!(data.len() <= page_size);
        stays.extend(data.iter().cloned());
        let Some(cursor) = page["nextCursor"].as_str() else {
            stays.reverse();
            return (stays, page["since"].clone());
        };
        assert_eq!(data.len(), page_size);
        next = format!("{path}&after={cursor}");
    }
}
