//! The check that a forest of plain trees is one: whoever grew it cannot give different leaves to
//! different holders of a punctured copy.
//!
//! ```text
//! grows the trees                              knows all leaves but path_i of tree i
//! s_{i,x} = BLAKE3(leaf x of tree i)
//! T_i = XOR_x s_{i,x}
//! h = H(all s)                          ──►    s_{i,path_i} = T_i ^ XOR of the others
//!                                              h = H(all s)?
//! ```
//!
//! Sums of levels that fit no tree are caught, unless they change nothing for this holder's paths: that
//! is a guess of path bits, each wrong with probability 1/2 and punished by the end of the session. `T_i`
//! shows the hash of an unknown leaf, h the hash of all: nothing about the leaf itself.
//!
//! Source: Roy, "SoftSpokenOT" (CRYPTO 2022), section 4 (malicious PPRF); s has 256 bits.

use gazelle_block::Block;
use gazelle_wire::traffic::framed_len;
use gazelle_wire::{DecodeError, Message, Reader};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

/// Labels; a change of the protocol changes them.
const KEY: &str = "gazelle-ot 2026 leaves of a forest v1";
const DIGEST: &str = "gazelle-ot 2026 all leaves of a forest v1";

/// The images of leaves.
type Images = Zeroizing<Vec<[u8; 32]>>;

/// Sums of the leaves' images per tree, and the digest of all images.
pub(crate) struct LeafCommitment {
    sums: Vec<[u8; 32]>,
    digest: [u8; 32],
}

/// The commitment to `leaves`, leaf x of tree i at `x * trees + i`.
pub(crate) fn commit(binding: &[u8; 32], leaves: &[Block], trees: usize) -> LeafCommitment {
    let images = images(binding, leaves);
    LeafCommitment { sums: sums(&images, trees).to_vec(), digest: digest(&images) }
}

/// Whether `leaves`, known but for the one that each path names, are those of the commitment. Neither
/// branches nor addresses depend on the paths.
pub(crate) fn fits(
    binding: &[u8; 32],
    leaves: &[Block],
    paths: &[u32],
    commitment: &LeafCommitment,
) -> bool {
    let trees = paths.len();
    let mut images = images(binding, leaves);
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
    bool::from(digest(&images).ct_eq(&commitment.digest))
}

fn images(binding: &[u8; 32], leaves: &[Block]) -> Images {
    let key = *blake3::Hasher::new_derive_key(KEY).update(binding).finalize().as_bytes();
    let image = |leaf: &Block| *blake3::keyed_hash(&key, &leaf.to_bytes()).as_bytes();
    Zeroizing::new(leaves.iter().map(image).collect())
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

fn digest(images: &Images) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key(DIGEST);
    hasher.update(images.as_flattened());
    let digest = *hasher.finalize().as_bytes();
    hasher.zeroize();
    digest
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
        let commitment = commit(&[1; 32], &leaves, trees);
        let paths = [2u32, 7, 0];
        for at in 0..leaves.len() {
            let mut punctured = leaves.clone();
            punctured[at].0 ^= 1;
            let missing = paths[at % trees] as usize == at / trees;
            assert_eq!(fits(&[1; 32], &punctured, &paths, &commitment), missing, "leaf {at}");
        }
        assert!(fits(&[1; 32], &leaves, &paths, &commitment));
        assert!(!fits(&[2; 32], &leaves, &paths, &commitment), "another session");
    }
}
