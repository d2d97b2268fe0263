//! The election of docs/protocol.md 5.6: of three values, with rows of one bit.

use super::world::Party::{Client, Server};
use super::world::{World, bit};

/// The pairs (i, j), in the order of the bits of the comparisons `[x_i < x_j]`.
const PAIRS: [(u32, u32); 3] = [(0, 1), (0, 2), (1, 2)];

/// The value that loses no comparison, if the comparisons are those of an order.
pub(super) fn winner(comparisons: u64) -> Option<u32> {
    let lost = |row| {
        PAIRS.iter().zip(0..).any(|(&(i, j), at)| {
            let less = bit(comparisons, at) == 1;
            (less && i == row) || (!less && j == row)
        })
    };
    (0..3).find(|&row| !lost(row))
}

/// The rows that the client ends with, from XOR shares of the comparisons: 0 for the winner.
pub(super) fn elect(world: &mut World, client: u64, server: u64) -> u64 {
    let (mut rows, mut own) = (0u64, 0u64);
    for (&(i, j), at) in PAIRS.iter().zip(0..) {
        let r = world.rot(Server, 1);
        let rho = r.delta(0);
        let h = world.send(Client, bit(client, at) ^ r.rho, 1);
        let less = bit(server, at) ^ h;
        rows ^= (r.k0 ^ (rho & less)) << i ^ (r.k0 ^ (rho & (1 ^ less))) << j;
        own ^= r.k << i ^ r.k << j;
    }
    world.send(Server, rows, 3) ^ own
}
