//! The client that progenitor makes, with what it lacks: null as a value of its own.

use serde::{Deserialize, Deserializer, Serialize};

include!(concat!(env!("OUT_DIR"), "/client.rs"));

/// What a PATCH does to a field that may be empty, unless it is left out.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Nullable<T> {
    /// Written as null.
    Clear,
    Set(T),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Nullable<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(deserializer)?.map_or(Self::Clear, Self::Set))
    }
}
