//! The uniform `c0'` of one group and inference (docs/protocol.md, 3.4).

use gazelle_prg::sample;

use crate::public_coin::coins::PublicCoins;
use crate::public_coin::expand::{CoinKind, derive, first_stream};
use crate::public_coin::message::ReshareMessage;
use crate::public_coin::parameters::Parameters;

/// The seed of `c0'`: H(coins, inference, request digest, server's nonce). Public; fixed only after
/// the request was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reshare {
    seed: [u8; 32],
}

impl Reshare {
    /// What both parties derive once the server's nonce is out.
    pub(crate) fn new(
        coins: &PublicCoins,
        inference: u64,
        request: &[u8; 32],
        message: &ReshareMessage,
    ) -> Self {
        let mut hasher = blake3::Hasher::new_keyed(coins.seed());
        hasher.update(&[CoinKind::Reshare as u8]);
        hasher.update(&inference.to_le_bytes()).update(request).update(&message.nonce);
        Self { seed: *hasher.finalize().as_bytes() }
    }

    /// `c0'_m` at the useful coefficients, in their order: uniform below `2^{l+k}`.
    pub(crate) fn words(&self, parameters: &Parameters, m: usize, out: &mut [u64]) {
        let mut prg = first_stream(&derive(&self.seed, CoinKind::ResharePolynomial, &[m as u64]));
        sample::uniform(&mut prg, parameters.modulus_bits(), out);
    }
}

/// `u = (c >> (k - g)) mod 2^{l+g}` of `c = c0' + c1 s`, any representative mod 2^64.
pub(super) fn client_share(p: &Parameters, c: u64) -> u64 {
    c >> p.share_shift() & ((1 << p.share_bits()) - 1)
}

/// `v = -(rho >> (k - g)) mod 2^{l+g}` of `rho = c0' - c0 - F`, any representative mod 2^64.
pub(super) fn server_share(p: &Parameters, rho: u64) -> u64 {
    (rho >> p.share_shift()).wrapping_neg() & ((1 << p.share_bits()) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `(u + v - 2^g y) mod 2^{l+g}`, signed, where the ciphertexts add up to `2^k y + noise`.
    fn error(p: &Parameters, rho: u64, y: u64, noise: i64) -> i64 {
        let c = rho.wrapping_add(y << p.noise_bits()).wrapping_add(noise as u64);
        let unused = 64 - p.share_bits();
        let sum = client_share(p, c).wrapping_add(server_share(p, rho));
        (sum.wrapping_sub(y << p.guard_bits()) << unused) as i64 >> unused
    }

    #[test]
    fn errors_stay_within_the_limit_up_to_the_edge_and_not_beyond() {
        for (g, limit) in [(2, 1i64), (3, 3), (3, 1), (4, 7), (4, 3)] {
            let p = Parameters::new(2048, 2, 12, 12, 0).unwrap().with_guard_bits(g).unwrap();
            let room = limit << p.share_shift();
            let (mut within, mut beyond) = (0, 0);
            // All low parts and all wraps of rho, at both edges and around zero.
            for rho in 0..1u64 << p.modulus_bits() {
                for noise in [-room, 1 - room, -1, 0, 1, room - 1, room] {
                    let e = error(&p, rho, rho % 3, noise);
                    within = within.max(e.abs());
                    // What the truncation makes of it: the value, exactly.
                    assert_eq!((e + (1 << (g - 1))) >> g, 0);
                }
                beyond = beyond.max(error(&p, rho, 1, room + 1).abs());
                beyond = beyond.max(error(&p, rho, 1, -room - 1).abs());
            }
            assert_eq!((within, beyond), (limit, limit + 1), "g = {g}");
        }
    }

    #[test]
    fn without_guard_bits_even_a_noise_of_one_may_round_the_value() {
        let p = Parameters::new(2048, 2, 12, 12, 0).unwrap();
        let errors = (0..1u64 << 14).map(|rho| error(&p, rho, 1, 1));
        assert_eq!(errors.filter(|e| *e == 1).count(), 4, "one low part of 2^12");
    }
}
