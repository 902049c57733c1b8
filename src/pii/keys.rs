//! The keys that personal data is sealed with: `id:base64`, several separated by commas or lines. The first one seals, all
//! of them open.

use std::{fmt, io, str::FromStr};

use base64::{Engine, engine::general_purpose::STANDARD};

/// How many bytes a key has.
const LENGTH: usize = 32;

/// The name of a key. It stands in every value that is sealed with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyId(String);

impl KeyId {
    /// Reads a key's name: 1 to 32 of `A-Z a-z 0-9 -`.
    #[must_use]
    pub fn parse(id: &str) -> Option<Self> {
        let valid = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        ((1..=32).contains(&id.len()) && id.bytes().all(valid)).then(|| Self(id.to_owned()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A key. Its bytes are never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct PiiKey {
    /// Its name.
    pub id: KeyId,
    bytes: [u8; LENGTH],
}

impl PiiKey {
    /// The key itself: only [`super::vault`] has a use for it.
    #[must_use]
    pub fn reveal(&self) -> &[u8; LENGTH] {
        &self.bytes
    }
}

impl fmt::Debug for PiiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:***", self.id)
    }
}

/// At least one key, no name twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PiiKeys(Vec<PiiKey>);

impl PiiKeys {
    /// The keys, the sealing one first.
    #[must_use]
    pub fn as_slice(&self) -> &[PiiKey] {
        &self.0
    }
}

impl FromStr for PiiKeys {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut keys: Vec<PiiKey> = Vec::new();
        let written = text.split([',', '\n']).map(str::trim).filter(|key| !key.is_empty());
        for (number, key) in written.enumerate() {
            let number = number + 1;
            let (id, base64) = key.split_once(':').ok_or(format!("key {number} must be id:base64"))?;
            let id = KeyId::parse(id).ok_or(format!("the id of key {number} must be 1 to 32 of A-Z a-z 0-9 -"))?;
            let bytes = STANDARD.decode(base64).ok().and_then(|bytes| bytes.try_into().ok());
            let bytes = bytes.ok_or(format!("key {number} ({id}) must be {LENGTH} bytes in base64"))?;
            if keys.iter().any(|known| known.id == id) {
                return Err(format!("the id {id} stands twice"));
            }
            keys.push(PiiKey { id, bytes });
        }
        if keys.is_empty() { Err("must name at least one key, id:base64".to_owned()) } else { Ok(Self(keys)) }
    }
}

/// Makes a key under a new name, in the form in which it is configured.
///
/// # Errors
/// A system without randomness.
pub fn generate() -> io::Result<String> {
    let (mut name, mut bytes) = ([0_u8; 4], [0_u8; LENGTH]);
    getrandom::fill(&mut name).and_then(|()| getrandom::fill(&mut bytes)).map_err(io::Error::other)?;
    Ok(format!("k{:08x}:{}", u32::from_be_bytes(name), STANDARD.encode(bytes)))
}
