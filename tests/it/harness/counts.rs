//! Whether the counters of lists and the totals of the pipeline say what counting says.

use crm::database::{
    Database,
    counts::{
        COUNTERS,
        check::{Difference, differences, next_tenant},
    },
    pipeline::check as pipeline,
};

/// The counters that say something else than counting does.
pub async fn wrong(database: &Database) -> Vec<Difference> {
    let (mut wrong, mut last) = (Vec::new(), None);
    while let Some(tenant) = next_tenant(database, last.as_ref()).await.unwrap() {
        for counter in COUNTERS {
            wrong.extend(differences(database, &tenant, counter, None).await.unwrap());
        }
        last = Some(tenant);
    }
    wrong
}

/// Fails unless each counter and each total says what counting says.
pub async fn assert_right(database: &Database) {
    let wrong = wrong(database).await;
    assert!(wrong.is_empty(), "{wrong:#?}");
    let mut last = None;
    while let Some(tenant) = pipeline::next_tenant(database, last.as_ref()).await.unwrap() {
        let wrong = pipeline::differences(database, &tenant).await.unwrap();
        assert!(wrong.is_empty(), "{wrong:#?}");
        last = Some(tenant);
    }
}
