//! Who comes far more often than he is let in.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Instant;

/// Addresses without a token that come far more often than they are let in.
#[derive(Debug, Default)]
pub(super) struct Floods {
    /// How often those without a token came since `since`.
    came: HashMap<IpAddr, u32>,
    since: Option<Instant>,
    /// Those that flooded in the second before.
    flooding: Vec<IpAddr>,
}

impl Floods {
    /// So often in a second is a flood, and so often ends none that has begun.
    const FLOOD: u32 = 256;
    const EBB: u32 = 64;
    /// Addresses that are counted.
    const COUNTED: usize = 256;

    /// One of this address, which has no token.
    pub(super) fn came(&mut self, address: IpAddr) {
        if self.came.len() < Self::COUNTED || self.came.contains_key(&address) {
            *self.came.entry(address).or_default() += 1;
        }
    }

    /// Those that flood, once a second.
    pub(super) fn flooding(&mut self, now: Instant) -> Option<Vec<IpAddr>> {
        let since = *self.since.get_or_insert(now);
        let seconds = now.saturating_duration_since(since).as_secs_f64();
        if seconds < 1.0 {
            return None;
        }
        self.since = Some(now);
        let mut flooding: Vec<(u32, IpAddr)> = Vec::new();
        for (address, count) in self.came.drain() {
            let least = if self.flooding.contains(&address) { Self::EBB } else { Self::FLOOD };
            if f64::from(count) >= f64::from(least) * seconds {
                flooding.push((count, address));
            }
        }
        flooding.sort_unstable_by(|one, other| other.cmp(one));
        self.flooding = flooding.into_iter().map(|(_, address)| address).collect();
        Some(self.flooding.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn rules_a_flood_begins_with_256_a_second_and_ends_below_64() {
        let [flood, others]: [IpAddr; 2] =
            ["10.0.0.1", "10.0.0.2"].map(|address| address.parse().unwrap());
        let (mut floods, begin) = (Floods::default(), Instant::now());
        assert_eq!(floods.flooding(begin), None);
        let mut second = |number: u64, counts: [(IpAddr, u32); 2]| {
            for (address, count) in counts {
                (0..count).for_each(|_| floods.came(address));
            }
            let early = floods.since.unwrap() + Duration::from_millis(999);
            assert_eq!(floods.flooding(early), None);
            floods.flooding(begin + Duration::from_secs(number)).unwrap()
        };
        assert!(second(1, [(flood, 255), (others, 200)]).is_empty());
        assert_eq!(second(2, [(flood, 256), (others, 200)]), [flood]);
        assert_eq!(second(3, [(flood, 64), (others, 255)]), [flood]);
        assert_eq!(second(4, [(flood, 300), (others, 400)]), [others, flood]);
        assert!(second(5, [(flood, 63), (others, 0)]).is_empty());
        assert!(second(6, [(flood, 64), (others, 64)]).is_empty());
        // Over three seconds.
        assert!(second(9, [(flood, 767), (others, 0)]).is_empty());
        assert_eq!(second(12, [(flood, 768), (others, 0)]), [flood]);
    }

    #[test]
    fn adversarial_so_many_addresses_are_counted_and_no_more() {
        let mut floods = Floods::default();
        for address in 0..100_000u32 {
            floods.came(IpAddr::V4(address.into()));
        }
        assert_eq!(floods.came.len(), Floods::COUNTED);
    }
}
