//! The keys that personal data is sealed with: `id:base64`, several separated by commas or lines. The first one seals, all
//! of them open.

use std::{fmt, io, str::FromStr};

use base64::{Engine, display::Base64Display, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

use super::secret::Masked;

/// The bytes of a key: 256 bits.
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

/// A key. Its bytes are never printed, and wiped from memory when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct PiiKey {
    /// Its name.
    pub id: KeyId,
    bytes: Zeroizing<[u8; LENGTH]>,
}

impl PiiKey {
    /// The key itself: only the cipher needs it.
    #[must_use]
    pub fn reveal(&self) -> &[u8; LENGTH] {
        &self.bytes
    }

    /// Makes a key under a new name, written as it is configured: `id:base64`.
    ///
    /// # Errors
    /// No randomness from the operating system.
    pub fn generate() -> io::Result<Zeroizing<String>> {
        let (mut name, mut bytes) = ([0_u8; 4], Zeroizing::new([0_u8; LENGTH]));
        getrandom::fill(&mut name).and_then(|()| getrandom::fill(bytes.as_mut_slice())).map_err(io::Error::other)?;
        let base64 = Base64Display::new(bytes.as_slice(), &STANDARD);
        Ok(Zeroizing::new(format!("k{:08x}:{base64}", u32::from_be_bytes(name))))
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

impl Masked for PiiKeys {
    /// The names of the keys.
    fn masked(&self) -> String {
        self.0.iter().map(|key| format!("{}:***", key.id)).collect::<Vec<_>>().join(",")
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
            let bytes = decode(base64).ok_or(format!("key {number} ({id}) must be {LENGTH} bytes in base64"))?;
            if keys.iter().any(|known| known.id == id) {
                return Err(format!("the id {id} stands twice"));
            }
            keys.push(PiiKey { id, bytes });
        }
        if keys.is_empty() { Err("must name at least one key, id:base64".to_owned()) } else { Ok(Self(keys)) }
    }
}

fn decode(base64: &str) -> Option<Zeroizing<[u8; LENGTH]>> {
    let bytes = Zeroizing::new(STANDARD.decode(base64).ok()?);
    bytes.as_slice().try_into().ok().map(Zeroizing::new)
}
