//! A bucket of tokens for each address: full at first, and a token more every so often.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Tokens of a full bucket: several times what one address may have in the handshake, so that clients that are
/// known in the end never empty it.
pub(crate) const BURST: u32 = 256;
/// Addresses whose buckets are not full, at most: some 200 KiB.
pub(crate) const ADDRESSES: usize = 4096;

#[derive(Debug)]
pub(crate) struct Buckets {
    /// From one token to the next.
    interval: Duration,
    /// When the bucket of an address will be full again: how far that is from now says how many tokens it lacks. All
    /// others are full.
    full_at: HashMap<IpAddr, Instant>,
}

impl Buckets {
    /// With so many tokens a second, if any.
    pub(crate) fn new(per_second: u32) -> Option<Self> {
        let interval = Duration::from_secs(1).checked_div(per_second)?;
        Some(Self { interval, full_at: HashMap::new() })
    }

    /// Takes a token, if there is one.
    pub(crate) fn take(&mut self, address: IpAddr, now: Instant) -> bool {
        let full_at = self.full_at.get(&address).map_or(now, |at| now.max(*at)) + self.interval;
        if full_at > now + self.interval * BURST {
            return false;
        }
        if !self.full_at.contains_key(&address) {
            self.make_room(now);
        }
        self.full_at.insert(address, full_at);
        true
    }

    /// Puts a token back.
    pub(crate) fn give_back(&mut self, address: IpAddr, now: Instant) {
        let Some(full_at) = self.full_at.get_mut(&address) else { return };
        match full_at.checked_sub(self.interval) {
            Some(sooner) if sooner > now => *full_at = sooner,
            _ => drop(self.full_at.remove(&address)),
        }
    }

    /// Forgets buckets that are full, or else the one that is nearest to it, when there are too many.
    fn make_room(&mut self, now: Instant) {
        if self.full_at.len() < ADDRESSES {
            return;
        }
        self.full_at.retain(|_, at| *at > now);
        if self.full_at.len() >= ADDRESSES
            && let Some((&fullest, _)) = self.full_at.iter().min_by_key(|(_, at)| **at)
        {
            self.full_at.remove(&fullest);
        }
    }

    /// How many are not full.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.full_at.len()
    }
}
