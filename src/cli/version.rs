//! `crm --version`: what this program was built from.

use super::context::{ExitOutcome, print};
use crate::{
    database,
    service::contract,
    values::build::{COMMIT, CONTRACT_SHA256, VERSION},
};

pub(super) async fn run() -> ExitOutcome {
    let sqlite = database::sqlite_version().await?;
    let commit = COMMIT.unwrap_or("not named by whoever built it (CRM_BUILD_COMMIT)");
    print(&format!("crm {VERSION}"))?;
    print(&format!("commit    {commit}"))?;
    print(&format!("contract  {}, SHA-256 {CONTRACT_SHA256}", contract::VERSION))?;
    Ok(print(&format!("SQLite    {sqlite}"))?)
}
