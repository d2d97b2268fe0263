//! The salts of a *programmable-once public function* into a group, by which a receiver that has a key for one of
//! four places says one element.
//!
//! ```text
//! F(s, T)(x) = T + H(x, s ^ H'(x, T)),  x = 0, 1, 2, 3        s: 384 bits, T: an element
//! so that F(c) = A:  r random, T = A - H(c, r), s = r ^ H'(c, T)
//! ```
//!
//! (s, T) looks random whatever c is, if A does; and whoever fixes the value at one x has no say in that
//! at the others: T and s fix their arguments of H. H and the group are `ristretto`'s or `ml_kem`'s.
//!
//! Source: the Feistel POPF of `McQuoid`, Rosulek, Roy, "Minimal Symmetric PAKE and 1-out-of-N OT from
//! Programmable-Once Public Functions" (CCS 2020); batches with one key of the sender: their "Batching Base Oblivious
//! Transfers" (ASIACRYPT 2021).

use zeroize::Zeroize;

/// Bytes of s.
pub(super) const SALT_BYTES: usize = 48;
/// A salt, or an argument of H.
pub(super) type Salt = [u8; SALT_BYTES];

/// The labels of H and H' for one group.
pub(super) struct HashLabels {
    pub(super) hash: &'static str,
    pub(super) salt: &'static str,
}

/// Where a function is: of which run, and of which pair of OTs there.
#[derive(Clone, Copy)]
pub(super) struct At<'a> {
    pub(super) binding: &'a [u8; 32],
    pub(super) index: usize,
}

impl At<'_> {
    /// The stream that H hashes into the group.
    pub(super) fn hash(self, labels: &HashLabels, x: u8, argument: &Salt) -> blake3::OutputReader {
        self.oracle(labels.hash, x, argument)
    }

    /// H's argument at x from a salt, or the salt from the argument: `salt ^ H'(x, T)`.
    pub(super) fn salted(self, labels: &HashLabels, x: u8, element: &[u8], salt: &[u8]) -> Salt {
        let mut hashed = [0; SALT_BYTES];
        let mut stream = self.oracle(labels.salt, x, element);
        stream.fill(&mut hashed);
        stream.zeroize();
        hashed.iter_mut().zip(salt).for_each(|(a, b)| *a ^= b);
        hashed
    }

    fn oracle(self, label: &str, x: u8, message: &[u8]) -> blake3::OutputReader {
        let mut hasher = blake3::Hasher::new_derive_key(label);
        hasher.update(self.binding).update(&(self.index as u64).to_le_bytes());
        hasher.update(&[x]).update(message);
        let stream = hasher.finalize_xof();
        hasher.zeroize();
        stream
    }
}
