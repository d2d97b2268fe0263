//! The LPN parameter sets, and what a session of one costs.

use gazelle_wire::traffic::framed_len;

use crate::traffic::OtTraffic;

/// An LPN instance: n = t 2^h samples of a secret of k bits under regular noise of weight t, and how
/// its trees are grouped. Security: docs/parameters-ot.md.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameters {
    log2_k: u32,
    trees: usize,
    depth: u32,
    /// Trees made together.
    group: usize,
    /// The set of the session that makes the first retained OTs; they are `SoftSpoken`'s if there is none.
    before: Option<&'static Self>,
}

impl std::fmt::Display for Parameters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { log2_k, trees, depth, group, before } = self;
        write!(f, "k = 2^{log2_k}, {trees} trees of depth {depth}, {group} together")?;
        before.map_or(Ok(()), |before| write!(f, ", after {before}"))
    }
}

impl Default for Parameters {
    fn default() -> Self {
        Self::MEDIUM
    }
}

impl Parameters {
    /// (n, k, t) = (193,536, 2^15, 756): 154,720 OTs per batch. What the first retained OTs of the other
    /// sets come from: half the bytes of taking them from `SoftSpoken`.
    pub const FIRST: Self = Self { log2_k: 15, trees: 756, depth: 8, group: 16, before: None };
    /// (n, k, t) = (870,400, 2^16, 1700): 789,564 OTs per batch, for sessions of some batches at most.
    pub const SMALL: Self =
        Self { log2_k: 16, trees: 1700, depth: 9, group: 8, before: Some(&Self::FIRST) };
    /// (n, k, t) = (2,396,160, 2^17, 2340): 2,241,688 OTs per batch.
    pub const MEDIUM: Self =
        Self { log2_k: 17, trees: 2340, depth: 10, group: 8, before: Some(&Self::FIRST) };
    /// (n, k, t) = (4,792,320, 2^18, 2340): 4,504,436 OTs per batch at half the bytes of
    /// [`MEDIUM`](Self::MEDIUM) and the same margin; the code's secret takes 4 MB.
    pub const LARGE: Self =
        Self { log2_k: 18, trees: 2340, depth: 11, group: 8, before: Some(&Self::SMALL) };
    /// (n, k, t) = (2,396,160, 2^17, 1170): half the bytes of [`MEDIUM`](Self::MEDIUM) and about 70 bits
    /// less of margin, for links on which every byte counts. 2,252,218 OTs per batch.
    pub const FEW_BYTES: Self =
        Self { log2_k: 17, trees: 1170, depth: 11, group: 8, before: Some(&Self::FIRST) };
    /// **Insecure**: (n, k, t) = (4864, 2^9, 19), for tests that need many batches.
    #[cfg(any(test, feature = "testing"))]
    pub const TOY: Self = Self { log2_k: 9, trees: 19, depth: 8, group: 4, before: None };
    /// **Insecure**: as [`TOY`](Self::TOY), after a session of it.
    #[cfg(any(test, feature = "testing"))]
    pub const TOY_CHAIN: Self =
        Self { log2_k: 10, trees: 21, depth: 8, group: 4, before: Some(&Self::TOY) };

    /// The sets of a session in the order in which they run: each makes what the next one retains
    /// first, and the last one is this.
    pub(super) fn stages(self) -> Vec<Self> {
        let mut stages = self.before.map(|before| before.stages()).unwrap_or_default();
        stages.push(self);
        stages
    }

    /// k: bits of the LPN secret.
    pub const fn k(&self) -> usize {
        1 << self.log2_k
    }

    /// t: the weight of the noise, and the number of trees.
    pub const fn t(&self) -> usize {
        self.trees
    }

    /// h: the depth of a tree.
    pub const fn h(&self) -> u32 {
        self.depth
    }

    /// n = t 2^h: outputs of a batch.
    pub const fn n(&self) -> usize {
        self.trees << self.depth
    }

    /// k + t h: outputs of a batch that feed the next one.
    pub(crate) const fn retained(&self) -> usize {
        self.k() + self.trees * self.depth as usize
    }

    /// OTs that a batch hands out.
    pub const fn usable(&self) -> usize {
        self.n() - self.retained()
    }

    /// Bytes that a session of one party keeps: retained OTs (this batch's and the next one's) and a
    /// group's leaves with their shadows and working space.
    pub const fn memory_bytes(&self) -> usize {
        16 * (2 * self.retained() + 3 * (self.group << self.depth)) + 4 * self.trees
    }

    /// Trees made together.
    pub(super) const fn group(&self) -> usize {
        self.group
    }

    /// Groups of a batch.
    pub(super) const fn groups(&self) -> usize {
        self.trees.div_ceil(self.group)
    }

    /// Trees of group `index`; the last one may be smaller.
    pub(super) const fn trees_of(&self, index: usize) -> usize {
        let rest = self.trees - index * self.group;
        if rest < self.group { rest } else { self.group }
    }

    /// Batches that hold `count` OTs.
    pub(super) const fn batches(&self, count: usize) -> usize {
        count.div_ceil(self.usable())
    }

    /// Bytes of the announcements of a session's first `count` OTs.
    pub(super) fn announced(&self, count: usize) -> OtTraffic {
        let positions = framed_len((self.trees * self.depth as usize).div_ceil(8));
        let receiver_to_sender = self.batches(count) as u64 * positions;
        OtTraffic { sender_to_receiver: 0, receiver_to_sender }
    }

    /// Bytes that a session has sent once it has made `count` OTs: those of the stages under it go in
    /// front of the first.
    pub(super) fn traffic(&self, count: usize) -> OtTraffic {
        let of_groups = |groups: usize| {
            let sums = |trees: usize| framed_len(16 * said(trees, self.depth as usize));
            let last = self.groups() - 1;
            let whole = groups.min(last) as u64 * sums(self.group);
            if groups > last { whole + sums(self.trees_of(last)) } else { whole }
        };
        let Some(last) = count.checked_sub(1) else { return OtTraffic::default() };
        let under = self.before.map_or_else(OtTraffic::default, |set| set.traffic(self.retained()));
        let (batches, place) = (last / self.usable(), last % self.usable());
        let groups = place / (self.group << self.depth) + 1;
        let sums = batches as u64 * of_groups(self.groups()) + of_groups(groups);
        under
            + self.announced(count)
            + OtTraffic { sender_to_receiver: sums, receiver_to_sender: 0 }
    }
}

/// Blocks that the sender says of a group: a sum per level and tree, the sum of every tree's shadows,
/// and their hash.
pub(super) const fn said(trees: usize, depth: usize) -> usize {
    trees * (depth + 1) + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answer_the_sets_are_those_of_the_protocol() {
        let numbers = |set: Parameters| (set.n(), set.k(), set.t(), set.h(), set.usable());
        assert_eq!(numbers(Parameters::FIRST), (193_536, 1 << 15, 756, 8, 154_720));
        assert_eq!(numbers(Parameters::LARGE), (4_792_320, 1 << 18, 2340, 11, 4_504_436));
        assert_eq!(numbers(Parameters::SMALL), (870_400, 1 << 16, 1700, 9, 789_564));
        assert_eq!(numbers(Parameters::MEDIUM), (2_396_160, 1 << 17, 2340, 10, 2_241_688));
        assert_eq!(numbers(Parameters::FEW_BYTES), (2_396_160, 1 << 17, 1170, 11, 2_252_218));
    }

    #[test]
    fn properties_a_session_takes_far_less_than_64_megabytes() {
        assert!(Parameters::SMALL.memory_bytes() < 3 << 20);
        assert!(Parameters::MEDIUM.memory_bytes() < 6 << 20);
        assert!(Parameters::FEW_BYTES.memory_bytes() < 6 << 20);
        assert!(Parameters::LARGE.memory_bytes() < 11 << 20);
    }

    #[test]
    fn properties_a_stage_makes_what_the_next_one_retains_in_one_batch() {
        for set in [Parameters::SMALL, Parameters::MEDIUM, Parameters::LARGE, Parameters::FEW_BYTES]
        {
            for pair in set.stages().windows(2) {
                assert!(pair[1].retained() <= pair[0].usable(), "{} for {}", pair[0], pair[1]);
            }
        }
    }
}
