//! On PostgreSQL, what the service does to the audit trail besides adding to it, as functions of the schema's owner: so the
//! role that the service runs as needs no right to update or delete there. They check what they are asked for by the rows and
//! the clock of the database. On SQLite, which has no roles, there is nothing to do.
//!
//! - `audit_lock_head` makes a tenant's head where there is none, locks it and returns it;
//! - `audit_chain_entries` links queued entries behind the head;
//! - `audit_purge_entries` deletes the oldest entries of a chain, once all of them are old enough.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

use super::current_schema;

#[derive(DeriveMigrationName)]
pub struct Migration;

/// Name and argument types, as `GRANT` and `DROP` take them.
const FUNCTIONS: [&str; 3] = [
    "audit_lock_head(text)",
    "audit_chain_entries(text, bigint, uuid[], text[])",
    "audit_purge_entries(text, bigint, timestamp with time zone)",
];

/// The head is made by an insertion that a concurrent one makes wait.
const LOCK_HEAD: &str = "CREATE OR REPLACE FUNCTION audit_lock_head(tenant text) \
RETURNS TABLE (sequence bigint, hash text, purged_sequence bigint, purged_hash text) \
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, {schema}, pg_temp AS $$
BEGIN
  INSERT INTO audit_heads (tenant_id, sequence, hash, purged_sequence, purged_hash)
  VALUES (tenant, 0, '', 0, '') ON CONFLICT (tenant_id) DO NOTHING;
  RETURN QUERY SELECT h.sequence, h.hash::text, h.purged_sequence, h.purged_hash::text
  FROM audit_heads h WHERE h.tenant_id = tenant FOR UPDATE;
END $$";

/// Each entry must be queued and stored, and in no chain: the unique index over the chain's entries refuses the last.
const CHAIN_ENTRIES: &str =
    "CREATE OR REPLACE FUNCTION audit_chain_entries(tenant text, behind bigint, ids uuid[], hashes text[]) \
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, {schema}, pg_temp AS $$
DECLARE
  head bigint;
  count bigint := cardinality(ids);
  done bigint;
BEGIN
  SELECT h.sequence INTO head FROM audit_heads h WHERE h.tenant_id = tenant FOR UPDATE;
  IF head IS DISTINCT FROM behind OR count IS NULL OR count = 0 OR count <> cardinality(hashes) THEN
    RAISE EXCEPTION 'the audit chain goes on behind its head';
  END IF;
  IF EXISTS (SELECT 1 FROM unnest(hashes) AS h WHERE h IS NULL OR h !~ '^[0-9a-f]{64}$') THEN
    RAISE EXCEPTION 'a link of the audit chain is a SHA-256 in hexadecimal';
  END IF;
  INSERT INTO audit_chain (tenant_id, sequence, audit_log_id, hash)
  SELECT tenant, behind + link.number, link.id, link.hash
  FROM unnest(ids, hashes) WITH ORDINALITY AS link (id, hash, number)
  JOIN audit_logs l ON l.tenant_id = tenant AND l.audit_log_id = link.id;
  GET DIAGNOSTICS done = ROW_COUNT;
  IF done = count THEN
    DELETE FROM audit_queue q WHERE q.tenant_id = tenant AND q.audit_log_id = ANY (ids);
    GET DIAGNOSTICS done = ROW_COUNT;
  END IF;
  IF done <> count THEN
    RAISE EXCEPTION 'what is chained is a queued entry';
  END IF;
  UPDATE audit_heads h SET sequence = behind + count, hash = hashes[count] WHERE h.tenant_id = tenant;
END $$";

/// Old enough is what the database's clock and the horizon of the retention say: the shortest retention is 180 days, and a
/// day less is asked for, because clocks may differ. All entries up to the last one must be there and be old enough.
const PURGE_ENTRIES: &str =
    "CREATE OR REPLACE FUNCTION audit_purge_entries(tenant text, through bigint, before timestamptz) \
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, {schema}, pg_temp AS $$
DECLARE
  head record;
  last text;
  count bigint;
  due timestamptz;
BEGIN
  SELECT least(before, now() - interval '179 days', r.horizon - interval '179 days') INTO due
  FROM retention_horizon r WHERE r.id = 1;
  SELECT h.sequence, h.purged_sequence INTO head FROM audit_heads h WHERE h.tenant_id = tenant FOR UPDATE;
  SELECT c.hash INTO last FROM audit_chain c WHERE c.tenant_id = tenant AND c.sequence = through;
  SELECT count(*) INTO count FROM audit_chain c
  JOIN audit_logs l ON l.tenant_id = c.tenant_id AND l.audit_log_id = c.audit_log_id
  WHERE c.tenant_id = tenant AND c.sequence > head.purged_sequence AND c.sequence <= through AND l.occurred_at < due;
  IF last IS NULL OR through > head.sequence OR through <= head.purged_sequence
    OR count <> through - head.purged_sequence THEN
    RAISE EXCEPTION 'audit entries are deleted from the oldest on, once they are old enough';
  END IF;
  UPDATE audit_heads h SET purged_sequence = through, purged_hash = last WHERE h.tenant_id = tenant;
  DELETE FROM audit_logs l USING audit_chain c
  WHERE c.tenant_id = tenant AND c.sequence <= through AND l.tenant_id = tenant AND l.audit_log_id = c.audit_log_id;
  DELETE FROM audit_chain c WHERE c.tenant_id = tenant AND c.sequence <= through;
  RETURN count;
END $$";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        if db.get_database_backend() != DbBackend::Postgres {
            return Ok(());
        }
        let schema = current_schema(db).await?;
        for function in [LOCK_HEAD, CHAIN_ENTRIES, PURGE_ENTRIES] {
            db.execute_unprepared(&function.replace("{schema}", &schema)).await?;
        }
        for function in FUNCTIONS {
            db.execute_unprepared(&format!("REVOKE ALL ON FUNCTION {function} FROM PUBLIC")).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        if db.get_database_backend() == DbBackend::Postgres {
            for function in FUNCTIONS {
                db.execute_unprepared(&format!("DROP FUNCTION IF EXISTS {function}")).await?;
            }
        }
        Ok(())
    }
}
