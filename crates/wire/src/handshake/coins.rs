//! The joint coin of a session: 32 bytes that neither party chose.
//!
//! | client | server |
//! |---|---|
//! | hello: `H(n_C)` -> | |
//! | | <- answer: `n_S` |
//! | confirmation: `n_C` -> | compares with the hello |
//!
//! coin = `H(n_C, n_S)`. The server fixes its nonce before it sees the client's, the client before it sees
//! the server's: neither chooses, and who does not like the coin can only leave. It costs no message.

/// Label of the commitment.
const COMMITMENT: &str = "gazelle-wire 2026 commitment to the client's nonce";
/// Label of the coin.
const COIN: &str = "gazelle-wire 2026 joint coin of a session";

/// What the client says of its nonce first.
pub(super) fn commitment(client: &[u8; 32]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key(COMMITMENT);
    hasher.update(client);
    *hasher.finalize().as_bytes()
}

/// The coin.
pub(super) fn joint(client: &[u8; 32], server: &[u8; 32]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key(COIN);
    hasher.update(client).update(server);
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_the_coin_depends_on_both_nonces_and_their_order() {
        let coins = [
            joint(&[1; 32], &[2; 32]),
            joint(&[3; 32], &[2; 32]),
            joint(&[1; 32], &[3; 32]),
            joint(&[2; 32], &[1; 32]),
            commitment(&[1; 32]),
            commitment(&[2; 32]),
        ];
        for (i, coin) in coins.iter().enumerate() {
            assert!(!coins[i + 1..].contains(coin));
        }
    }
}
