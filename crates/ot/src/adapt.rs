//! OT of messages, from correlated random OTs. Sums, products and ANDs of shares from random OTs are
//! `gazelle-convert`'s.
//!
//! [`random`] turns correlated OTs into random strings with the correlation-robust hash; the others
//! consume such strings, which can be made long before the inputs are known:
//!
//! | module | sender gives / gets | receiver gives / gets | bits on the wire per OT |
//! |---|---|---|---|
//! | [`random`] | – / `k0, k1` | – / `rho, k_rho` | 0 |
//! | [`chosen`] | `m0, m1` / – | `c` / `m_c` | 1 + 2 m l |
//! | [`one_of_n`] | `m_0 .. m_{N-1}` / – | `c < N` / `m_c` | log2 N + N m l |
//!
//! m is the length of the vectors, l the width of their words. Indices (tweaks) run over the whole
//! session; every string is used once: strings are consumed by value.

pub mod chosen;
mod hashing;
pub mod one_of_n;
pub mod random;
mod words;

pub use random::{ReceiverStrings, RotReceiver, RotSender, SenderStrings};
pub use words::WordShape;
