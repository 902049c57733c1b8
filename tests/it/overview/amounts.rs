//! What opportunities amount to is what a naive recomputation says, to the cent.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::overview;
use crate::harness::{Service, id, random::Random};

/// The largest whole number that is exact in JSON everywhere.
const LARGEST: i128 = (1 << 53) - 1;
const PROBABILITIES: [i128; 7] = [5, 10, 20, 50, 80, 100, 0];

fn sum(cents: i128) -> Value {
    if cents <= LARGEST { json!(i64::try_from(cents).unwrap()) } else { Value::Null }
}

/// Rounded to the nearest whole number, a half to the even one.
fn hundredth(number: i128) -> i128 {
    let (whole, rest) = (number / 100, number % 100);
    if rest > 50 || (rest == 50 && whole % 2 == 1) { whole + 1 } else { whole }
}

/// Of a currency: how many and how much by status, and a hundred times what is to be expected.
type Sums = ([(u64, i128); 3], i128);

/// The amounts of these opportunities, one by one.
fn naive(opportunities: &[Value]) -> Value {
    let mut by_currency: BTreeMap<&str, Sums> = BTreeMap::new();
    for one in opportunities {
        let (sums, weighted) = by_currency.entry(one["currency"].as_str().unwrap()).or_default();
        let [stage, status, amount] = ["stage", "status", "amountCents"].map(|field| one[field].as_u64().unwrap());
        let of_status = &mut sums[usize::try_from(status).unwrap()];
        *of_status = (of_status.0 + 1, of_status.1 + i128::from(amount));
        if status == 0 {
            *weighted += i128::from(amount) * PROBABILITIES[usize::try_from(stage).unwrap()];
        }
    }
    let shown = |(currency, (sums, weighted)): (&str, Sums)| {
        let [open, won, lost] = sums.map(|(count, cents)| json!({ "count": count, "amountCents": sum(cents) }));
        json!({ "currency": currency, "open": open, "won": won, "lost": lost,
            "weightedAmountCents": sum(hundredth(weighted)) })
    };
    by_currency.into_iter().map(shown).collect()
}

#[tokio::test]
async fn amounts_equal_a_naive_recomputation_to_the_cent() {
    let service = Service::start().await;
    let mut random = Random(5);
    let customers = [service.customer().await, service.customer().await];
    let mut opportunities: Vec<String> = Vec::new();
    for step in 0..150 {
        let customer = &customers[random.below(2)];
        let amount = if random.below(4) == 0 { LARGEST as u64 } else { random.below(100_000) as u64 };
        let currency = ["CNY", "EUR", "JPY"][random.below(3)];
        match random.below(6) {
            0 | 1 => {
                let body = json!({ "customerId": customer, "title": "x", "amountCents": amount, "currency": currency,
                    "stage": random.below(7) });
                opportunities.push(id(&service.create("/opportunities", body).await, "opportunityId"));
            }
            2..=4 if !opportunities.is_empty() => {
                let path = format!("/opportunities/{}", opportunities[random.below(opportunities.len())]);
                let body = match random.below(3) {
                    0 => json!({ "stage": random.below(7) }),
                    1 => json!({ "status": random.below(3) }),
                    _ => json!({ "amountCents": amount, "currency": currency }),
                };
                service.patch(&path, body).send().await.expect(200);
            }
            5 if opportunities.len() > 5 => {
                let gone = opportunities.swap_remove(random.below(opportunities.len()));
                service.delete(&format!("/opportunities/{gone}")).send().await.expect(204);
                if random.below(2) == 0 {
                    service.remove_deleted().await;
                }
            }
            _ => {}
        }
        if step % 10 == 9 {
            for customer in &customers {
                let all = service.read(&format!("/opportunities?pageSize=100&customerId={customer}")).await;
                let all = all["data"].as_array().unwrap();
                let seen = overview(&service, customer).await["opportunities"].clone();
                assert_eq!((&seen["amounts"], &seen["total"]), (&naive(all), &json!(all.len())));
                assert_eq!(seen["amountsComplete"], true);
            }
        }
    }
}
