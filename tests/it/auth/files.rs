//! Keys in files: several in one, read again when they change, and what is refused at start.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, sync::Arc};

use crm::{auth::TokenVerifier, config::Config, values::Clock};
use serde_json::json;

use super::keys::{claims, status};
use crate::harness::{
    Service,
    platform::{SigningKey, jwks},
};

fn pem(name: &str) -> String {
    fs::read_to_string(format!("{}/tests/it/auth/keys/{name}.pem", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// What is said at start about a file of keys.
fn refusal(variable: &str, file: &Path) -> String {
    let config = Config::read(&|name| (name == variable).then(|| file.to_str().unwrap().to_owned())).0.unwrap();
    TokenVerifier::from_config(&config, &Clock::System, &Arc::default()).err().unwrap().to_string()
}

#[tokio::test]
async fn several_keys_in_one_pem_file_are_all_accepted() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("keys.pem");
    fs::write(&file, ["rsa.pub", "ec.pub", "ed.pub"].map(pem).join("\n")).unwrap();
    let variables = [("CRM_JWT_SECRET", ""), ("CRM_JWT_PUBLIC_KEY_FILE", file.to_str().unwrap())];
    let service = Service::with(&variables).await;
    for key in ["rsa", "ec", "ed"] {
        assert_eq!(status(&service, &SigningKey::new(key, "any name").sign(&claims())).await, 200, "{key}");
    }
    for (text, why) in [
        (["rsa.pub", "ec"].map(pem).join("\n"), "number 2 in it is a private key"),
        (["rsa.pub", "ec384.pub"].map(pem).join("\n"), "number 2 in it is no key of type"),
        (["rsa.pub", "rsa1024.pub"].map(pem).join("\n"), "number 2 in it is an RSA key of less than 2048 bits"),
        (String::new(), "holds no public key"),
    ] {
        fs::write(&file, text).unwrap();
        let message = refusal("CRM_JWT_PUBLIC_KEY_FILE", &file);
        assert!(message.contains(why) && message.contains("keys.pem"), "{message}");
    }
}

#[tokio::test]
async fn a_key_set_in_a_file_is_read_again_when_it_changes() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("jwks.json");
    let (one, two) = (SigningKey::new("ec", "one"), SigningKey::new("ed", "two"));
    fs::write(&file, jwks(&[&one]).to_string()).unwrap();
    let service = Service::with(&[("CRM_JWT_SECRET", ""), ("CRM_JWKS_FILE", file.to_str().unwrap())]).await;
    let tokens = (one.sign(&claims()), two.sign(&claims()));
    assert_eq!((status(&service, &tokens.0).await, status(&service, &tokens.1).await), (200, 401));
    // As orchestrators do: another file takes its place.
    let next = directory.path().join("next");
    fs::write(&next, jwks(&[&one, &two]).to_string()).unwrap();
    fs::rename(&next, &file).unwrap();
    assert_eq!((status(&service, &tokens.0).await, status(&service, &tokens.1).await), (200, 200));
    // What is damaged just now, or gone, has not withdrawn the keys.
    fs::write(&file, "{").unwrap();
    assert!(service.app.tokens().keep_fresh().await.is_err());
    // It is not read again for each token, but said to be damaged until it is not.
    assert_eq!(status(&service, &SigningKey::new("ed", "three").sign(&claims())).await, 401);
    assert!(service.app.tokens().keep_fresh().await.is_err());
    service.advance(31_000);
    assert!(service.app.tokens().keep_fresh().await.is_err());
    fs::remove_file(&file).unwrap();
    assert!(service.app.tokens().keep_fresh().await.is_err());
    assert_eq!((status(&service, &tokens.0).await, status(&service, &tokens.1).await), (200, 200));
    fs::write(&file, jwks(&[&two]).to_string()).unwrap();
    service.app.tokens().keep_fresh().await.unwrap();
    assert_eq!((status(&service, &tokens.0).await, status(&service, &tokens.1).await), (401, 200));
}

#[test]
fn a_file_without_a_usable_key_or_that_others_may_write_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("keys");
    let shared = json!({ "keys": [{ "kty": "oct", "k": "AAAA" }] });
    for (text, why) in [
        ("{\"keys\":[]}".to_owned(), "holds no usable key: holds no key"),
        (shared.to_string(), "holds no usable key: number 1 is a shared secret"),
        ("keys".to_owned(), "is no JSON Web Key Set"),
    ] {
        fs::write(&file, text).unwrap();
        let message = refusal("CRM_JWKS_FILE", &file);
        assert!(message.contains(why), "{message}");
    }
    fs::write(&file, jwks(&[&SigningKey::new("ec", "one")]).to_string()).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
    let message = refusal("CRM_JWKS_FILE", &file);
    assert!(message.contains("has the mode 0666: keys that others may write are refused"), "{message}");
}
