//! The check that a forest of plain trees is one: whoever grew it cannot give different leaves to
//! different holders of a punctured copy.
//!
//! ```text
//! grows the trees                              knows all leaves but path_i of tree i
//! s_{i,x} = BLAKE3(leaf x of tree i; i, x) under a key of this forest
//! T_i = XOR_x s_{i,x}
//! h = H(all s)                          ──►    s_{i,path_i} = T_i ^ XOR of the others
//!                                              h = H(all s)?
//! ```
//!
//! Sums of levels that fit no tree are caught, unless they change nothing for this holder's paths: that
//! is a guess that the path lies in a set, punished by the end of the session where it does not. `T_i`
//! shows the hash of an unknown leaf, h the hash of all: nothing about the leaf itself. Index, place, and
//! a key for session, purpose and forest are hashed along, so that one guess at a leaf is tested against
//! one leaf alone: 2^128 guesses, whatever the number of trees and sessions.
//!
//! Source: Roy, "SoftSpokenOT" (CRYPTO 2022), section 4 (malicious PPRF); s has 256 bits.

use gazelle_block::Block;
use gazelle_wire::traffic::framed_len;
use gazelle_wire::{DecodeError, Message, Reader};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

/// Labels; a change of the protocol changes them.
const KEY: &str = "gazelle-ot 2026 leaves of a forest v2";
const DIGEST: &str = "gazelle-ot 2026 all leaves of a forest v2";

/// The images of leaves.
type Images = Zeroizing<Vec<[u8; 32]>>;

/// The key under which the leaves of one forest are hashed, and nothing else is.
pub(crate) struct ForestKey([u8; 32]);

impl ForestKey {
    /// - `binding`: the session that the channel is bound to.
    /// - `purpose`: what the trees are for.
    /// - `seed`: that of the trees' hash, which whoever grows them draws anew for each forest.
    pub(crate) fn new(binding: &[u8; 32], purpose: &str, seed: Block) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(KEY);
        hasher.update(binding).update(&(purpose.len() as u64).to_le_bytes());
        hasher.update(purpose.as_bytes()).update(&seed.to_bytes());
        Self(*hasher.finalize().as_bytes())
    }

    /// `s_{tree,place}`.
    fn image(&self, tree: u64, place: u64, leaf: Block) -> [u8; 32] {
        let mut input = [0; 32];
        let (node, index) = input.split_at_mut(16);
        node.copy_from_slice(&leaf.to_bytes());
        let (high, low) = index.split_at_mut(8);
        high.copy_from_slice(&tree.to_le_bytes());
        low.copy_from_slice(&place.to_le_bytes());
        let image = *blake3::keyed_hash(&self.0, &input).as_bytes();
        input.zeroize();
        image
    }

    /// Of all leaves, leaf x of tree i at `x * trees + i`.
    fn images(&self, leaves: &[Block], trees: usize) -> Images {
        let mut images = Zeroizing::new(Vec::with_capacity(leaves.len()));
        for (place, row) in (0..).zip(leaves.chunks(trees)) {
            images.extend((0..).zip(row).map(|(tree, leaf)| self.image(tree, place, *leaf)));
        }
        images
    }

    /// h.
    fn digest(&self, images: &Images) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key(DIGEST);
        hasher.update(&self.0).update(images.as_flattened());
        let digest = *hasher.finalize().as_bytes();
        hasher.zeroize();
        digest
    }
}

/// Sums of the leaves' images per tree, and the digest of all images.
pub(crate) struct LeafCommitment {
    sums: Vec<[u8; 32]>,
    digest: [u8; 32],
}

/// The commitment to `leaves`, leaf x of tree i at `x * trees + i`.
pub(crate) fn commit(key: &ForestKey, leaves: &[Block], trees: usize) -> LeafCommitment {
    let images = key.images(leaves, trees);
    LeafCommitment { sums: sums(&images, trees).to_vec(), digest: key.digest(&images) }
}

/// Whether `leaves`, known but for the one that each path names, are those of the commitment. Neither
/// branches nor addresses depend on the paths.
pub(crate) fn fits(
    key: &ForestKey,
    leaves: &[Block],
    paths: &[u32],
    commitment: &LeafCommitment,
) -> bool {
    let trees = paths.len();
    let mut images = key.images(leaves, trees);
    // What is wrong at the path: the sum of all, garbage included, against the sum of the right ones.
    let mut fixes = sums(&images, trees);
    for (fix, right) in fixes.iter_mut().zip(&commitment.sums) {
        add(fix, right, u8::MAX);
    }
    for (x, row) in (0u32..).zip(images.chunks_mut(trees)) {
        for ((image, fix), path) in row.iter_mut().zip(fixes.iter()).zip(paths) {
            add(image, fix, x.ct_eq(path).unwrap_u8().wrapping_neg());
        }
    }
    bool::from(key.digest(&images).ct_eq(&commitment.digest))
}

fn sums(images: &Images, trees: usize) -> Images {
    let mut sums = Zeroizing::new(vec![[0; 32]; trees]);
    for row in images.chunks_exact(trees) {
        for (sum, image) in sums.iter_mut().zip(row) {
            add(sum, image, u8::MAX);
        }
    }
    sums
}

/// `sum ^= value & mask`.
fn add(sum: &mut [u8; 32], value: &[u8; 32], mask: u8) {
    for (sum, value) in sum.iter_mut().zip(value) {
        *sum ^= value & mask;
    }
}

/// Exact bytes of a commitment.
pub(crate) fn traffic(trees: usize) -> u64 {
    framed_len(32 * (trees + 1))
}

impl Message for LeafCommitment {
    /// The number of trees.
    type Shape = usize;
    const KIND: u16 = 0x0304;
    const NAME: &'static str = "commitment to the leaves of GGM trees";

    fn encoded_len(trees: &usize) -> usize {
        32 * (trees + 1)
    }
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.sums.as_flattened());
        out.extend_from_slice(&self.digest);
    }
    fn decode(input: &mut Reader<'_>, trees: &usize) -> Result<Self, DecodeError> {
        let (sums, _) = input.take(32 * trees)?.as_chunks::<32>();
        Ok(Self { sums: sums.to_vec(), digest: input.array()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_every_leaf_but_the_missing_one_is_checked() {
        let (trees, rows) = (3, 8);
        let leaves: Vec<Block> =
            (1..=(trees * rows) as u128).map(|i| Block(i.wrapping_mul(u128::MAX / 9))).collect();
        let key = ForestKey::new(&[1; 32], "trees", Block(5));
        let commitment = commit(&key, &leaves, trees);
        let paths = [2u32, 7, 0];
        for at in 0..leaves.len() {
            let mut punctured = leaves.clone();
            punctured[at].0 ^= 1;
            let missing = paths[at % trees] as usize == at / trees;
            assert_eq!(fits(&key, &punctured, &paths, &commitment), missing, "leaf {at}");
        }
        assert!(fits(&key, &leaves, &paths, &commitment));
        for other in [
            ForestKey::new(&[2; 32], "trees", Block(5)),
            ForestKey::new(&[1; 32], "other trees", Block(5)),
            ForestKey::new(&[1; 32], "trees", Block(6)),
        ] {
            assert!(!fits(&other, &leaves, &paths, &commitment), "another forest");
        }
    }

    /// One guess at a leaf is no guess at another one.
    #[test]
    fn properties_equal_leaves_have_images_of_their_own() {
        let keys = [("trees", 5), ("trees", 6), ("other trees", 5)];
        let keys = keys.map(|(purpose, seed)| ForestKey::new(&[1; 32], purpose, Block(seed)));
        let all = keys.iter().flat_map(|key| key.images(&[Block(7); 24], 3).to_vec());
        let distinct: std::collections::HashSet<[u8; 32]> = all.collect();
        assert_eq!(distinct.len(), 3 * 24);
    }
}
