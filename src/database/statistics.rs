//! What SQLite's planner knows of the tables. PostgreSQL sees to that by itself.

/// Makes the statistics anew where that is due.
///
/// SQLite is to look at all tables, and to analyze those that it knows nothing of, and those that have grown or shrunk
/// tenfold since: of each index it reads 2,000 rows at most (`0x10`, <https://sqlite.org/pragma.html#pragma_optimize>). Without
/// that limit it would also keep samples of the rows in `sqlite_stat4`, and with them names, which an erasure does not find there.
///
/// Then the small tables are forgotten. Of one with two rows each plan is as good as another, and one that reads them all is
/// kept after a million have come; that goes for the tables of the search's index too, which SQLite merges on its own. Of a
/// table without statistics it is assumed that it is large.
///
/// `ANALYZE sqlite_schema` analyzes nothing: it makes the table of the statistics, if there is none yet, and reads it.
pub(super) const OPTIMIZE: &str = "PRAGMA optimize = 0x10012; ANALYZE sqlite_schema; \
     DELETE FROM sqlite_stat1 WHERE CAST(stat AS integer) < 10000; ANALYZE sqlite_schema";
