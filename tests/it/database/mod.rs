//! SQLite and PostgreSQL: the schema, and the service while they fail.

mod backups;
mod copies;
mod counts;
mod disks;
mod fairness;
mod files;
mod horizon;
mod hot_rows;
mod lookups;
mod migrations;
mod new_files;
mod outages;
mod plans;
mod pooler;
mod postgres;
mod postgres_backups;
mod read_cache;
mod replicas;
mod roles;
mod rolling;
mod storage;
mod upgrades;
