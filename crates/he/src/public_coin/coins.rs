//! The public seed of a linear setup and its expansion to the `a_i` and `pa` (docs/protocol.md, 3.1).
//!
//! It follows from 32 bytes that neither party chose alone, which the caller has of the session's
//! handshake: the client committed to its part before the server said its own, and opened it after.

use gazelle_prg::sample;
use gazelle_ring::Polys;
use rayon::prelude::*;

use crate::public_coin::expand::{CoinKind, derive, first_stream};
use crate::public_coin::parameters::Parameters;

/// The public seed of one client and model, from which both parties expand the uniform
/// polynomials. Nothing in it is secret; neither party chose it alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicCoins {
    seed: [u8; 32],
}

impl PublicCoins {
    /// What both parties keep of the choice beyond a session: 32 public bytes.
    pub fn to_bytes(&self) -> [u8; 32] {
        self.seed
    }

    /// A choice that was [kept](Self::to_bytes).
    pub fn kept(seed: [u8; 32]) -> Self {
        Self { seed }
    }

    /// The coins of a linear setup. `joint`: 32 bytes of this setup alone that neither party chose, bound
    /// to plan and model, such as a hash of a session's joint coin (the handshake's) and all of that.
    pub fn from_joint(joint: &[u8; 32]) -> Self {
        Self { seed: blake3::derive_key("gazelle-he 2026 public seed of a setup", joint) }
    }

    /// The request polynomials `a_first .. a_{first + count}`, uniform below `2^{l+k}`. Indices run
    /// over the whole plan: every request polynomial of every group has its own.
    pub(crate) fn request_polynomials(
        &self,
        parameters: &Parameters,
        first: u64,
        count: usize,
    ) -> Polys {
        let mut polys = Polys::zeros(parameters.degree(), count);
        polys.par_iter_mut().enumerate().for_each(|(i, poly)| {
            let index = first.wrapping_add(i as u64);
            self.expand(parameters, CoinKind::RequestPolynomial, index, poly);
        });
        polys
    }

    /// The key polynomial `pa`, uniform below `2^{l+k}`.
    pub(crate) fn key_polynomial(&self, parameters: &Parameters) -> Polys {
        let mut polys = Polys::zeros(parameters.degree(), 1);
        self.expand(parameters, CoinKind::KeyPolynomial, 0, polys.words_mut());
        polys
    }

    /// What other hashes bind to.
    pub(crate) fn seed(&self) -> &[u8; 32] {
        &self.seed
    }

    /// Separated by kind, N, log2 q and index.
    fn expand(&self, parameters: &Parameters, kind: CoinKind, index: u64, out: &mut [u64]) {
        let bits = parameters.modulus_bits();
        let numbers = [parameters.degree() as u64, u64::from(bits), index];
        sample::uniform(&mut first_stream(&derive(&self.seed, kind, &numbers)), bits, out);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn coins(tag: u8) -> PublicCoins {
        PublicCoins::from_joint(&[tag; 32])
    }

    #[test]
    fn polynomials_are_uniform_and_distinct_by_index_degree_modulus_and_kind() {
        let narrow = Parameters::new(2048, 30, 18, 6, 10).unwrap();
        let wider = Parameters::new(2048, 31, 18, 6, 10).unwrap();
        let longer = Parameters::new(4096, 30, 18, 6, 10).unwrap();
        // The same modulus with another split into l and k is the same ring.
        let split = Parameters::new(2048, 29, 19, 3, 9).unwrap();
        let coins = coins(1);
        let a = coins.request_polynomials(&narrow, 5, 3);
        let tail = coins.request_polynomials(&narrow, 6, 2);
        assert_eq!(a.poly(1), tail.poly(0));
        assert_eq!(a, coins.request_polynomials(&split, 5, 3));
        let low = |words: &[u64]| words.iter().take(2048).map(|w| w & 0xffff).collect::<Vec<_>>();
        let all = [
            low(a.poly(0)),
            low(a.poly(1)),
            low(a.poly(2)),
            low(coins.request_polynomials(&wider, 5, 1).poly(0)),
            low(coins.request_polynomials(&longer, 5, 1).poly(0)),
            low(coins.key_polynomial(&narrow).poly(0)),
            low(tests::coins(2).request_polynomials(&narrow, 5, 1).poly(0)),
        ];
        for (i, x) in all.iter().enumerate() {
            assert!(all.iter().skip(i + 1).all(|y| x != y));
        }
        assert!(a.words().iter().all(|word| word >> 48 == 0));
        let ones: u32 = a.words().iter().map(|word| word.count_ones()).sum();
        let expected = 3.0 * 2048.0 * 24.0;
        assert!((f64::from(ones) - expected).abs() < 6.0 * (expected / 2.0).sqrt());
    }
}
