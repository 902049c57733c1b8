//! A key that verifies signatures. The key decides the algorithms; a token's `alg` must be one of them (RFC 8725, section
//! 3.1).

use aws_lc_rs::{
    digest::{SHA256, digest},
    hmac,
    rsa::{PublicKey, PublicKeyComponents},
    signature::{
        ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
        RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512,
        RsaParameters,
    },
};

/// A signature algorithm (RFC 7518, section 3; RFC 8037, section 3.1). `none` is none of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    Hs256,
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    EdDsa,
}

/// What RSA keys verify.
const RSA: [(Algorithm, &RsaParameters); 6] = [
    (Algorithm::Rs256, &RSA_PKCS1_2048_8192_SHA256),
    (Algorithm::Ps256, &RSA_PSS_2048_8192_SHA256),
    (Algorithm::Rs384, &RSA_PKCS1_2048_8192_SHA384),
    (Algorithm::Ps384, &RSA_PSS_2048_8192_SHA384),
    (Algorithm::Rs512, &RSA_PKCS1_2048_8192_SHA512),
    (Algorithm::Ps512, &RSA_PSS_2048_8192_SHA512),
];

/// The lengths of an RSA key, in bits (RFC 7518, section 3.3, for the shortest).
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

impl Algorithm {
    /// The algorithm of this name.
    pub(super) fn of(name: &str) -> Option<Self> {
        Some(match name {
            "HS256" => Self::Hs256,
            "RS256" => Self::Rs256,
            "RS384" => Self::Rs384,
            "RS512" => Self::Rs512,
            "PS256" => Self::Ps256,
            "PS384" => Self::Ps384,
            "PS512" => Self::Ps512,
            "ES256" => Self::Es256,
            "EdDSA" | "Ed25519" => Self::EdDsa,
            _ => return None,
        })
    }
}

/// What tells a key apart from all others: the hash of its name, of itself, and of the algorithm that it is restricted to.
pub(super) type KeyId = [u8; 32];

/// A key.
pub(super) struct Key {
    /// Its name, if it has one.
    pub(super) kid: Option<String>,
    /// What tells it apart.
    pub(super) id: KeyId,
    material: Material,
}

enum Material {
    /// The library wipes it from memory when it is dropped.
    Secret(Box<hmac::Key>),
    Public(Vec<(Algorithm, ParsedPublicKey)>),
}

impl Key {
    /// A shared secret.
    pub(super) fn secret(secret: &[u8]) -> Self {
        Self { kid: None, id: [0; 32], material: Material::Secret(Box::new(hmac::Key::new(hmac::HMAC_SHA256, secret))) }
    }

    /// A public key in DER: SubjectPublicKeyInfo (RFC 5280), or of RSA alone (RFC 8017, appendix A.1.1).
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn from_der(der: &[u8]) -> Result<Self, &'static str> {
        if let Ok(key) = PublicKey::from_der(der) {
            check_rsa(key.modulus_len() * 8)?;
            return Self::rsa(None, |parameters| ParsedPublicKey::new(parameters, der).ok());
        }
        if let Ok(key) = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, der) {
            return Ok(Self::public(None, vec![(Algorithm::Es256, key)]));
        }
        match ParsedPublicKey::new(&ED25519, der) {
            Ok(key) => Ok(Self::public(None, vec![(Algorithm::EdDsa, key)])),
            Err(_) => Err("is no key of type RSA, EC P-256 or Ed25519"),
        }
    }

    /// An RSA key of these components, in bytes of big-endian order.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn from_rsa(kid: Option<String>, modulus: &[u8], exponent: &[u8]) -> Result<Self, &'static str> {
        let stripped = |bytes: &[u8]| -> Vec<u8> { bytes.iter().skip_while(|byte| **byte == 0).copied().collect() };
        let components = PublicKeyComponents { n: stripped(modulus), e: stripped(exponent) };
        let zeros = components.n.first().map_or(0, |first| first.leading_zeros() as usize);
        check_rsa((components.n.len() * 8).saturating_sub(zeros))?;
        Self::rsa(kid, |parameters| components.to_parsed_public_key(parameters).ok())
    }

    /// A point on P-256, uncompressed (SEC 1, section 2.3.3).
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn from_p256(kid: Option<String>, point: &[u8]) -> Result<Self, &'static str> {
        let key = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).map_err(|_| "is no point on P-256")?;
        Ok(Self::public(kid, vec![(Algorithm::Es256, key)]))
    }

    /// An Ed25519 key (RFC 8032, section 5.1.5).
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn from_ed25519(kid: Option<String>, key: &[u8]) -> Result<Self, &'static str> {
        let key = ParsedPublicKey::new(&ED25519, key).map_err(|_| "is no Ed25519 key")?;
        Ok(Self::public(kid, vec![(Algorithm::EdDsa, key)]))
    }

    /// The same key for one of its algorithms only; `None` where it is not one of them.
    pub(super) fn restricted_to(self, algorithm: Algorithm) -> Option<Self> {
        let Material::Public(mut keys) = self.material else { return None };
        keys.retain(|(fits, _)| *fits == algorithm);
        // What it verified by another of them, it does not verify as this one.
        let id = hash(&[self.id.as_slice(), format!("{algorithm:?}").as_bytes()].concat());
        (!keys.is_empty()).then_some(Self { kid: self.kid, id, material: Material::Public(keys) })
    }

    /// Whether it verifies signatures of this algorithm.
    pub(super) fn fits(&self, algorithm: Algorithm) -> bool {
        match &self.material {
            Material::Secret(_) => algorithm == Algorithm::Hs256,
            Material::Public(keys) => keys.iter().any(|(fits, _)| *fits == algorithm),
        }
    }

    /// Whether this is its signature of the message.
    pub(super) fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        match &self.material {
            Material::Secret(key) => algorithm == Algorithm::Hs256 && hmac::verify(key, message, signature).is_ok(),
            Material::Public(keys) => keys
                .iter()
                .find(|(fits, _)| *fits == algorithm)
                .is_some_and(|(_, key)| key.verify_sig(message, signature).is_ok()),
        }
    }

    fn rsa(
        kid: Option<String>,
        parse: impl Fn(&'static RsaParameters) -> Option<ParsedPublicKey>,
    ) -> Result<Self, &'static str> {
        let keys = RSA.into_iter().map(|(algorithm, parameters)| Some((algorithm, parse(parameters)?)));
        let keys = keys.collect::<Option<Vec<_>>>().ok_or("is no RSA key")?;
        Ok(Self::public(kid, keys))
    }

    fn public(kid: Option<String>, keys: Vec<(Algorithm, ParsedPublicKey)>) -> Self {
        let mut described = kid.clone().unwrap_or_default().into_bytes();
        described.push(0);
        keys.first().into_iter().for_each(|(_, key)| described.extend(key.as_ref()));
        Self { kid, id: hash(&described), material: Material::Public(keys) }
    }
}

/// SHA-256.
pub(super) fn hash(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.iter_mut().zip(digest(&SHA256, bytes).as_ref()).for_each(|(to, from)| *to = *from);
    hash
}

fn check_rsa(bits: usize) -> Result<(), &'static str> {
    match RSA_BITS.contains(&bits) {
        true => Ok(()),
        false if bits < *RSA_BITS.start() => Err("is an RSA key of less than 2048 bits"),
        false => Err("is an RSA key of more than 8192 bits"),
    }
}
