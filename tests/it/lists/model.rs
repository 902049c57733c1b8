//! A naive model of the lists: all items in memory, filtered one by one and sorted.

use std::cmp::Ordering;

use crm::values::normal_form::sort_key;
use serde_json::{Value, json};

use crate::harness::{Call, FAR_FUTURE, Service, random::Random};

pub const LISTS: [&str; 4] = ["/customers", "/contacts", "/opportunities", "/follow-ups"];
pub const IDS: [&str; 4] = ["customerId", "contactId", "opportunityId", "followUpId"];
pub const SORTS: [&[&str]; 4] = [
    &["createdAt", "updatedAt", "name", "status"],
    &["createdAt", "updatedAt", "name"],
    &["createdAt", "updatedAt", "title", "amountCents", "stage"],
    &["createdAt", "updatedAt"],
];

/// The items of a tenant, list by list, as they are read one by one.
#[derive(Debug, Clone, Default)]
pub struct Model {
    pub items: [Vec<Value>; 4],
    /// The clock, in milliseconds of the Unix epoch.
    pub now: i64,
}

/// What a list is asked.
#[derive(Debug, Clone)]
pub struct Question {
    pub list: usize,
    /// Names and values as they are meant.
    pub filters: Vec<(&'static str, String)>,
    pub sort: Vec<(&'static str, bool)>,
}

/// A request whose token outlasts the clock of these tests.
pub fn lasting<'s>(call: Call<'s>) -> Call<'s> {
    let scope = "crm:read crm:write crm:pii:read crm:pii:erase crm:audit:read";
    call.claims(json!({ "scope": scope, "exp": FAR_FUTURE }))
}

pub async fn read(service: &Service, path: &str) -> Value {
    lasting(service.get(path)).send_unchecked().await.expect(200).body
}

fn text<'v>(item: &'v Value, field: &str) -> &'v str {
    item[field].as_str().unwrap_or_default()
}

/// The instant of a timestamp, in milliseconds of the Unix epoch.
pub fn millis(timestamp: &str) -> i64 {
    chrono::DateTime::parse_from_rfc3339(timestamp).unwrap().timestamp_millis()
}

/// The timestamp of an instant in milliseconds of the Unix epoch.
pub fn timestamp(millis: i64) -> String {
    let instant = chrono::DateTime::from_timestamp_millis(millis).unwrap();
    instant.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

const DAY: i64 = 86_400_000;

impl Model {
    /// Whether an item meets one filter.
    fn meets(&self, item: &Value, name: &str, value: &str) -> bool {
        let among = |found: String| value.split(',').any(|one| one == found);
        match name {
            "status" | "stage" => among(item[name].to_string()),
            "currency" => among(text(item, name).to_owned()),
            "isPrimary" => item[name] == (value == "true"),
            "customerId" | "opportunityId" | "contactPhone" | "contactEmail" | "phone" | "email" => {
                text(item, name) == value
            }
            "createdFrom" => millis(text(item, "createdAt")) >= millis(value),
            "createdTo" => millis(text(item, "createdAt")) < millis(value),
            "updatedSince" => millis(text(item, "updatedAt")) >= millis(value),
            "amountFrom" => item["amountCents"].as_u64().unwrap() >= value.parse().unwrap(),
            "amountTo" => item["amountCents"].as_u64().unwrap() <= value.parse().unwrap(),
            "hasOpenOpportunities" => {
                let is_of = |one: &&Value| one["customerId"] == item["customerId"] && one["status"] == 0;
                self.items[2].iter().any(|one| is_of(&one)).to_string() == value
            }
            "stalledDays" => {
                let since = (self.now - value.parse::<i64>().unwrap() * DAY).div_euclid(1000) * 1000;
                let is_later = |one: &Value| {
                    one["opportunityId"] == item["opportunityId"] && millis(text(one, "createdAt")) > since
                };
                item["status"] == 0 && millis(text(item, "updatedAt")) <= since && !self.items[3].iter().any(is_later)
            }
            // One of several, in which commas and backslashes are escaped.
            "followUpType" => escaped(value).iter().any(|one| one == text(item, name)),
            other => panic!("the model knows no {other}"),
        }
    }

    /// Whether an item is in the list that is asked for.
    pub fn has(&self, question: &Question, item: &Value) -> bool {
        question.filters.iter().all(|(name, value)| self.meets(item, name, value))
    }

    /// The ids of the whole list, in its order.
    pub fn answer(&self, question: &Question) -> Vec<String> {
        let items = self.items[question.list].iter();
        let mut found: Vec<&Value> = items.filter(|item| self.has(question, item)).collect();
        found.sort_by(|one, other| question.compare(one, other));
        found.iter().map(|item| text(item, IDS[question.list]).to_owned()).collect()
    }

    /// Reads all items anew, one by one: those that are deleted are gone.
    pub async fn refresh(&mut self, service: &Service, ids: &[Vec<String>; 4]) {
        for (list, ids) in ids.iter().enumerate() {
            self.items[list].clear();
            for id in ids {
                let reply = lasting(service.get(&format!("{}/{id}", LISTS[list]))).send_unchecked().await;
                if reply.status == 200 {
                    self.items[list].push(reply.body);
                } else {
                    reply.expect(404);
                }
            }
        }
        self.now = service.app.now().0.timestamp_millis();
    }
}

fn escaped(value: &str) -> Vec<String> {
    let marked = value.replace("\\\\", "\u{1}").replace("\\,", "\u{2}");
    marked.split(',').map(|one| one.replace('\u{1}', "\\").replace('\u{2}', ",")).collect()
}

impl Question {
    /// In which order two items come.
    pub fn compare(&self, one: &Value, other: &Value) -> Ordering {
        let last = self.sort.last().is_none_or(|(_, is_descending)| *is_descending);
        let keys = self.sort.iter().copied().chain([("createdAt", last), (IDS[self.list], last)]);
        keys.map(|(key, is_descending)| {
            let order = match key {
                "name" | "title" => sort_key(text(one, key)).cmp(&sort_key(text(other, key))),
                "status" | "stage" | "amountCents" => one[key].as_u64().cmp(&other[key].as_u64()),
                _ => text(one, key).cmp(text(other, key)),
            };
            if is_descending { order.reverse() } else { order }
        })
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
    }

    /// The path of the list, with filters and order.
    pub fn path(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(&self.filters);
        if !self.sort.is_empty() {
            let keys = self
                .sort
                .iter()
                .map(|(key, is_descending)| if *is_descending { format!("-{key}") } else { (*key).to_owned() });
            query.append_pair("sort", &keys.collect::<Vec<_>>().join(","));
        }
        format!("{}?{}", LISTS[self.list], query.finish())
    }

    /// A question about what is there, at random.
    pub fn any(model: &Model, random: &mut Random) -> Self {
        let list = random.below(4);
        let items = &model.items[list];
        let mut filters = Vec::new();
        for name in names(list) {
            let is_narrow = name.ends_with("hone") || name.ends_with("mail") || name.ends_with("Id");
            if random.below(if is_narrow { 9 } else { 3 }) == 0 {
                let item = &items[random.below(items.len())];
                filters.push((*name, value(name, item, model, random)));
            }
        }
        let mut keys = SORTS[list].to_vec();
        let mut sort = Vec::new();
        for _ in 0..random.below(4).min(keys.len()) {
            sort.push((keys.remove(random.below(keys.len())), random.below(2) == 0));
        }
        Self { list, filters, sort }
    }
}

fn names(list: usize) -> &'static [&'static str] {
    match list {
        0 => &[
            "status",
            "hasOpenOpportunities",
            "contactPhone",
            "contactEmail",
            "createdFrom",
            "createdTo",
            "updatedSince",
        ],
        1 => &["customerId", "isPrimary", "phone", "email", "createdFrom", "createdTo", "updatedSince"],
        2 => &[
            "customerId",
            "stage",
            "status",
            "currency",
            "amountFrom",
            "amountTo",
            "stalledDays",
            "createdFrom",
            "createdTo",
            "updatedSince",
        ],
        _ => &["customerId", "opportunityId", "followUpType", "createdFrom", "createdTo", "updatedSince"],
    }
}

/// A value that finds something, mostly: it is near what this item has.
fn value(name: &str, item: &Value, model: &Model, random: &mut Random) -> String {
    let several = |random: &mut Random, values: &[&str]| {
        let count = 1 + random.below(values.len());
        (0..count).map(|_| values[random.below(values.len())]).collect::<Vec<_>>().join(",")
    };
    match name {
        "status" => several(random, if item.get("stage").is_some() { &["0", "1", "2"] } else { &["0", "1"] }),
        "stage" => several(random, &["0", "1", "2", "3", "4", "5", "6"]),
        "currency" => several(random, &["CNY", "EUR", "USD", "XTS"]),
        "isPrimary" | "hasOpenOpportunities" => ["true", "false"][random.below(2)].to_owned(),
        "amountFrom" | "amountTo" => item["amountCents"].to_string(),
        "stalledDays" => (1 + random.below(12)).to_string(),
        "createdFrom" | "createdTo" => {
            timestamp(millis(text(item, "createdAt")) + i64::try_from(random.below(3)).unwrap() - 1)
        }
        "updatedSince" => timestamp(millis(text(item, "updatedAt")) + i64::try_from(random.below(2)).unwrap()),
        "followUpType" => several(random, TYPES_ESCAPED),
        "customerId" | "opportunityId" if item[name].is_null() => text(&model.items[0][0], "customerId").to_owned(),
        "contactEmail" | "email" if item[name].is_null() => "nobody@b.cn".to_owned(),
        _ if item[name].is_null() => "13800000000".to_owned(),
        _ => text(item, name).to_owned(),
    }
}

/// Types of follow-ups, and how they are written in a filter.
pub const TYPES: [&str; 4] = ["call", "a,b", "c\\", "visit"];
const TYPES_ESCAPED: &[&str] = &["call", "a\\,b", "c\\\\", "visit"];
