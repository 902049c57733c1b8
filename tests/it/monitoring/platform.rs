//! The platform's authentication away.

use super::judge::assert_fires;
use crate::harness::{
    Service,
    metrics::Scrape,
    platform::{Behaviour, Platform, SigningKey, jwks},
};

#[tokio::test]
async fn a_platform_that_is_away_is_told_of_and_so_are_keys_that_grow_old() {
    let mut platform = Platform::start().await;
    platform.at("/jwks", Behaviour::Json(jwks(&[&SigningKey::new("ec", "one")])));
    let url = platform.url("/jwks");
    let service = Service::with(&[("CRM_JWT_SECRET", ""), ("CRM_JWKS_URL", &url)]).await;
    service.app.tokens().keep_fresh().await.unwrap();
    let before = Scrape::of(&service);
    assert_eq!(before.sum("crm_auth_keys", &[]), 1.0);
    platform.go_away().await;
    for _ in 0..10 {
        service.advance(120_000);
        let _away = service.app.tokens().keep_fresh().await;
    }
    let during = Scrape::of(&service);
    assert_eq!(during.sum("crm_auth_keys_age_seconds", &[]), 1200.0);
    assert_fires(&["CrmAuthAway", "CrmTokenKeysOld"], &[before, during]);
}
