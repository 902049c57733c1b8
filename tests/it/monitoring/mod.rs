//! What `delivery/monitoring` says to Prometheus and Grafana. [`judge`] shows the metrics of a service before a fault and during
//! it to the alert rules; [`http`], [`database`], [`events`], [`platform`] and [`upkeep`] make each fault happen. [`rules`] holds
//! rules, their tests and the run book together, [`dashboard`] has a Prometheus ask what the dashboard asks.

mod dashboard;
mod database;
mod events;
mod http;
mod judge;
mod platform;
mod rules;
mod upkeep;
