//! The carry of the sum of two numbers, as XOR shares: the comparison behind every operation
//! (protocol.md 5.2, 5.8).
//!
//! `s` is the server's number and `c` the client's, n bits each. The carry out of their sum comes
//! from a binary tree of pairs (g, p) o (g', p') = (g ^ p g', p p') over two-bit leaves; g is the
//! carry that a block makes, p whether it passes one on.
//!
//! | | client ([`ClientCarry`]) | server ([`ServerCarry`]) |
//! |---|---|---|
//! | offline | `begin`: choice corrections d, to S | `begin`: t1..t4 per leaf, to C |
//! | | `correct` with t1..t4 | `correct` with d |
//! | opening 0 | `complete` (if its number is only known online it sends e = c ^ rho) | `half`: m = s ^ lambda |
//! | openings 1..=L | `half`, `complete`: p ^ al, g' ^ be, p' ^ ga | the same |
//! | | `g`: its share of the carry; `p`, if the tree keeps it | the same |
//!
//! Cost per element, m = ceil(n / 2) leaves, L = ceil(log2 m): online n + 6 (m - 1) - 2 L bits (2 L
//! more if p is kept: then the lowest merges open p' too), n more if the client's number is an online
//! value; offline 2 bits from C and 4 from S per two-bit leaf (1 and 0 for a one-bit leaf; none from C
//! if its number comes online); ROTs 2 per two-bit leaf, 1 per one-bit leaf, and m - 1, from S to C;
//! m - 1 from C to S.
//!
//! A two-bit leaf takes R1, R2 = ROT(S->C, 3), whose choices C corrects to c0 and c1, and `k0, k1`,
//! delta = k0 ^ k1 at S: l0 = delta1\[0\], l1 = delta1\[1\];
//!
//! | | product | correction by S |
//! |---|---|---|
//! | R1 | l0 c0; l1 c0; l1 l0 c0 | none; none; t1 = delta1\[2\] ^ l1 l0 |
//! | R2 | l1 c1; l0 c1; k0\[0\] c1, k0 being R1's | t2 = delta2\[0\] ^ l1; t3 = delta2\[1\] ^ l0; t4 = delta2\[2\] ^ k0\[0\] |
//!
//! The sixth product is l0 c0 c1 = c1 k0\[0\] ^ c1 k\[0\] ^ d1 (l0 c1), k being the string that C has
//! of R1 and d1 = c0 ^ rho1 the public correction. Each of t1..t4 and the two openings is padded by a bit of delta
//! of its own.

mod client;
mod server;
#[cfg(test)]
mod tests;
mod tree;

pub(crate) use client::ClientCarry;
pub(crate) use server::ServerCarry;
pub(crate) use tree::{CarryPart, CarryTree};
