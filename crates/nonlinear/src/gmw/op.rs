//! The operations of a chain: openings, widths, random OTs.

use gazelle_convert::sign::{ClientShare, ClientSign, ServerSign, SignTree};
use gazelle_convert::{fused, product};

/// An operation on all lanes of a chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Op {
    /// `max(x, 0)` modulo `2^bits`, compared without the lowest `drop` bits.
    Relu { bits: u32, drop: u32, share: ClientShare, tree: SignTree },
    /// As `Relu`, and extended from `2^bits` to `2^to`; the client's share is known offline.
    Fused { bits: u32, to: u32, drop: u32, tree: SignTree },
    /// From `2^from` to `2^to`.
    Extend { from: u32, to: u32 },
    /// z - r.
    Reshare { bits: u32 },
    /// XOR shares of `[x < 0]`, x modulo `2^bits`.
    Sign { bits: u32, share: ClientShare, tree: SignTree },
    /// `x^2` modulo `2^bits`, from x modulo `2^(bits - 1)`; then both shares are shifted right by
    /// `drop` bits, so that it is rounded up or down.
    Square { bits: u32, drop: u32, share: ClientShare },
    /// x y of two shared bits, bits 0 and 1 of each word.
    And,
    /// d x modulo `2^bits`, d the top bit of each word; the client's x is known offline.
    Keep { bits: u32 },
    /// From all comparisons of some rows, shares of each row's verdict: 0 for the winner.
    Elect { rows: usize },
    /// The client learns the words, of `bits` bits, shared by addition or by XOR.
    Reveal { bits: u32, xor: bool },
}

impl Op {
    /// `max(x, 0)`.
    pub(crate) fn relu(bits: u32, share: ClientShare) -> Self {
        Self::coarse_relu(bits, 0, share)
    }

    /// `max(x, 0)`, compared without the lowest `drop` bits: at most `bits - 2`.
    pub(crate) fn coarse_relu(bits: u32, drop: u32, share: ClientShare) -> Self {
        Self::Relu { bits, drop, share, tree: SignTree::new(bits - drop) }
    }

    /// The same, extended to `2^to`.
    pub(crate) fn fused(bits: u32, drop: u32, to: u32) -> Self {
        Self::Fused { bits, to, drop, tree: SignTree::new(bits - drop) }
    }

    /// `[x < 0]`.
    pub(crate) fn sign(bits: u32, share: ClientShare) -> Self {
        Self::Sign { bits, share, tree: SignTree::new(bits) }
    }

    pub(crate) fn openings(&self) -> usize {
        match self {
            Self::Relu { tree, .. } | Self::Fused { tree, .. } => tree.levels() + 2,
            Self::Sign { tree, .. } => tree.levels() + 1,
            Self::Extend { .. }
            | Self::Reshare { .. }
            | Self::And
            | Self::Keep { .. }
            | Self::Square { .. }
            | Self::Elect { .. }
            | Self::Reveal { .. } => 1,
        }
    }

    /// Width of the operand's words.
    pub(crate) fn operand_bits(&self) -> u32 {
        match self {
            Self::Relu { bits, .. }
            | Self::Fused { bits, .. }
            | Self::Sign { bits, .. }
            | Self::Reshare { bits }
            | Self::Reveal { bits, .. } => *bits,
            Self::Extend { from, .. } => *from,
            Self::Square { bits, .. } => bits - 1,
            Self::Elect { .. } => 1,
            Self::And => 2,
            Self::Keep { .. } => 64,
        }
    }

    /// Planes of an opening, `(server, client)`.
    pub(crate) fn planes(&self, opening: usize) -> (usize, usize) {
        match self {
            Self::Relu { bits, share, tree, .. } => {
                if opening > tree.levels() {
                    return (1, 1);
                }
                let server = ServerSign::planes(tree, opening);
                let client = ClientSign::planes(tree, *share, opening);
                let first = |used: bool| if used && opening == 0 { *bits as usize } else { 0 };
                (server + first(true), client + first(*share == ClientShare::Online))
            }
            Self::Fused { to, tree, .. } => {
                if opening > tree.levels() {
                    return (1, 1);
                }
                let first = if opening == 0 { *to as usize + 1 } else { 0 };
                let client = ClientSign::planes(tree, ClientShare::Offline, opening);
                (ServerSign::planes(tree, opening) + first, client)
            }
            Self::Sign { share, tree, .. } => {
                (ServerSign::planes(tree, opening), ClientSign::planes(tree, *share, opening))
            }
            Self::Extend { .. } => (1, 1),
            Self::And => (2, 2),
            Self::Keep { bits } => (1 + *bits as usize, 1),
            Self::Square { bits, share, .. } => {
                let width = *bits as usize - 1;
                (width, if *share == ClientShare::Online { width } else { 0 })
            }
            Self::Reshare { bits } => (0, *bits as usize),
            Self::Elect { .. } => (0, 1),
            Self::Reveal { bits, .. } => (*bits as usize, 0),
        }
    }

    /// Offline planes, `(server, client)`.
    pub(crate) fn offline_planes(&self) -> (usize, usize) {
        match self {
            Self::Relu { bits, share, tree, .. } => {
                let (client, server) = tree.offline_bits(*share);
                let first = if *share == ClientShare::Offline { *bits as usize } else { 0 };
                (server, client + first)
            }
            Self::Fused { bits, to, tree, .. } => {
                let (client, server) = tree.offline_bits(ClientShare::Offline);
                (server, client + fused::offline_planes(*bits, *to))
            }
            Self::Sign { share, tree, .. } => {
                let (client, server) = tree.offline_bits(*share);
                (server, client)
            }
            Self::Extend { from, to } => ((to - from) as usize, 0),
            Self::Keep { bits } => (0, *bits as usize),
            Self::Square { bits, share, .. } => {
                let known = if *share == ClientShare::Offline { *bits as usize - 1 } else { 0 };
                (product::offline_planes(bits - 1), known)
            }
            Self::Reshare { .. } | Self::And | Self::Elect { .. } | Self::Reveal { .. } => (0, 0),
        }
    }

    /// ROTs per element, S to C and C to S.
    pub(crate) fn rots(&self) -> (usize, usize) {
        match self {
            Self::Relu { tree, .. } => {
                let (down, up) = tree.rots();
                (down + 1, up + 1)
            }
            Self::Fused { tree, .. } => {
                let (down, up) = tree.rots();
                (down + 1, up + 2)
            }
            Self::Sign { tree, .. } => tree.rots(),
            Self::Extend { .. } | Self::Elect { .. } => (1, 0),
            Self::And | Self::Keep { .. } => (1, 1),
            Self::Square { bits, .. } => (*bits as usize - 1, 0),
            Self::Reshare { .. } | Self::Reveal { .. } => (0, 0),
        }
    }
}
