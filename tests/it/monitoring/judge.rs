//! Whether an alert fires over the metrics of a service: by `promtool`, from the rules that are delivered.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    fs,
    process::Command,
};

use crate::harness::{metrics::Scrape, variable};

pub const RULES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/delivery/monitoring/rules.yml");

/// How many scrapes there are before the last one that a test has made, and how many after it: a quarter of a minute apart.
const BEFORE: usize = 40;
const AFTER: usize = 300;

/// Whether a tool of Prometheus is there; where it need not be, says that a test is skipped.
pub fn is_there(tool: &str) -> bool {
    let there = Command::new(tool).arg("--version").output().is_ok_and(|output| output.status.success());
    assert!(there || variable("CI").is_none(), "{tool} is not installed (Debian: prometheus)");
    if !there {
        let test = std::thread::current().name().unwrap_or_default().to_owned();
        eprintln!("== SKIPPED {test}: {tool} is not installed (Debian: prometheus)");
    }
    there
}

/// Fails unless these alerts fire over these scrapes, where things go on as between the last two, and none of them before.
pub fn assert_fires(alerts: &[&str], scrapes: &[Scrape]) {
    let mut questions = String::new();
    for alert in alerts {
        let firing = format!("ALERTS{{alertname=\"{alert}\",alertstate=\"firing\"}}");
        question(&mut questions, &firing, "10m", "9m30s", 0);
        question(&mut questions, &firing, "75m", "84m", 1);
    }
    judge(scrapes, &questions);
}

/// Fails if any alert fires within half an hour of what is between these scrapes.
pub fn assert_quiet(scrapes: &[Scrape]) {
    let mut questions = String::new();
    question(&mut questions, "ALERTS{alertstate=\"firing\"}", "30m", "40m", 0);
    judge(scrapes, &questions);
}

fn question(questions: &mut String, firing: &str, range: &str, time: &str, expected: u8) {
    writeln!(
        questions,
        "      - expr: clamp_max(count(max_over_time({firing}[{range}])) or vector(0), 1)\n        eval_time: {time}\n        \
         exp_samples:\n          - labels: '{{}}'\n            value: {expected}"
    )
    .unwrap();
}

fn judge(scrapes: &[Scrape], questions: &str) {
    if !is_there("promtool") {
        return;
    }
    let mut file =
        format!("rule_files:\n  - {RULES}\nevaluation_interval: 15s\ntests:\n  - interval: 15s\n    input_series:\n");
    for (series, values) in series(scrapes) {
        writeln!(file, "      - series: '{series}'\n        values: '{values}'").unwrap();
    }
    write!(file, "    promql_expr_test:\n{questions}").unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("test.yml");
    fs::write(&path, file).unwrap();
    let output = Command::new("promtool").args(["test", "rules"]).arg(&path).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

/// Each series with its values, as `promtool` writes them.
fn series(scrapes: &[Scrape]) -> BTreeMap<String, String> {
    let values: Vec<BTreeMap<String, f64>> = scrapes.iter().map(values_of).collect();
    let counters: BTreeSet<String> = scrapes.iter().flat_map(counters_of).collect();
    let names: BTreeSet<&String> = values.iter().flat_map(BTreeMap::keys).collect();
    let steps = BEFORE / (scrapes.len() - 1).max(1);
    let of = |name: &String| {
        let mut text = String::new();
        for (index, scrape) in values.iter().enumerate() {
            let (is_last, before) =
                (index + 1 == values.len(), index.checked_sub(1).and_then(|last| values[last].get(name)));
            let times = if is_last { AFTER } else { steps - 1 };
            match scrape.get(name) {
                None => write!(text, "_x{times} ").unwrap(),
                Some(value) => {
                    let grows = is_last && counters.contains(name);
                    // What is not there before the fault was never counted.
                    let growth = if grows { (value - before.unwrap_or(&0.0)).max(0.0) } else { 0.0 };
                    write!(text, "{value}+{growth}x{times} ").unwrap();
                }
            }
        }
        text.trim_end().to_owned()
    };
    names.into_iter().map(|name| (name.clone(), of(name))).collect()
}

/// The samples of a scrape, and whether it succeeded. Instants are told from that of the scrape on: `promtool` begins at zero.
fn values_of(scrape: &Scrape) -> BTreeMap<String, f64> {
    let mut values = BTreeMap::from([(named("up", &[]), f64::from(u8::from(!scrape.samples.is_empty())))]);
    for sample in &scrape.samples {
        let labels: Vec<_> = sample.labels.iter().map(|(label, value)| (label.as_str(), value.as_str())).collect();
        let value = if sample.name.ends_with("_timestamp_seconds") { sample.value - scrape.at } else { sample.value };
        values.insert(named(&sample.name, &labels), value);
    }
    values
}

/// The series of a scrape that only grow.
fn counters_of(scrape: &Scrape) -> impl Iterator<Item = String> + '_ {
    let grows = |name: &str| scrape.families.get(name).is_some_and(|family| family.kind != "gauge");
    scrape.samples.iter().filter(move |sample| scrape.family(sample).is_some_and(grows)).map(|sample| {
        let labels: Vec<_> = sample.labels.iter().map(|(label, value)| (label.as_str(), value.as_str())).collect();
        named(&sample.name, &labels)
    })
}

fn named(name: &str, labels: &[(&str, &str)]) -> String {
    let own = [("instance", "one"), ("job", "crm")];
    let labels: Vec<_> = labels.iter().chain(&own).map(|(label, value)| format!("{label}=\"{value}\"")).collect();
    format!("{name}{{{}}}", labels.join(","))
}
