//! How the platform is asked about tokens: what fits together, and what is refused.

use std::{collections::HashMap, time::Duration};

use crm::config::{Config, Mistakes, ScopePolicy, Tenancy, TokenKeys};

fn read(variables: &[(&str, &str)]) -> Result<Config, Mistakes> {
    let variables: HashMap<_, _> = variables.iter().copied().collect();
    Config::read(&|name| variables.get(name).map(|value| (*value).to_owned())).0
}

fn mistake(variables: &[(&str, &str)]) -> String {
    read(variables).unwrap_err().to_string()
}

const URL: &str = "https://login.example.com/x";

#[test]
fn one_source_of_keys_is_taken_and_introspection_stands_alone_or_beside_it() {
    let keys = |variables: &[(&str, &str)]| read(variables).unwrap().auth.keys;
    assert_eq!(keys(&[("CRM_JWKS_URL", URL)]), TokenKeys::JwksUrl(URL.to_owned()));
    assert_eq!(keys(&[("CRM_JWKS_FILE", "jwks.json")]), TokenKeys::JwksFile("jwks.json".into()));
    assert_eq!(keys(&[("PLATFORM_AUTH_URL", URL)]), TokenKeys::None);
    assert_eq!(keys(&[("PLATFORM_AUTH_URL", URL), ("CRM_JWKS_URL", URL)]), TokenKeys::JwksUrl(URL.to_owned()));
    // The issuer is required of tokens, to the letter.
    let auth = read(&[("CRM_OIDC_ISSUER", "https://acme.example/")]).unwrap().auth;
    assert_eq!(auth.keys, TokenKeys::Issuer("https://acme.example/".to_owned()));
    assert_eq!(auth.issuer.as_deref(), Some("https://acme.example/"));
    let differs = [("CRM_OIDC_ISSUER", "https://acme.example/"), ("CRM_JWT_ISSUER", "https://acme.example")];
    assert!(mistake(&differs).contains("CRM_JWT_ISSUER: is not the issuer in CRM_OIDC_ISSUER"));
    let two = mistake(&[("CRM_JWKS_URL", URL), ("CRM_JWKS_FILE", "x"), ("CRM_OIDC_ISSUER", URL)]);
    assert!(two.contains("CRM_JWKS_FILE, CRM_JWKS_URL, CRM_OIDC_ISSUER: set one of them"), "{two}");
    for variable in ["CRM_JWKS_URL", "CRM_OIDC_ISSUER", "PLATFORM_AUTH_URL"] {
        read(&[("CRM_HOST", "0.0.0.0"), (variable, URL)]).unwrap();
    }
}

#[test]
fn the_address_of_introspection_may_have_either_name_but_not_two_values() {
    let url = |variables: &[(&str, &str)]| read(variables).unwrap().auth.introspection.unwrap().url;
    assert_eq!(url(&[("PLATFORM_AUTH_URL", URL)]), URL);
    assert_eq!(url(&[("CRM_PLATFORM_AUTH_URL", URL)]), URL);
    assert_eq!(url(&[("PLATFORM_AUTH_URL", URL), ("CRM_PLATFORM_AUTH_URL", URL)]), URL);
    let two = [("PLATFORM_AUTH_URL", URL), ("CRM_PLATFORM_AUTH_URL", "https://login.example.com/y")];
    assert!(mistake(&two).contains("PLATFORM_AUTH_URL, CRM_PLATFORM_AUTH_URL: are not the same"));
    for (variables, said) in [
        (&[("CRM_AUTH_INTROSPECT", "all")][..], "CRM_AUTH_INTROSPECT: is of no use"),
        (&[("PLATFORM_AUTH_URL", URL), ("CRM_PLATFORM_AUTH_CLIENT_ID", "crm")], "set both, or neither"),
        (&[("PLATFORM_AUTH_URL", URL), ("CRM_PLATFORM_AUTH_CLIENT_SECRET", "canary")], "set both, or neither"),
        (
            &[("CRM_PLATFORM_AUTH_CLIENT_ID", "crm"), ("CRM_PLATFORM_AUTH_CLIENT_SECRET", "canary")],
            "is of no use without PLATFORM_AUTH_URL",
        ),
    ] {
        let said_instead = mistake(variables);
        assert!(said_instead.contains(said) && !said_instead.contains("canary"), "{said_instead}");
    }
}

#[test]
fn the_platform_is_asked_with_tls_unless_it_is_here_or_that_is_allowed() {
    for name in ["CRM_JWKS_URL", "CRM_OIDC_ISSUER", "PLATFORM_AUTH_URL", "CRM_PLATFORM_AUTH_URL"] {
        for here in ["http://localhost:1/x", "http://127.0.0.1/x", "http://[::1]:8080/x", "https://10.0.0.1/x"] {
            read(&[(name, here)]).unwrap();
        }
        read(&[(name, "http://10.0.0.1/x"), ("CRM_AUTH_PLAIN_HTTP", "on")]).unwrap();
        for (url, said) in [
            ("http://10.0.0.1/x", "must begin with https://"),
            ("http://localhost.example.com/x", "must begin with https://"),
            ("ftp://localhost/x", "must begin with https://"),
            ("login.example.com/canary", "must be an address"),
            ("canary", "must be an address"),
            ("https://", "must be an address"),
            ("https://crm:canary@login.example.com/", "must hold no user and no password"),
            ("https://login.example.com/#canary", "must be an address"),
        ] {
            let mistake = mistake(&[(name, url)]);
            assert!(mistake.contains(&format!("\n  {name}: {said}")), "{url}: {mistake}");
            assert!(!mistake.contains("canary"), "{mistake}");
        }
    }
}

#[test]
fn the_rest_has_defaults_and_bounds() {
    let auth = read(&[]).unwrap().auth;
    let seconds = |duration: Duration| duration.as_secs();
    let access = &auth.access;
    assert_eq!([access.refresh, access.cooldown, access.grace, access.cache].map(seconds), [300, 30, 3600, 60]);
    assert_eq!((auth.tenancy, auth.scopes, auth.max_age), (Tenancy::Header, ScopePolicy::Optional, None));
    for (name, wrong) in [
        ("CRM_JWKS_REFRESH", "0s"),
        ("CRM_JWKS_REFRESH", "2days"),
        ("CRM_JWKS_COOLDOWN", "999ms"),
        ("CRM_AUTH_GRACE", "25h"),
        ("CRM_AUTH_CACHE", "2h"),
        ("CRM_JWT_MAX_AGE", "0s"),
        ("CRM_JWT_MAX_AGE", "forever"),
        ("CRM_TENANCY", "both"),
        ("CRM_SCOPES", "on"),
        ("CRM_AUTH_INTROSPECT", "none"),
        ("CRM_AUTH_PLAIN_HTTP", "yes"),
        ("CRM_TENANT_CLAIM", "a b"),
        ("CRM_AUTH_CA_FILE", "/nowhere"),
    ] {
        let mistake = mistake(&[(name, wrong)]);
        assert!(mistake.contains(&format!("\n  {name}: ")), "{mistake}");
    }
}
