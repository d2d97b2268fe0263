//! A client that cheats in its secret's range, for tests of who catches it.

use super::{LayerSecret, Requested, ternary_secret};
use crate::error::HeError;
use crate::public_coin::coins::PublicCoins;
use crate::public_coin::parameters::Parameters;

impl LayerSecret {
    /// As [`request_of`](Self::request_of), of a client that cheats: its secret is three times the one that follows
    /// from `private`, so out of range.
    ///
    /// # Errors
    /// [`HeError::Caller`] if positions do not fit.
    pub fn request_of_stretched_secret(
        parameters: &Parameters,
        coins: &PublicCoins,
        first_index: u64,
        pinned: &[&[u32]],
        settle: &mut dyn FnMut(usize, &mut [u64]),
        private: &[u8; 32],
    ) -> Result<Requested, HeError> {
        let mut small = ternary_secret(parameters, private);
        small.iter_mut().for_each(|s| *s *= 3);
        let secret = (private, &small[..]);
        let mut made = Self::request_under(parameters, coins, first_index, pinned, settle, secret)?;
        made.secret.exact = true;
        Ok(made)
    }
}
