//! Which statements may do what no other may, and why.

use super::explain::Fault;
use crate::harness::on_postgres;

/// A statement that may have a fault.
pub struct Exception {
    /// On which database; on both, if this is empty.
    on: &'static str,
    /// What its text contains.
    sql: &'static str,
    faults: &'static [Fault],
    why: &'static str,
}

impl Exception {
    pub fn forgives(&self, sql: &str, fault: Fault) -> bool {
        self.is_for_this_database() && sql.contains(self.sql) && self.faults.contains(&fault)
    }

    pub fn is_for_this_database(&self) -> bool {
        self.on.is_empty() || (self.on == "postgres") == on_postgres()
    }

    pub fn describe(&self) -> String {
        format!("{} ({})", self.sql, self.why)
    }
}

/// Operations that answer what is in no table: the catalogue of stages.
pub const WITHOUT_STATEMENT: &[&str] = &["listPipelineStages"];

pub const EXCEPTIONS: &[Exception] = &[
    Exception {
        on: "",
        sql: "FROM outbox_head h, outbox_relay r",
        faults: &[Fault::Scan],
        why: "counts what the broker has refused: few, or an operator is called",
    },
    Exception {
        on: "postgres",
        sql: "FROM (SELECT tenant_id, audit_log_id FROM audit_queue ORDER BY audit_log_id LIMIT 1) AS q",
        faults: &[Fault::Scan],
        why: "what waits to be chained, which is little, for the metrics, once in five seconds or in twenty times what it takes",
    },
    Exception {
        on: "",
        sql: "SELECT h.tenant_id FROM audit_heads h JOIN audit_chain c",
        faults: &[Fault::Scan],
        why: "the oldest entry of each tenant, once in ten minutes",
    },
    Exception {
        on: "",
        sql: "SELECT count(*) FROM customers WHERE tenant_id = $1 AND status = $2",
        faults: &[Fault::Grows, Fault::Visits],
        why: "the customers by status, for the metrics, once in a minute or in twenty times what it takes",
    },
    Exception {
        on: "sqlite",
        sql: "UPDATE \"opportunities\" SET \"version\" = ?, \"deleted_at\" = ?",
        faults: &[Fault::Grows],
        why: "its moves are taken out of the totals of the pipeline: as many as it had, here thousands",
    },
    Exception {
        on: "postgres",
        sql: "INSERT INTO feed_events",
        faults: &[Fault::Scan],
        why: "before there are statistics, the tenants of a batch are joined in the order of an index, beside all others",
    },
    Exception {
        on: "postgres",
        sql: "DELETE FROM outbox WHERE seq IN",
        faults: &[Fault::Visits],
        why: "the first event that is kept is looked for behind those that are due",
    },
    Exception {
        on: "sqlite",
        sql: "AS is_last FROM outbox WHERE seq > $1 AND seq <= $2",
        faults: &[Fault::Grows],
        why: "before there are statistics, the events of a step are found among the tenant's",
    },
    Exception {
        on: "sqlite",
        sql: "FROM outbox WHERE tenant_id = $1 AND seq IN (SELECT value FROM json_each($2))",
        faults: &[Fault::Grows],
        why: "before there are statistics, the events of a step are found among the tenant's",
    },
];
