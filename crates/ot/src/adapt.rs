//! Every other flavour of OT, from correlated random OTs.
//!
//! [`random`] turns correlated OTs into random strings with the correlation-robust hash; the others
//! consume such strings, which can be made long before the inputs are known:
//!
//! | module | sender gives / gets | receiver gives / gets | bits on the wire per OT |
//! |---|---|---|---|
//! | [`random`] | – / `k0, k1` | – / `rho, k_rho` | 0 |
//! | [`chosen`] | `m0, m1` / – | `c` / `m_c` | 1 + 2 m l |
//! | [`correlated`] | `x` / `r` | `c` / `r + c x` mod 2^l | 1 + m l (random choice: m l) |
//! | [`product`] | `x` / `u` | `c` / `v`, `u + v = c x` mod 2^l | 1 + m l |
//! | [`one_of_n`] | `m_0 .. m_{N-1}` / – | `c < N` / `m_c` | log2 N + N m l |
//! | [`triples`] | `a, b, c` | `a', b', c'`, `(a^a')(b^b') = c^c'` | 0 |
//!
//! m is the length of the vectors, l the width of their words. Indices (tweaks) run over the whole
//! session; every string is used once: strings are consumed by value.

pub mod chosen;
pub mod correlated;
mod hashing;
pub mod one_of_n;
pub mod product;
pub mod random;
pub mod triples;
mod words;

pub use random::{ReceiverStrings, RotReceiver, RotSender, SenderStrings};
pub use words::WordShape;
