//! What a service shows of itself: its metrics, as a scraper reads them.

use std::{
    collections::BTreeMap,
    time::{SystemTime, UNIX_EPOCH},
};

use crm::telemetry::metrics::Exposition;

use super::Service;

/// A family of metrics.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Family {
    pub help: String,
    pub kind: String,
}

/// A line of a scrape.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub value: f64,
}

/// The metrics of one instant.
#[derive(Debug, Clone, Default)]
pub struct Scrape {
    /// When it was, in seconds since 1970, by the service's clock.
    pub at: f64,
    pub text: String,
    pub families: BTreeMap<String, Family>,
    pub samples: Vec<Sample>,
}

impl Scrape {
    /// Of a service in this process.
    pub fn of(service: &Service) -> Self {
        let scrape = Self::parse(service.app.metrics_now().written_as(Exposition::Text));
        Self { at: service.app.now().0.timestamp() as f64, ..scrape }
    }

    /// From a private listener.
    pub async fn from(address: &str) -> Result<Self, reqwest::Error> {
        let reply = reqwest::get(format!("http://{address}/metrics")).await?.error_for_status()?;
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        Ok(Self { at, ..Self::parse(reply.text().await?) })
    }

    /// Reads the text format 0.0.4; fails where a line is not of it.
    pub fn parse(text: String) -> Self {
        let mut scrape = Self { text, ..Self::default() };
        for line in scrape.text.lines() {
            if let Some(comment) = line.strip_prefix("# ") {
                let (what, rest) = comment.split_once(' ').unwrap();
                let (name, said) = rest.split_once(' ').unwrap();
                let family = scrape.families.entry(name.to_owned()).or_default();
                match what {
                    "HELP" => said.clone_into(&mut family.help),
                    "TYPE" => said.clone_into(&mut family.kind),
                    _ => panic!("{line}"),
                }
            } else {
                scrape.samples.push(sample(line));
            }
        }
        scrape
    }

    /// The samples of a name, with these labels among theirs.
    pub fn all<'s>(&'s self, name: &'s str, labels: &'s [(&str, &str)]) -> impl Iterator<Item = &'s Sample> + 's {
        let has =
            |sample: &Sample, (label, value): &(&str, &str)| sample.labels.get(*label).is_some_and(|it| it == value);
        self.samples.iter().filter(move |sample| sample.name == name && labels.iter().all(|wanted| has(sample, wanted)))
    }

    /// The sum of these samples; fails where there is none.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let values: Vec<f64> = self.all(name, labels).map(|sample| sample.value).collect();
        assert!(!values.is_empty(), "there is no {name} with {labels:?}");
        values.iter().sum()
    }

    /// The family that a sample belongs to.
    pub fn family(&self, sample: &Sample) -> Option<&str> {
        let parts = ["_bucket", "_sum", "_count"].iter().filter_map(|suffix| sample.name.strip_suffix(suffix));
        let histogram =
            parts.into_iter().find(|name| self.families.get(*name).is_some_and(|it| it.kind == "histogram"));
        let named = histogram.unwrap_or(&sample.name);
        self.families.get_key_value(named).map(|(name, _)| name.as_str())
    }
}

fn sample(line: &str) -> Sample {
    let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
    let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
    let labels = labels.strip_suffix('}').unwrap_or_else(|| panic!("{line}"));
    let value = value.parse().unwrap_or_else(|_| panic!("{line}"));
    Sample { name: name.to_owned(), labels: pairs(labels), value }
}

/// `a="b",c="d"`; no value has a quotation mark in it.
fn pairs(text: &str) -> BTreeMap<String, String> {
    let mut parts = text.split('"').map(|part| part.trim_start_matches(',').trim_end_matches('='));
    let mut labels = BTreeMap::new();
    while let (Some(label), Some(value)) = (parts.next(), parts.next()) {
        labels.insert(label.to_owned(), value.to_owned());
    }
    labels
}
