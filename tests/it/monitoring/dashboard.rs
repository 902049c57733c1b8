//! The dashboard: a Prometheus that scrapes a running service answers each of its queries.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};

use super::judge::is_there;
use crate::harness::{Process, TestDatabase, free_port, within};

const DASHBOARD: &str = "delivery/monitoring/dashboard.json";

/// The panels, those in rows included.
fn panels() -> Vec<Value> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(DASHBOARD)).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    panels
        .flat_map(|panel| [vec![panel.clone()], panel["panels"].as_array().cloned().unwrap_or_default()].concat())
        .collect()
}

/// The queries, each with the title of its panel, as Grafana sends them over five minutes.
fn queries() -> Vec<(String, String)> {
    let of = |panel: &Value| {
        let title = panel["title"].as_str().unwrap().to_owned();
        let targets = panel["targets"].as_array().cloned().unwrap_or_default();
        targets.into_iter().map(move |target| (title.clone(), target["expr"].as_str().unwrap().to_owned()))
    };
    let filled = |(title, query): (String, String)| {
        let query = query.replace("$__rate_interval", "10s").replace("$instance", ".*").replace("$job", "crm");
        assert!(!query.contains('$'), "{title}: {query} has a variable that Grafana does not know");
        (title, query)
    };
    panels().iter().flat_map(of).map(filled).collect()
}

/// Ends with the test.
struct Prometheus(Child);

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// The delivered configuration, for one service and in haste.
fn configuration(target: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("delivery/monitoring/prometheus.yml");
    let text = fs::read_to_string(path).unwrap();
    let (folder, quick) = (concat!(env!("CARGO_MANIFEST_DIR"), "/delivery/monitoring/rules.yml"), "_interval: 1s");
    let text = text
        .replace("_interval: 15s", quick)
        .replace("127.0.0.1:9464", target)
        .replace("- rules.yml", &format!("- {folder}"));
    assert!(text.contains(target) && text.contains(folder) && text.contains(quick), "{text}");
    text
}

async fn ask(address: &str, query: &str) -> Value {
    let url = format!("http://{address}/api/v1/query");
    let reply = reqwest::Client::new().post(url).form(&[("query", query)]).send().await;
    match reply {
        Ok(reply) => serde_json::from_str(&reply.text().await.unwrap()).unwrap_or_default(),
        Err(_) => json!({ "error": "no answer" }),
    }
}

#[tokio::test]
async fn a_live_service_answers_every_query_of_the_dashboard() {
    if !is_there("prometheus") {
        return;
    }
    let database = TestDatabase::new().await;
    let variables = [("CRM_METRICS_ADDR", "127.0.0.1:0"), ("CRM_EVENTS_URL", "amqp://127.0.0.1:1")];
    let service = Process::with("serve", "serving", &database, &variables);
    let directory = tempfile::tempdir().unwrap();
    let (config, address) = (directory.path().join("prometheus.yml"), format!("127.0.0.1:{}", free_port()));
    fs::write(&config, configuration(&service.private)).unwrap();
    let prometheus = Command::new("prometheus")
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.tsdb.path={}", directory.path().join("data").display()))
        .arg(format!("--web.listen-address={address}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let _prometheus = Prometheus(prometheus.unwrap());
    let mut client = service.client().await;
    for number in 0..20 {
        client.send("POST", "/customers", &format!("r{number}"), json!({ "name": "x" })).await.unwrap();
    }
    let scraped = async || {
        ask(&address, "count_over_time(up{job=\"crm\"}[1m])").await["data"]["result"][0]["value"][1]
            .as_str()
            .is_some_and(|count| count.parse::<u32>().unwrap() >= 4)
    };
    within(60, "the service is scraped", scraped).await;
    for number in 20..60 {
        client.send("POST", "/customers", &format!("r{number}"), json!({ "name": "x" })).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let queries = queries();
    assert!(queries.len() > 30, "{} queries", queries.len());
    let mut unanswered = Vec::new();
    for (title, query) in queries {
        let reply = ask(&address, &query).await;
        if reply["data"]["result"].as_array().is_none_or(Vec::is_empty) {
            unanswered.push(format!("{title}: {query}: {reply}"));
        }
    }
    assert!(unanswered.is_empty(), "{}", unanswered.join("\n"));
    let firing = ask(&address, "ALERTS{alertstate=\"firing\"}").await;
    assert_eq!(firing["data"]["result"], json!([]), "a service that has just started raises no alert");
    assert_eq!(service.stop().await, Some(0));
}

#[test]
fn the_dashboard_says_of_each_panel_what_it_shows() {
    let panels = panels();
    for panel in &panels {
        let title = panel["title"].as_str().unwrap();
        assert!(!title.is_empty(), "{panel}");
        if panel["type"] != "row" {
            assert!(!panel["description"].as_str().unwrap_or_default().is_empty(), "{title} has no description");
            assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{title} has no unit");
        }
    }
    for row in ["Requests", "Saturation", "Events", "Upkeep", "Business"] {
        assert!(panels.iter().any(|panel| panel["type"] == "row" && panel["title"] == row), "{row} is missing");
    }
}
