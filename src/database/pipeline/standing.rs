//! How many opportunities are in some stages and currencies, for the total of a list that is filtered by these.

use sea_orm::{ConnectionTrait, Statement, Value};
use uuid::Uuid;

use super::{Measure, Wanted, part, unfilled};
use crate::{error::Result, values::Tenant};

/// Which opportunities are counted.
#[derive(Debug, Clone)]
pub struct Standing {
    /// Only those of this customer.
    pub owner: Option<Uuid>,
    /// Only those in these stages.
    pub stages: Vec<i32>,
    /// Only those in these currencies, unless there are none.
    pub currencies: Vec<String>,
}

impl Standing {
    /// How many there are; none where the tenant has some that are not counted yet, because they were there before the totals.
    ///
    /// # Errors
    /// A fault of the database.
    pub async fn count(&self, db: &impl ConnectionTrait, tenant: &Tenant) -> Result<Option<u64>> {
        let backend = db.get_database_backend();
        let all = Wanted { measure: Measure::Standing, stages: 0..i32::MAX, days: 0..1, by_day: None };
        let mut values: Vec<Value> = vec![tenant.as_str().into(), self.owner.unwrap_or_default().into()];
        let stages: Vec<String> = self.stages.iter().map(ToString::to_string).collect();
        let mut among = format!("stage IN ({})", stages.join(", "));
        if !self.currencies.is_empty() {
            let first = values.len() + 1;
            let places: Vec<String> = (first..first + self.currencies.len()).map(|place| format!("${place}")).collect();
            among.push_str(&format!(" AND currency IN ({})", places.join(", ")));
            values.extend(self.currencies.iter().map(|currency| currency.as_str().into()));
        }
        if self.stages.is_empty() {
            "FALSE".clone_into(&mut among);
        }
        let sql = format!(
            "SELECT CASE WHEN EXISTS ({}) THEN NULL ELSE CAST(coalesce((SELECT sum(count) FROM ({}) AS totals WHERE {among}), 0) \
             AS bigint) END",
            unfilled(backend),
            part(backend, self.owner, None, &all)
        );
        let row = db.query_one_raw(Statement::from_sql_and_values(backend, sql, values)).await?;
        let count = row.map(|row| row.try_get_by_index::<Option<i64>>(0)).transpose()?.flatten();
        Ok(count.and_then(|count| u64::try_from(count).ok()))
    }
}
