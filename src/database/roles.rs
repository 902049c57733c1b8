//! The rights of the role that the service runs as on PostgreSQL: it reads and writes the data, and of the audit trail it may
//! only read and add entries. It owns nothing, and so cannot disable what the schema refuses.

/// What a role may do to a table, apart from reading it.
const TRAIL: [(&str, &str); 5] = [
    ("audit_logs", "INSERT"),
    ("audit_queue", "INSERT"),
    ("audit_chain", ""),
    ("audit_heads", ""),
    ("seaql_migrations", ""),
];

/// The functions of the owner that it may run: they check what they are asked for.
const FUNCTIONS: [&str; 3] = [
    "audit_lock_head(text)",
    "audit_chain_entries(text, bigint, uuid[], text[])",
    "audit_purge_entries(text, bigint, timestamp with time zone)",
];

/// The statements that give `role` its rights on the tables in `schema`, for the owner of the schema to run: any number of
/// times, on an up-to-date database. Tables of later migrations are covered by default rights.
#[must_use]
pub fn grants(role: &str, schema: &str) -> String {
    let (name, space) = (identifier(role), identifier(schema));
    let mut sql = format!(
        "BEGIN;\n\
         DO $$ BEGIN\n  \
           CREATE ROLE {name} LOGIN;\n\
         EXCEPTION WHEN duplicate_object OR unique_violation OR insufficient_privilege THEN\n  \
           NULL; -- it exists, or somebody else makes it: then GRANT says so\n\
         END $$;\n\
         GRANT USAGE ON SCHEMA {space} TO {name};\n\
         REVOKE CREATE ON SCHEMA {space} FROM PUBLIC, {name};\n\
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {space} TO {name};\n\
         GRANT USAGE ON ALL SEQUENCES IN SCHEMA {space} TO {name};\n\
         ALTER DEFAULT PRIVILEGES IN SCHEMA {space} GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {name};\n\
         ALTER DEFAULT PRIVILEGES IN SCHEMA {space} GRANT USAGE ON SEQUENCES TO {name};\n\
         -- the audit trail, and the list of migrations\n"
    );
    for (table, rights) in TRAIL {
        sql.push_str(&format!("REVOKE ALL ON {space}.{table} FROM {name};\n"));
        let rights = if rights.is_empty() { "SELECT".to_owned() } else { format!("SELECT, {rights}") };
        sql.push_str(&format!("GRANT {rights} ON {space}.{table} TO {name};\n"));
    }
    for function in FUNCTIONS {
        sql.push_str(&format!("GRANT EXECUTE ON FUNCTION {space}.{function} TO {name};\n"));
    }
    sql.push_str("COMMIT;\n");
    sql
}

/// A name as SQL takes it, whatever is in it.
fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
