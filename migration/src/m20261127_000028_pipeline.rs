//! `opportunity_stages`: for each opportunity the stages that it was in, from when to when, and who moved it there ·
//! `pipeline_totals`: how many opportunities of a tenant and of a customer are in each stage, with their amounts, and how many
//! were moved on a day from one stage to another, so that no summary has to read the opportunities · in `opportunities` since
//! when one is in its stage, and since when nothing has happened to an open one: neither a move nor a follow-up.
//!
//! Triggers keep all of it, in the transaction of whatever changes the rows, the release before included; who made a move is
//! written by whoever knows it, and `needs_actor` says where that is still to be looked up. What is marked as deleted is not
//! counted; what a deleted customer hides is subtracted by whoever reads.
//!
//! An opportunity that was there before has no `stage_entered_at`: it is neither counted nor has it a history, until both are
//! filled in the background from the audit trail.
//!
//! Amounts are summed up in two halves, above and below the 32nd bit: so are sums exact that 64 bits do not hold. Instants are
//! summed up in whole seconds since 1970.
//!
//! On PostgreSQL, writers only add to `pipeline_total_deltas`, as to `list_count_deltas`.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

use super::current_schema;

#[derive(DeriveMigrationName)]
pub struct Migration;

/// The columns of a total: those that tell which one it is, and those that are summed up.
const KEY: &str = "tenant_id, owner_id, measure, day, currency, stage, next_stage";
const SUMS: [&str; 5] = ["count", "amount_high", "amount_low", "from_seconds", "to_seconds"];

/// The columns of an opportunity by which it is counted, besides its stage.
const COUNTED_BY: [&str; 4] = ["customer_id", "currency", "amount_cents", "deleted_at"];

/// What differs between the databases.
struct Dialect {
    uuid: &'static str,
    timestamp: &'static str,
    /// What stands behind the definition of a table that is found by its key alone.
    clustered: &'static str,
    /// The owner of the totals of a whole tenant.
    nobody: &'static str,
    /// The larger of two values.
    greatest: &'static str,
    /// The table that triggers add to.
    target: &'static str,
}

const SQLITE: Dialect = Dialect {
    uuid: "uuid_text",
    timestamp: "timestamp_with_timezone_text",
    clustered: " WITHOUT ROWID",
    nobody: "x'00000000000000000000000000000000'",
    greatest: "max",
    target: "pipeline_totals",
};

const POSTGRES: Dialect = Dialect {
    uuid: "uuid",
    timestamp: "timestamp with time zone",
    clustered: "",
    nobody: "'00000000-0000-0000-0000-000000000000'::uuid",
    greatest: "GREATEST",
    target: "pipeline_total_deltas",
};

/// Whether a row is counted.
fn is_counted(row: &str) -> String {
    format!("{row}.stage_entered_at IS NOT NULL AND {row}.deleted_at IS NULL")
}

/// Whether the moves of an opportunity are counted elsewhere than before, or no more, or now. SQLite and PostgreSQL.
const IS_REKEYED: &str = "(OLD.customer_id, OLD.currency, OLD.deleted_at IS NULL) \
                          IS DISTINCT FROM (NEW.customer_id, NEW.currency, NEW.deleted_at IS NULL)";

impl Dialect {
    fn is_sqlite(&self) -> bool {
        self.target == SQLITE.target
    }

    /// An instant in whole seconds since 1970.
    fn seconds(&self, instant: &str) -> String {
        match self.is_sqlite() {
            true => format!("CAST(strftime('%s', {instant}) AS integer)"),
            false => format!("CAST(floor(extract(epoch FROM {instant})) AS bigint)"),
        }
    }

    /// The day of an instant (UTC), counted from 1970.
    fn day(&self, instant: &str) -> String {
        format!("({}) / 86400", self.seconds(instant))
    }

    fn tables(&self) -> Vec<String> {
        let Self { uuid, timestamp, clustered, .. } = self;
        let columns = format!(
            "tenant_id varchar(64) NOT NULL, owner_id {uuid} NOT NULL, measure varchar(8) NOT NULL, \
             day integer NOT NULL, currency varchar(3) NOT NULL, stage integer NOT NULL, next_stage integer NOT NULL, "
        );
        let sums: String = SUMS.iter().map(|sum| format!("{sum} bigint NOT NULL, ")).collect();
        let mut tables = vec![
            format!(
                "CREATE TABLE IF NOT EXISTS opportunity_stages (tenant_id varchar(64) NOT NULL, \
                 opportunity_id {uuid} NOT NULL, entered_at {timestamp} NOT NULL, stage integer NOT NULL, \
                 left_at {timestamp}, next_stage integer, actor text, needs_actor boolean NOT NULL, \
                 is_estimated boolean NOT NULL, PRIMARY KEY (tenant_id, opportunity_id, entered_at), \
                 CHECK ((left_at IS NULL) = (next_stage IS NULL))){clustered}"
            ),
            format!("CREATE TABLE IF NOT EXISTS pipeline_totals ({columns}{sums}PRIMARY KEY ({KEY})){clustered}"),
        ];
        if !self.is_sqlite() {
            // Rows come and go: without this, vacuum would wait for a share of a table that is nearly empty.
            tables.push(format!(
                "CREATE TABLE IF NOT EXISTS pipeline_total_deltas ({columns}\
                 id bigint GENERATED ALWAYS AS IDENTITY, {sums}PRIMARY KEY ({KEY}, id)) \
                 WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000)"
            ));
        }
        tables
    }

    /// Adds what `select` finds to the totals.
    fn add(&self, select: &str) -> String {
        let sums = SUMS.join(", ");
        let merge = match self.is_sqlite() {
            true => {
                let sum = SUMS.map(|sum| format!("{sum} = pipeline_totals.{sum} + excluded.{sum}"));
                format!(" ON CONFLICT ({KEY}) DO UPDATE SET {}", sum.join(", "))
            }
            false => String::new(),
        };
        format!("INSERT INTO {} ({KEY}, {sums}) {select}{merge}; ", self.target)
    }

    /// For whom a row is counted.
    fn owners(&self, row: &str) -> [String; 2] {
        [self.nobody.to_owned(), format!("{row}.customer_id")]
    }

    /// Adds the row, with `sign` `-` subtracts it: among all that are in its stage, and among those that came there on that day.
    fn standing(&self, row: &str, entered_at: &str, sign: &str, only: &str) -> String {
        let (created, entered) = (self.seconds(&format!("{row}.created_at")), self.seconds(entered_at));
        let mut added = String::new();
        for owner in self.owners(row) {
            for (measure, day) in [("standing", "0".to_owned()), ("entered", self.day(entered_at))] {
                added += &self.add(&format!(
                    "SELECT {row}.tenant_id, {owner}, '{measure}', {day}, {row}.currency, {row}.stage, -1, {sign}1, \
                     {sign}({row}.amount_cents >> 32), {sign}({row}.amount_cents & 4294967295), {sign}({created}), \
                     {sign}({entered}) WHERE {only}"
                ));
            }
        }
        added
    }

    /// Adds the moves of an opportunity, or subtracts them.
    fn moves(&self, row: &str, sign: &str, only: &str) -> String {
        let day = self.day("s.left_at");
        let (entered, left) = (self.seconds("s.entered_at"), self.seconds("s.left_at"));
        let of_owner = |owner: String| {
            self.add(&format!(
                "SELECT {row}.tenant_id, {owner}, 'moved', {day}, {row}.currency, s.stage, s.next_stage, {sign}1, 0, 0, \
                 {sign}({entered}), {sign}({left}) FROM opportunity_stages AS s WHERE s.tenant_id = {row}.tenant_id \
                 AND s.opportunity_id = {row}.opportunity_id AND s.left_at IS NOT NULL AND NOT s.is_estimated AND {only}"
            ))
        };
        self.owners(row).into_iter().map(of_owner).collect()
    }

    /// Ends the stay in a stage and begins the next one.
    fn begin_stage(&self, entered_at: &str, only: &str) -> String {
        format!(
            "UPDATE opportunity_stages SET left_at = {entered_at}, next_stage = NEW.stage \
             WHERE tenant_id = NEW.tenant_id AND opportunity_id = NEW.opportunity_id AND left_at IS NULL AND {only}; \
             INSERT INTO opportunity_stages (tenant_id, opportunity_id, entered_at, stage, needs_actor, is_estimated) \
             SELECT NEW.tenant_id, NEW.opportunity_id, {entered_at}, NEW.stage, true, false WHERE {only}; "
        )
    }

    /// What becomes of an opportunity that was counted: `entered_at` is when it came into the stage that it has now.
    fn change(&self, entered_at: &str) -> Vec<String> {
        let (was, is) = (is_counted("OLD"), is_counted("NEW"));
        let moved = "OLD.stage IS DISTINCT FROM NEW.stage";
        vec![
            self.moves("OLD", "-", &format!("{was} AND {IS_REKEYED}")),
            self.standing("OLD", "OLD.stage_entered_at", "-", &was),
            self.begin_stage(entered_at, &format!("{moved} AND NEW.stage_entered_at IS NOT NULL")),
            self.standing("NEW", entered_at, "", &is),
            self.moves("NEW", "", &format!("{is} AND ({IS_REKEYED} OR ({moved} AND s.left_at = {entered_at}))")),
        ]
    }

    /// The condition on which a change of the row changes what is counted.
    fn has_changed(&self) -> String {
        let differs = |column: &&str| format!("OLD.{column} IS DISTINCT FROM NEW.{column}");
        COUNTED_BY.iter().chain(&["stage"]).map(differs).collect::<Vec<_>>().join(" OR ")
    }

    fn columns(&self) -> String {
        COUNTED_BY.iter().chain(&["stage"]).copied().collect::<Vec<_>>().join(", ")
    }

    /// The time of the newest follow-up of the opportunity that a follow-up was about.
    fn newest_follow_up(&self) -> &'static str {
        "(SELECT max(created_at) FROM follow_ups WHERE tenant_id = OLD.tenant_id AND opportunity_id = OLD.opportunity_id)"
    }

    /// A follow-up that an open opportunity gets.
    fn followed_up(&self) -> String {
        "UPDATE opportunities SET idle_since = NEW.created_at WHERE tenant_id = NEW.tenant_id \
         AND opportunity_id = NEW.opportunity_id AND idle_since < NEW.created_at; "
            .to_owned()
    }

    /// A follow-up that an open opportunity loses.
    fn not_followed_up(&self) -> String {
        let Self { greatest, .. } = self;
        format!(
            "UPDATE opportunities SET idle_since = {greatest}(stage_entered_at, coalesce({}, stage_entered_at)) \
             WHERE tenant_id = OLD.tenant_id AND opportunity_id = OLD.opportunity_id AND idle_since = OLD.created_at; ",
            self.newest_follow_up()
        )
    }
}

/// SQLite's triggers on the opportunities. The column `stage_entered_at` is theirs: none but the one that counts what is filled
/// in is fired by it.
fn on_sqlite() -> Vec<String> {
    let dialect = SQLITE;
    let own = "tenant_id = NEW.tenant_id AND opportunity_id = NEW.opportunity_id";
    let entered = "(CASE WHEN OLD.stage IS NOT NEW.stage THEN NEW.updated_at ELSE NEW.stage_entered_at END)";
    let change = dialect.change(entered).concat();
    let idle = "CASE WHEN NEW.status <> 0 OR NEW.deleted_at IS NOT NULL THEN NULL \
                WHEN OLD.stage IS NOT NEW.stage THEN NEW.updated_at ELSE NEW.idle_since END";
    let was = is_counted("OLD");
    let same: Vec<String> = KEY.split(", ").map(|column| format!("{column} = NEW.{column}")).collect();
    let trigger = |name: &str, event: &str, body: &str| {
        format!("CREATE TRIGGER IF NOT EXISTS pipeline_{name} AFTER {event} BEGIN {body}END")
    };
    vec![
        trigger(
            "filled",
            &format!(
                "UPDATE OF stage_entered_at ON opportunities WHEN OLD.stage_entered_at IS NULL AND {}",
                is_counted("NEW")
            ),
            &[dialect.standing("NEW", "NEW.stage_entered_at", "", "true"), dialect.moves("NEW", "", "true")].concat(),
        ),
        trigger(
            "insert",
            "INSERT ON opportunities",
            &format!(
                "{}UPDATE opportunities SET stage_entered_at = NEW.created_at, \
                 idle_since = CASE WHEN NEW.status = 0 THEN NEW.created_at END WHERE {own}; ",
                dialect.begin_stage("NEW.created_at", "true")
            ),
        ),
        trigger(
            "update",
            &format!(
                "UPDATE OF {} ON opportunities WHEN OLD.stage_entered_at IS NOT NULL AND ({})",
                dialect.columns(),
                dialect.has_changed()
            ),
            &format!(
                "{change}UPDATE opportunities SET stage_entered_at = {entered}, idle_since = {idle} WHERE {own} \
                 AND (OLD.stage IS NOT NEW.stage OR NEW.deleted_at IS NOT NULL); "
            ),
        ),
        trigger(
            "delete",
            "DELETE ON opportunities",
            &format!(
                "{}{}DELETE FROM opportunity_stages WHERE tenant_id = OLD.tenant_id \
                 AND opportunity_id = OLD.opportunity_id; ",
                dialect.moves("OLD", "-", &was),
                dialect.standing("OLD", "OLD.stage_entered_at", "-", &was),
            ),
        ),
        // A total in which nothing is left is removed.
        trigger(
            "empty",
            "UPDATE OF count ON pipeline_totals WHEN NEW.count = 0",
            &format!("DELETE FROM pipeline_totals WHERE {}; ", same.join(" AND ")),
        ),
    ]
}

/// SQLite's triggers on the follow-ups.
fn of_follow_ups_on_sqlite() -> [String; 3] {
    let trigger = |name: &str, event: &str, body: &str| {
        format!("CREATE TRIGGER IF NOT EXISTS pipeline_{name} AFTER {event} BEGIN {body}END")
    };
    [
        trigger("followed_up", "INSERT ON follow_ups WHEN NEW.opportunity_id IS NOT NULL", &SQLITE.followed_up()),
        trigger(
            "moved_follow_up",
            "UPDATE OF opportunity_id ON follow_ups WHEN OLD.opportunity_id IS NOT NEW.opportunity_id",
            &[SQLITE.not_followed_up(), SQLITE.followed_up()].concat(),
        ),
        trigger("no_follow_up", "DELETE ON follow_ups WHEN OLD.opportunity_id IS NOT NULL", &SQLITE.not_followed_up()),
    ]
}

/// What PostgreSQL's triggers run: the name, what is done, and how it ends.
fn bodies_on_postgres() -> [(&'static str, String, &'static str); 8] {
    let dialect = POSTGRES;
    let was = is_counted("OLD");
    let begun = dialect.begin_stage("NEW.stage_entered_at", "true");
    let standing = dialect.standing("NEW", "NEW.stage_entered_at", "", "true");
    let insert = [begun, standing.clone()].concat();
    let fill = [standing, dialect.moves("NEW", "", "true")].concat();
    let delete = format!(
        "{}{}DELETE FROM opportunity_stages WHERE tenant_id = OLD.tenant_id AND opportunity_id = OLD.opportunity_id; ",
        dialect.moves("OLD", "-", &was),
        dialect.standing("OLD", "OLD.stage_entered_at", "-", &was),
    );
    let stamp = "IF TG_OP = 'INSERT' THEN NEW.stage_entered_at := NEW.created_at; NEW.idle_since := NEW.created_at; \
                 ELSIF OLD.stage_entered_at IS NOT NULL AND OLD.stage IS DISTINCT FROM NEW.stage THEN \
                 NEW.stage_entered_at := NEW.updated_at; NEW.idle_since := NEW.updated_at; END IF; \
                 IF NEW.status <> 0 OR NEW.deleted_at IS NOT NULL THEN NEW.idle_since := NULL; END IF; ";
    // The newest of several that come and go at once is found by whoever comes last.
    let lock = |ids: &str| {
        format!(
            "PERFORM 1 FROM opportunities WHERE tenant_id = OLD.tenant_id AND opportunity_id IN ({ids}) \
             AND idle_since IS NOT NULL ORDER BY opportunity_id FOR NO KEY UPDATE; "
        )
    };
    let moved_follow_up =
        [lock("OLD.opportunity_id, NEW.opportunity_id"), dialect.not_followed_up(), dialect.followed_up()];
    let no_follow_up = [lock("OLD.opportunity_id"), dialect.not_followed_up()];
    [
        ("insert", insert, "RETURN NULL"),
        ("update", dialect.change("NEW.stage_entered_at").concat(), "RETURN NULL"),
        ("fill", fill, "RETURN NULL"),
        ("delete", delete, "RETURN NULL"),
        ("stamp", stamp.to_owned(), "RETURN NEW"),
        ("followed_up", dialect.followed_up(), "RETURN NULL"),
        ("moved_follow_up", moved_follow_up.concat(), "RETURN NULL"),
        ("no_follow_up", no_follow_up.concat(), "RETURN NULL"),
    ]
}

/// When PostgreSQL's triggers run: the name, the event, and the table.
fn events_on_postgres() -> [(&'static str, String, &'static str); 8] {
    const OPPORTUNITIES: &str = "opportunities";
    const FOLLOW_UPS: &str = "follow_ups";
    let (columns, changed) = (POSTGRES.columns(), POSTGRES.has_changed());
    let after = |event: &str, table: &str, only: &str| format!("AFTER {event} ON {table} FOR EACH ROW WHEN ({only})");
    let update = format!("OLD.stage_entered_at IS NOT NULL AND ({changed})");
    let fill = format!("OLD.stage_entered_at IS NULL AND {}", is_counted("NEW"));
    let moved = "OLD.opportunity_id IS DISTINCT FROM NEW.opportunity_id";
    let stamp = "BEFORE INSERT OR UPDATE OF stage, deleted_at ON opportunities FOR EACH ROW";
    [
        ("insert", after("INSERT", OPPORTUNITIES, "NEW.stage_entered_at IS NOT NULL"), OPPORTUNITIES),
        ("update", after(&format!("UPDATE OF {columns}"), OPPORTUNITIES, &update), OPPORTUNITIES),
        ("fill", after("UPDATE OF stage_entered_at", OPPORTUNITIES, &fill), OPPORTUNITIES),
        ("delete", after("DELETE", OPPORTUNITIES, "true"), OPPORTUNITIES),
        ("stamp", stamp.to_owned(), OPPORTUNITIES),
        ("followed_up", after("INSERT", FOLLOW_UPS, "NEW.opportunity_id IS NOT NULL"), FOLLOW_UPS),
        ("moved_follow_up", after("UPDATE OF opportunity_id", FOLLOW_UPS, moved), FOLLOW_UPS),
        ("no_follow_up", after("DELETE", FOLLOW_UPS, "OLD.opportunity_id IS NOT NULL"), FOLLOW_UPS),
    ]
}

/// The functions have the rights of their owner, so that a role that has none on the new tables goes on writing. First those
/// that count: until there is one that fills `stage_entered_at`, nothing is counted.
fn on_postgres(schema: &str) -> Vec<String> {
    let function = |(name, body, end): (&str, String, &str)| {
        format!(
            "CREATE OR REPLACE FUNCTION pipeline_{name}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER \
             SET search_path = pg_catalog, {schema}, pg_temp AS $$ BEGIN {body}{end}; END $$"
        )
    };
    let trigger = |(name, event, table): (&str, String, &str)| {
        [
            format!("DROP TRIGGER IF EXISTS pipeline_{name} ON {table}"),
            format!("CREATE TRIGGER pipeline_{name} {event} EXECUTE FUNCTION pipeline_{name}()"),
        ]
    };
    let functions = bodies_on_postgres().into_iter().map(function);
    functions.chain(events_on_postgres().into_iter().flat_map(trigger)).collect()
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    /// Each statement by itself: none holds a lock while it waits for that of another table, which a request of a process that
    /// still runs may hold. One that was cut off goes on where it was.
    fn use_transaction(&self) -> Option<bool> {
        Some(false)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        let is_postgres = db.get_database_backend() == DbBackend::Postgres;
        for column in ["stage_entered_at", "idle_since"] {
            if !manager.has_column("opportunities", column).await? {
                let column = ColumnDef::new(column).timestamp_with_time_zone().to_owned();
                manager.alter_table(Table::alter().table("opportunities").add_column(column).to_owned()).await?;
            }
        }
        let (dialect, triggers) = match is_postgres {
            true => (POSTGRES, on_postgres(&current_schema(db).await?)),
            false => (SQLITE, on_sqlite().into_iter().chain(of_follow_ups_on_sqlite()).collect()),
        };
        for statement in dialect.tables().into_iter().chain(triggers) {
            db.execute_unprepared(&statement).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        let is_postgres = db.get_database_backend() == DbBackend::Postgres;
        let names: &[&str] = match is_postgres {
            true => &["insert", "update", "fill", "delete", "stamp", "followed_up", "moved_follow_up", "no_follow_up"],
            false => {
                &["filled", "insert", "update", "delete", "empty", "followed_up", "moved_follow_up", "no_follow_up"]
            }
        };
        for name in names {
            // On PostgreSQL a function goes with its trigger.
            let statement = match is_postgres {
                true => format!("DROP FUNCTION pipeline_{name}() CASCADE"),
                false => format!("DROP TRIGGER pipeline_{name}"),
            };
            db.execute_unprepared(&statement).await?;
        }
        if is_postgres {
            manager.drop_table(Table::drop().table("pipeline_total_deltas").to_owned()).await?;
        }
        for table in ["pipeline_totals", "opportunity_stages"] {
            manager.drop_table(Table::drop().table(table).to_owned()).await?;
        }
        for column in ["idle_since", "stage_entered_at"] {
            manager.alter_table(Table::alter().table("opportunities").drop_column(column).to_owned()).await?;
        }
        Ok(())
    }
}
