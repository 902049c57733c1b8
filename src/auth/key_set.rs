//! The keys that are trusted at a time, and how they are read: from PEM (RFC 7468), or from a JSON Web Key Set (RFC 7517).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::Value;

use super::{
    jws::Jws,
    key::{Algorithm, Key, KeyId},
};

/// How many keys of a set are looked at.
const MAX_KEYS: usize = 100;

/// How many keys are tried for a token that does not name its key.
const MAX_TRIED: usize = 8;

/// Keys.
#[derive(Default)]
pub(super) struct KeySet {
    keys: Vec<Key>,
}

/// What a set of keys says of a signature.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is that of this key.
    Valid(KeyId),
    /// It is not that of the key that the token names.
    Invalid,
    /// The key is not in the set.
    UnknownKey,
}

impl KeySet {
    /// The one shared secret.
    pub(super) fn of_secret(secret: &[u8]) -> Self {
        Self { keys: vec![Key::secret(secret)] }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether this key is among them.
    pub(super) fn holds(&self, id: &KeyId) -> bool {
        self.keys.iter().any(|key| key.id == *id)
    }

    /// Whether these are the same keys.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let within = |one: &Self, other: &Self| one.keys.iter().all(|key| other.holds(&key.id));
        within(self, other) && within(other, self)
    }

    /// Verifies a signature: by the key that the token names, or else by those that fit.
    pub(super) fn verify(&self, token: &Jws<'_>) -> Verdict {
        let is_named = |key: &&Key| key.kid.is_some() && key.kid == token.kid;
        let named = self.keys.iter().any(|key| is_named(&key));
        // A key without a name may be the one that the token means by its name; so may any for a token that names none.
        let may_be = |key: &&Key| match named {
            true => is_named(key),
            false => token.kid.is_none() || key.kid.is_none(),
        };
        let fits = self.keys.iter().filter(may_be).filter(|key| key.fits(token.algorithm)).take(MAX_TRIED);
        let valid = |key: &&Key| key.verifies(token.algorithm, token.signed.as_bytes(), &token.signature);
        match fits.into_iter().find(valid) {
            Some(key) => Verdict::Valid(key.id),
            None if named => Verdict::Invalid,
            None => Verdict::UnknownKey,
        }
    }

    /// Reads a PEM file. What an operator wrote must all be usable.
    ///
    /// # Errors
    /// The first key that is not, and why.
    pub(super) fn from_pem(text: &[u8]) -> Result<Self, String> {
        let blocks = pem::parse_many(text).map_err(|_| "is damaged: it is not in the form of PEM".to_owned())?;
        if blocks.is_empty() {
            return Err("holds no public key in the form of PEM".to_owned());
        }
        if blocks.len() > MAX_KEYS {
            return Err(format!("holds more than {MAX_KEYS} keys"));
        }
        let keys = blocks.iter().zip(1..).map(|(block, number)| {
            let key = match block.tag() {
                "PUBLIC KEY" | "RSA PUBLIC KEY" => Key::from_der(block.contents()),
                tag if tag.contains("PRIVATE KEY") => {
                    Err("is a private key: take it away from here, and name a file with the public one")
                }
                "CERTIFICATE" => Err("is a certificate: name a file with its key (openssl x509 -pubkey -noout)"),
                _ => Err("is no public key"),
            };
            key.map_err(|why| format!("number {number} in it {why}"))
        });
        Ok(Self { keys: keys.collect::<Result<_, _>>()? })
    }

    /// Reads a JSON Web Key Set: the keys that are usable, and why the others are not. A set of which nothing is usable is a
    /// set; that is how all keys are withdrawn.
    ///
    /// # Errors
    /// What is no key set.
    pub(super) fn from_jwks(text: &[u8]) -> Result<(Self, Vec<String>), String> {
        #[derive(Deserialize)]
        struct Jwks {
            keys: Vec<Value>,
        }
        let jwks: Jwks = serde_json::from_slice(text).map_err(|_| "is no JSON Web Key Set".to_owned())?;
        let (mut keys, mut skipped) = (Vec::new(), Vec::new());
        if jwks.keys.len() > MAX_KEYS {
            skipped.push(format!("all behind the first {MAX_KEYS}"));
        }
        for (jwk, number) in jwks.keys.into_iter().take(MAX_KEYS).zip(1..) {
            match serde_json::from_value::<Jwk>(jwk).map_err(|_| "is no JSON Web Key").and_then(Jwk::read) {
                Ok(key) => keys.push(key),
                Err(why) => skipped.push(format!("number {number} {why}")),
            }
        }
        Ok((Self { keys }, skipped))
    }
}

/// A JSON Web Key (RFC 7517, section 4; RFC 7518, section 6; RFC 8037, section 2).
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    d: Option<Value>,
}

impl Jwk {
    fn read(self) -> Result<Key, &'static str> {
        if self.kty == "oct" {
            return Err("is a shared secret, which must not stand in a key set");
        }
        if self.d.is_some() {
            return Err("is a private key, which must not stand in a key set");
        }
        let verifies = self.usage.as_deref().is_none_or(|usage| usage == "sig")
            && self.key_ops.as_ref().is_none_or(|operations| operations.iter().any(|operation| operation == "verify"));
        if !verifies {
            return Err("is not for verifying signatures (use, key_ops)");
        }
        let bytes = |field: Option<&String>| {
            let decoded = field.and_then(|text| URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok());
            decoded.ok_or("lacks a part, or one is not in base64url")
        };
        let kid = self.kid.clone();
        let key = match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) => Key::from_rsa(kid, &bytes(self.n.as_ref())?, &bytes(self.e.as_ref())?),
            ("EC", Some("P-256")) => {
                let (x, y) = (bytes(self.x.as_ref())?, bytes(self.y.as_ref())?);
                Key::from_p256(kid, &[&[4], x.as_slice(), y.as_slice()].concat())
            }
            ("OKP", Some("Ed25519")) => Key::from_ed25519(kid, &bytes(self.x.as_ref())?),
            _ => Err("is of a type or on a curve that is not known"),
        }?;
        match self.alg {
            None => Ok(key),
            Some(alg) => {
                let restricted = Algorithm::of(&alg).and_then(|algorithm| key.restricted_to(algorithm));
                restricted.ok_or("is for an algorithm that is not known, or does not fit it")
            }
        }
    }
}
