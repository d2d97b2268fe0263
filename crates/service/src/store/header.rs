//! What a sealed file of a store says of itself.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

/// Of the headers; another one is not read.
pub(super) const FORMAT: u32 = 1;

/// What a sealed file is; part of it, and sealed with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealedHeader {
    /// Of the file.
    pub(super) format: u32,
    /// `setup`, `material`, ..
    pub kind: String,
    /// The other party, as the holder knows it.
    pub owner: String,
    /// What it is good for: a digest.
    pub bound: [u8; 32],
    /// Which one.
    pub id: [u8; 32],
    /// What both parties say of it; zero where they say nothing.
    pub digest: [u8; 32],
    /// For people: the model's name.
    pub label: String,
    /// Seconds since 1970.
    pub made: u64,
    /// The same: when it is of no use any more.
    pub until: u64,
}

impl SealedHeader {
    /// Of something made now that is of use for `lasting`.
    pub fn new(kind: &str, owner: &str, bound: [u8; 32], id: [u8; 32], lasting: Duration) -> Self {
        let made = now();
        Self {
            format: FORMAT,
            kind: kind.to_owned(),
            owner: owner.to_owned(),
            bound,
            id,
            digest: [0; 32],
            label: String::new(),
            made,
            until: made.saturating_add(lasting.as_secs()),
        }
    }

    /// Whether it is of no use any more.
    pub fn is_over(&self) -> bool {
        self.until < now()
    }
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}
