//! The rows that tables are filled with: their columns as expressions of a number.

use uuid::Uuid;

use crate::harness::on_postgres;

/// What has much that belongs to it, of each kind: by the name of the id in the contract.
pub const HUBS: [(&str, u8); 4] = [("customerId", 1), ("contactId", 2), ("opportunityId", 3), ("followUpId", 4)];
const ENTRY: u8 = 5;
const EVENT: u8 = 6;

/// The id of such a resource.
pub fn hub(kind: u8) -> Uuid {
    Uuid::from_u128(PREFIX + (u128::from(kind) << 48) + 1)
}

/// Begins all ids: that of UUIDs of version 7.
const PREFIX: u128 = 0x0190_0000_0000_7000_8000_0000_0000_0000;

/// The id of the `n`th of a kind, as an expression.
fn id(kind: u8, n: &str) -> String {
    let start = format!("{:018x}{kind:02x}", PREFIX >> 56);
    if on_postgres() {
        format!("CAST('{start}' || lpad(to_hex({n}), 12, '0') AS uuid)")
    } else {
        format!("unhex('{start}' || printf('%012x', {n}))")
    }
}

/// An instant of the weeks before the tests' clock, to the second, in another order than the ids.
fn time(n: &str) -> String {
    let seconds = format!("1768000000 + (CAST({n} AS bigint) * 7919) % 1000003");
    if on_postgres() {
        format!("to_timestamp({seconds})")
    } else {
        format!("strftime('%Y-%m-%dT%H:%M:%S', {seconds}, 'unixepoch') || '+00:00'")
    }
}

/// A table, and its columns as expressions of the row's number `n`, and of the tenant's name `t`.
pub struct Fill {
    pub table: &'static str,
    pub columns: Vec<(&'static str, String)>,
}

fn fill(table: &'static str, columns: &[(&'static str, &str)]) -> Fill {
    Fill { table, columns: columns.iter().map(|(column, expression)| (*column, (*expression).to_owned())).collect() }
}

const HASH: &str = "'0000000000000000000000000000000000000000000000000000000000000000'";
const TRACE: &str = "'0af7651916cd43dd8448eb211c80319c'";

/// A resource that two fifths of all belong to, or one of many.
fn mostly(kind: u8) -> String {
    format!("CASE WHEN n % 5 < 2 THEN {} ELSE {} END", id(kind, "1"), id(kind, "1 + n % 9973"))
}

/// In an order in which all that they refer to comes first.
pub fn fills() -> Vec<Fill> {
    let (created, updated) = (time("n"), time("n * 31"));
    let times = [("created_at", created.as_str()), ("updated_at", updated.as_str())];
    let [customer, contact, opportunity, follow_up] = [1, 2, 3, 4].map(|kind| id(kind, "n"));
    let (entry, event) = (id(ENTRY, "n"), id(EVENT, "n"));
    let (of_customer, hub_customer) = (mostly(1), id(1, "1"));
    // What belongs to the first ones belongs to the first customer.
    let own = format!("CASE WHEN n % 5 < 2 OR n = 1 THEN {hub_customer} ELSE {} END", id(1, "1 + n % 9973"));
    let of_hub = |kind: u8| format!("CASE WHEN n % 5 < 2 THEN {} END", id(kind, "1"));
    let (of_opportunity, of_contact) = (of_hub(3), of_hub(2));
    let nobody = nobody();
    let [yes, no] = if on_postgres() { ["TRUE", "FALSE"] } else { ["1", "0"] };
    let primary = format!("CASE WHEN n > 10000 AND n <= 19900 THEN {yes} ELSE {no} END");
    let primary_of = format!("CASE WHEN n > 10000 AND n <= 19900 THEN {} ELSE {own} END", id(1, "n - 9998"));
    let with = |table, columns: &[(&'static str, &str)]| fill(table, &[&times[..], columns].concat());
    let kind = "CASE n % 4 WHEN 0 THEN 'customer' WHEN 1 THEN 'contact' WHEN 2 THEN 'opportunity' ELSE 'followUp' END";
    let action = "CASE n % 3 WHEN 0 THEN 'create' WHEN 1 THEN 'update' ELSE 'delete' END";
    let data =
        "'{\"tenantId\":\"' || t || '\",\"version\":1,\"changedFields\":[],\"resource\":{\"customerId\":\"x\"}}'";
    let event_type = "CASE n % 50 WHEN 0 THEN 'crm.opportunity.closed' ELSE 'crm.customer.updated' END";
    let position = "(SELECT p FROM positions) + n";
    let part = |from: u8, length: u8| format!("' ' || substr(CAST(100000 + n AS text), {from}, {length})");
    let digits: Vec<String> = (1..6).map(|from| part(from, 2)).chain((1..4).map(|from| part(from, 4))).collect();
    let digits = digits.join(" || ");
    vec![
        with(
            "customers",
            &[
                ("customer_id", &customer),
                ("name", "'Customer ' || n || ' 中国 Müller'"),
                ("name_sort", "'customer ' || n || ' 中国 muller'"),
                ("status", "CASE n % 10 WHEN 0 THEN 1 ELSE 0 END"),
                ("contact_phone_index", "'p' || n"),
                ("contact_phone_indexed", "'p' || n"),
                ("contact_email_index", "'e' || n"),
                ("contact_email_indexed", "'e' || n"),
                ("version", "1"),
            ],
        ),
        with(
            "contacts",
            &[
                ("contact_id", &contact),
                ("customer_id", &primary_of),
                ("name", "'Contact ' || n"),
                ("name_sort", "'contact ' || n"),
                ("is_primary", &primary),
                ("phone_index", "'p' || n"),
                ("phone_indexed", "'p' || n"),
                ("email_index", "'e' || n"),
                ("email_indexed", "'e' || n"),
                ("version", "1"),
            ],
        ),
        with(
            "opportunities",
            &[
                ("opportunity_id", &opportunity),
                ("customer_id", &own),
                ("title", "'Opportunity ' || n"),
                ("title_sort", "'opportunity ' || n"),
                ("amount_cents", "n * 100"),
                ("currency", "CASE n % 100 WHEN 0 THEN 'EUR' ELSE 'CNY' END"),
                ("stage", "n % 7"),
                ("status", "CASE n % 7 WHEN 5 THEN 1 WHEN 6 THEN 2 ELSE 0 END"),
                ("last_open_stage", "CASE WHEN n % 7 > 4 THEN 0 ELSE n % 7 END"),
                ("version", "1"),
                ("stage_entered_at", &created),
                ("idle_since", &format!("CASE WHEN n % 7 < 5 THEN {created} END")),
            ],
        ),
        fill(
            "opportunity_stages",
            &[
                ("opportunity_id", &format!("CASE WHEN n % 5 < 2 THEN {} ELSE {opportunity} END", id(3, "1"))),
                ("entered_at", &created),
                ("stage", "n % 7"),
                ("left_at", &format!("CASE WHEN n % 2 = 0 THEN {} END", time("n + 1"))),
                ("next_stage", "CASE WHEN n % 2 = 0 THEN (n + 1) % 7 END"),
                ("actor", "'x'"),
                ("needs_actor", no),
                ("is_estimated", no),
            ],
        ),
        // The opportunities of customers in their stages, and the moves of the tenant: ten kinds of them on each day.
        fill(
            "pipeline_totals",
            &[
                ("owner_id", &format!("CASE n % 2 WHEN 0 THEN {customer} ELSE {nobody} END")),
                ("measure", "CASE n % 2 WHEN 0 THEN 'standing' ELSE 'moved' END"),
                ("day", "CASE n % 2 WHEN 0 THEN 0 ELSE 20500 - n / 20 END"),
                ("currency", "'CNY'"),
                ("stage", "CASE n % 2 WHEN 0 THEN n % 7 ELSE (n / 2) % 5 END"),
                ("next_stage", "CASE n % 2 WHEN 0 THEN -1 ELSE (n / 2) % 5 + 1 + (n / 10) % 2 END"),
                ("count", "1"),
                ("amount_high", "0"),
                ("amount_low", "100"),
                ("from_seconds", "1768000000"),
                ("to_seconds", "1768000000"),
            ],
        ),
        with(
            "follow_ups",
            &[
                ("follow_up_id", &follow_up),
                ("customer_id", &of_customer),
                ("opportunity_id", &of_opportunity),
                ("contact_id", &of_contact),
                ("content", "'Called about ' || n"),
                ("follow_up_type", "CASE n % 100 WHEN 0 THEN 'visit' ELSE 'call' END"),
                ("version", "1"),
            ],
        ),
        fill(
            "idempotent",
            &[
                ("request_id", "'request ' || n"),
                ("resource_type", "'customer'"),
                ("resource_id", &customer),
                ("created_at", &created),
                ("action", "'create'"),
                ("committed_at", &created),
            ],
        ),
        fill(
            "audit_logs",
            &[
                ("audit_log_id", &entry),
                ("occurred_at", &created),
                ("actor", "'actor' || (n % 50)"),
                ("action", action),
                ("resource_type", kind),
                ("resource_id", &of_customer),
                ("request_id", "'request ' || n"),
                ("trace_id", TRACE),
                ("changes", "'[]'"),
                ("summary", "'{}'"),
            ],
        ),
        fill(
            "timeline",
            &[
                ("customer_id", &of_customer),
                ("occurred_at", &created),
                ("audit_log_id", &entry),
                ("types", "CASE n % 100 WHEN 0 THEN 1 ELSE 2 END"),
                ("resource_type", kind),
                ("resource_id", &contact),
                ("actor", "'actor' || (n % 50)"),
                ("changes", "'[]'"),
                ("summary", "'x'"),
            ],
        ),
        fill("audit_chain", &[("sequence", "n"), ("audit_log_id", &entry), ("hash", HASH)]),
        fill(
            "outbox",
            &[
                ("seq", position),
                ("position", position),
                ("event_id", &event),
                ("event_type", event_type),
                ("aggregate_id", &of_customer),
                ("version", "n + 1"),
                ("occurred_at", &created),
                ("trace_id", TRACE),
                ("data", data),
            ],
        ),
        fill(
            "feed_events",
            &[
                ("position", "n"),
                ("outbox_position", position),
                ("seq", position),
                ("event_id", &event),
                ("event_type", event_type),
                ("bytes", "100"),
            ],
        ),
        fill(
            "resource_changes",
            &[
                ("resource_id", &customer),
                ("resource_type", "'customer'"),
                ("version", "1"),
                ("position", "n"),
                ("deleted_at", &format!("CASE n % 10 WHEN 0 THEN {created} END")),
            ],
        ),
        fill(
            "search_documents",
            &[
                ("resource_id", &customer),
                ("tag", "(SELECT tag FROM search_documents WHERE tenant_id = t ORDER BY tag LIMIT 1)"),
                ("sample", "CASE WHEN n % 4096 = 0 THEN 2 WHEN n % 64 = 0 THEN 1 ELSE 0 END"),
                ("text", "'customer ' || n || ' 中国 muller'"),
                // Those of the words that all names have, and those of the number.
                ("grams", &format!("(SELECT max(grams) FROM search_documents WHERE tenant_id = t) || {digits}")),
            ],
        ),
        fill(
            "inbox_events",
            &[
                ("consumer", "'contract_signed'"),
                ("sender", "'erp'"),
                ("event_id", "'event ' || n"),
                ("event_type", "'erp.contract.signed'"),
                ("payload_hash", HASH),
                ("created_at", &created),
            ],
        ),
        fill(
            "inbox",
            &[
                ("consumer", "'contract_signed'"),
                ("event_id", "t || ' ' || n"),
                ("event_type", "'erp.contract.signed'"),
                ("created_at", &created),
            ],
        ),
        fill(
            "erasures",
            &[
                ("erasure_id", &id(7, "n")),
                ("customer_id", &of_customer),
                ("requested_at", &created),
                ("actor", "'x'"),
                ("request_id", "'x'"),
                ("trace_id", TRACE),
                ("with_follow_ups", no),
                ("completed_at", &created),
            ],
        ),
    ]
}

/// The owner of what is counted for a whole tenant.
fn nobody() -> &'static str {
    if on_postgres() { "CAST('00000000-0000-0000-0000-000000000000' AS uuid)" } else { "zeroblob(16)" }
}

/// What follows from the rows, or is about a tenant as a whole: of some thousands of tenants.
pub fn summaries() -> Vec<String> {
    let numbers = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 3000)";
    let nobody = nobody();
    let mut summaries: Vec<String> = ["customers", "contacts", "opportunities", "follow_ups"]
        .into_iter()
        .map(|table| {
            format!(
                "INSERT INTO list_counts (tenant_id, list, owner_id, count) \
                 SELECT tenant_id, '{table}', {nobody}, count(*) FROM {table} WHERE true GROUP BY tenant_id \
                 ON CONFLICT (tenant_id, list, owner_id) DO UPDATE SET count = excluded.count"
            )
        })
        .collect();
    for (table, list, owner) in [
        ("contacts", "contacts_of_customer", "customer_id"),
        ("opportunities", "opportunities_of_customer", "customer_id"),
        ("follow_ups", "follow_ups_of_customer", "customer_id"),
        ("follow_ups", "follow_ups_of_opportunity", "opportunity_id"),
    ] {
        summaries.push(format!(
            "INSERT INTO list_counts (tenant_id, list, owner_id, count) SELECT tenant_id, '{list}', {owner}, count(*) \
             FROM {table} WHERE {owner} IS NOT NULL GROUP BY tenant_id, {owner}"
        ));
    }
    for (table, columns, values) in [
        ("audit_heads", "sequence, hash, purged_sequence, purged_hash", format!("0, {HASH}, 0, {HASH}")),
        ("feed_tenants", "position, outbox_position", "1, 0".to_owned()),
        ("outbox_purged", "position", "0".to_owned()),
        ("timeline_starts", "since", time("n")),
        ("resource_changes_purged", "position", "0".to_owned()),
    ] {
        summaries
            .push(format!("INSERT INTO {table} (tenant_id, {columns}) {numbers} SELECT 'idle' || n, {values} FROM c"));
    }
    // Of resources that are gone: one step each.
    summaries.push(format!(
        "INSERT INTO deletions (tenant_id, resource_id, resource_type, deleted_at, actor, request_id, trace_id) {numbers} \
         SELECT 'idle' || n, {}, 'customer', {}, 'x', 'x', {TRACE} FROM c",
        id(1, "n"),
        time("n")
    ));
    summaries.push(format!(
        "INSERT INTO audit_heads (tenant_id, sequence, hash, purged_sequence, purged_hash) \
         SELECT tenant_id, max(sequence), {HASH}, 0, {HASH} FROM audit_chain WHERE true GROUP BY tenant_id \
         ON CONFLICT (tenant_id) DO UPDATE SET sequence = excluded.sequence"
    ));
    summaries.push(
        "INSERT INTO feed_tenants (tenant_id, position, outbox_position) \
         SELECT tenant_id, max(position), max(outbox_position) FROM feed_events WHERE true GROUP BY tenant_id \
         ON CONFLICT (tenant_id) DO UPDATE SET position = excluded.position"
            .to_owned(),
    );
    for head in ["outbox_head", "feed_head", "outbox_relay"] {
        summaries.push(format!("UPDATE {head} SET position = (SELECT max(position) FROM outbox)"));
    }
    // Events that the broker refused.
    summaries.push(
        "INSERT INTO outbox_held (seq, position, tenant_id, aggregate_id, attempts, due, aside, reason) \
         SELECT seq, position, tenant_id, aggregate_id, 8, NULL, FALSE, 'x' FROM outbox \
         WHERE tenant_id = 'middle' AND version <= 3001 AND position IS NOT NULL"
            .to_owned(),
    );
    if !on_postgres() {
        summaries.push("INSERT INTO search_index (search_index) VALUES ('rebuild')".to_owned());
    }
    if on_postgres() {
        summaries
            .push("SELECT setval(pg_get_serial_sequence('outbox', 'seq'), (SELECT max(seq) FROM outbox))".to_owned());
    }
    summaries
}
