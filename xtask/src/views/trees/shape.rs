//! The cheapest trees of at most a given height, by the recursion of docs/protocol.md, 5.2.

/// A tree over consecutive bits of a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Tree {
    /// A leaf of one or two bits.
    Leaf(u32),
    /// One bit without a leaf, the high part of a merge.
    Bare,
    /// A high part over a low part.
    Merge(Box<Tree>, Box<Tree>),
}

impl Tree {
    pub(super) fn bits(&self) -> u32 {
        match self {
            Self::Leaf(bits) => *bits,
            Self::Bare => 1,
            Self::Merge(high, low) => high.bits() + low.bits(),
        }
    }

    pub(super) fn levels(&self) -> u32 {
        match self {
            Self::Leaf(_) | Self::Bare => 0,
            Self::Merge(high, low) => 1 + high.levels().max(low.levels()),
        }
    }

    /// Bits sent and OTs; `keeps_p`: whether the p of the whole is wanted.
    pub(super) fn cost(&self, keeps_p: bool) -> (u32, u32) {
        match self {
            Self::Leaf(1) => (2, 1),
            Self::Leaf(_) => (8, 2),
            Self::Bare => (0, 0),
            Self::Merge(high, low) => {
                let (high, low) = (high.cost(true), low.cost(keeps_p));
                let opened = if keeps_p { 6 } else { 4 };
                (high.0 + low.0 + opened, high.1 + low.1 + 2)
            }
        }
    }

    /// Twice the price, an OT at 1.5 bits.
    fn price(&self, keeps_p: bool) -> u32 {
        let (bits, rots) = self.cost(keeps_p);
        2 * bits + 3 * rots
    }

    /// As the page writes trees, high part first; a bare bit and a one-bit leaf are both `1`.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Leaf(bits) => bits.to_string(),
            Self::Bare => "1".into(),
            Self::Merge(high, low) => format!("({} {})", high.text(), low.text()),
        }
    }
}

/// `L(n) = ceil(log2 n)`.
pub(super) fn ceil_log2(n: u32) -> u32 {
    n.next_power_of_two().trailing_zeros()
}

/// The cheapest tree over n bits of at most `most` levels; of equally cheap ones that of fewer
/// levels, and then that of the smallest high part. Nothing if there is none.
pub(super) fn cheapest(n: u32, most: u32, keeps_p: bool) -> Option<Tree> {
    if n <= 2 {
        return Some(Tree::Leaf(n));
    }
    let below = most.checked_sub(1)?;
    let of_high = |j: u32| {
        let high = if j == 1 { Tree::Bare } else { cheapest(j, below, true)? };
        let low = cheapest(n - j, below, keeps_p)?;
        Some(Tree::Merge(Box::new(high), Box::new(low)))
    };
    (1..=n - 2).filter_map(of_high).min_by_key(|tree| (tree.price(keeps_p), tree.levels()))
}
