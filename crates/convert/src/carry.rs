//! The carry of the sum of two numbers, as XOR shares: the comparison behind every operation
//! (protocol.md 5.2, 5.8).
//!
//! `s` is the server's number and `c` the client's, n bits each. The carry out of their sum comes
//! from a binary tree of pairs (g, p) o (g', p') = (g ^ p g', p p') over two-bit leaves and bare bits
//! ([`shape`] says which); g is the carry that a block makes, p whether it passes one on. A bare bit is
//! only merged with what lies below it: p = s ^ c, and with g ^ p g' = c ^ p (c ^ g') no g is needed.
//!
//! | | client ([`ClientCarry`]) | server ([`ServerCarry`]) |
//! |---|---|---|
//! | offline | `begin`: choice corrections d, to S | `begin`: t1..t4 per leaf, to C |
//! | | `correct` with t1..t4 | `correct` with d |
//! | opening 0 | `complete` (if its number is only known online it sends e = c ^ rho) | `half`: m = s ^ lambda |
//! | openings 1..=L | `half`, `complete`: p ^ al, g' ^ be (above it a bare bit: g' ^ c ^ be), p' ^ ga | the same |
//! | | `g`: its share of the carry; `p`, if the tree keeps it | the same |
//!
//! Cost per element: online 2 bits per two-bit leaf (4 if the client's number is an online value), 6 per
//! merge, 4 where p' is not wanted; offline 2 bits from C (none if its number comes online) and 4 from S
//! per two-bit leaf; ROTs 2 per two-bit leaf and one per merge from S to C, one per merge from C to S. A
//! number of one bit has a leaf of one bit: 1 bit online, 1 from C offline, 1 ROT.
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
pub(crate) mod shape;
#[cfg(test)]
mod tests;
mod tree;

pub(crate) use client::ClientCarry;
pub(crate) use server::ServerCarry;
pub(crate) use tree::{CarryPart, CarryTree};
