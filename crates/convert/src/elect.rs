//! Electing a winner: the client learns which of n values is the largest, from XOR shares of all
//! comparisons, and neither party learns more (protocol.md 5.6, all pairs).
//!
//! c of the pair (i, j), i < j, is `[x_i < x_j]`: row i loses, else row j does. Exactly one row
//! loses no comparison. ROT = ROT(S->C, w) per pair: k0, k1 and rho = k0 ^ k1; phi, k.
//!
//! | | client ([`ClientElect`]) | server ([`ServerElect`]) |
//! |---|---|---|
//! | offline | keeps phi, k | keeps k0, rho |
//! | opening 0 | `half`: h = `c_C` ^ phi, to S | `complete`: y = `c_S` ^ h = c ^ phi |
//! | rows | `rows`: XOR of k over the pairs of a row | `rows`: XOR over the pairs of a row of k0 ^ rho y (row i), k0 ^ rho (1 ^ y) (row j) |
//!
//! The two parties' rows XOR to `V_i`, the XOR of rho over the comparisons that row i lost: 0 for the
//! winner, uniform for every other row. S then sends its rows to C.
//!
//! Security. S sees h, one uniform bit per pair (phi is opened nowhere else). C sees the `V_i`: a
//! rho is in exactly one of them, so those of the losing rows are independent and uniform whoever
//! lost to whom, and S's rows are `V_i` XOR C's own. A losing row is 0 with probability 2^-w.
//!
//! Cost: n (n - 1) / 2 ROTs and bits from C; n w bits from S; nothing offline.

#![expect(clippy::indexing_slicing, reason = "pairs are enumerated from the number of rows")]

use gazelle_prg::Prg;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::operation::{Begun, Execution, Known, Operation, Rots};
use crate::planes::{Planes, bit, xor};
use crate::rot::{RotRecv, RotSend};

/// Width of the rows: a wrong second winner among up to 64 rows has probability under 2^-42.
const ROW_BITS: u32 = 48;

/// The pairs (i, j), i < j, of n rows, in the order of the lanes.
fn pairs(rows: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..rows).flat_map(move |i| (i + 1..rows).map(move |j| (i, j)))
}

/// The client of an election, single use.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct ClientElect {
    rows: usize,
    phi: Vec<u64>,
    k: Planes,
}

/// The server of an election, single use.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct ServerElect {
    rows: usize,
    k0: Planes,
    rho: Planes,
    /// c ^ phi, a plane.
    opened: Vec<u64>,
}

impl ClientElect {
    /// Offline: takes one position of as many lanes as there are pairs.
    pub(crate) fn begin(rows: usize, from_server: &mut RotRecv<'_>) -> Self {
        let (phi, k) = from_server.words(ROW_BITS);
        let k = Zeroizing::new(k);
        Self { rows, phi, k: Planes::from_words(&k, ROW_BITS) }
    }

    /// h, from this party's share of c: one plane.
    #[must_use]
    pub(crate) fn half(&self, c: &[u64]) -> Vec<u64> {
        xor(c, &self.phi)
    }

    /// This party's rows.
    #[must_use]
    pub(crate) fn rows(&self) -> Vec<u64> {
        let mut rows = vec![0; self.rows];
        let k = Zeroizing::new(self.k.to_words());
        for ((i, j), k) in pairs(self.rows).zip(k.iter()) {
            rows[i] ^= k;
            rows[j] ^= k;
        }
        rows
    }
}

impl ServerElect {
    /// Offline: takes one position of as many lanes as there are pairs.
    pub(crate) fn begin(rows: usize, to_client: &mut RotSend<'_>) -> Self {
        let (k0, mut rho) = to_client.words(ROW_BITS);
        rho.iter_mut().zip(&k0).for_each(|(rho, k0)| *rho ^= k0);
        let (k0, rho) = (Zeroizing::new(k0), Zeroizing::new(rho));
        Self {
            rows,
            k0: Planes::from_words(&k0, ROW_BITS),
            rho: Planes::from_words(&rho, ROW_BITS),
            opened: Vec::new(),
        }
    }

    /// Takes h, with this party's share of c.
    pub(crate) fn complete(&mut self, c: &[u64], h: &[u64]) {
        self.opened = xor(c, h);
    }

    /// This party's rows, for C.
    #[must_use]
    pub(crate) fn rows(&self) -> Vec<u64> {
        let mut rows = vec![0; self.rows];
        let (k0, rho) = (Zeroizing::new(self.k0.to_words()), Zeroizing::new(self.rho.to_words()));
        for (lane, (i, j)) in pairs(self.rows).enumerate() {
            let all = bit(&self.opened, lane).wrapping_neg();
            rows[i] ^= k0[lane] ^ (rho[lane] & all);
            rows[j] ^= k0[lane] ^ (rho[lane] & !all);
        }
        rows
    }
}

/// From shares of all comparisons of `rows` values, as bits, XOR shares of each row's verdict: 0 for
/// the winner, uniform for the others.
#[derive(Debug, Clone)]
pub struct Elect {
    /// How many values.
    pub rows: usize,
}

impl Elect {
    /// The pairs (i, j), i < j, of n rows, in the order of the lanes.
    pub fn pairs(rows: usize) -> impl Iterator<Item = (usize, usize)> {
        pairs(rows)
    }

    /// The winner: the only verdict that is 0; `None` if there is none or more than one.
    pub fn winner(verdicts: &[u64]) -> Option<usize> {
        let mut zeros = verdicts.iter().enumerate().filter(|(_, row)| **row == 0);
        match (zeros.next(), zeros.next()) {
            (Some((index, _)), None) => Some(index),
            _ => None,
        }
    }
}

impl Operation for Elect {
    fn operand_bits(&self) -> u32 {
        1
    }
    fn result_bits(&self) -> u32 {
        ROW_BITS
    }
    fn results(&self, _: usize) -> usize {
        self.rows
    }
    fn planes(&self, _: usize) -> (usize, usize) {
        (0, 1)
    }
    fn rots(&self) -> (usize, usize) {
        (1, 0)
    }
    fn client(&self, rots: &mut Rots<'_>, _: Known<'_>) -> Begun {
        let elect = ClientElect::begin(self.rows, &mut rots.recv);
        Begun::silent(ElectExecution { elect, c: Planes::default() })
    }
    fn server(&self, rots: &mut Rots<'_>, _: &mut Prg) -> Begun {
        let elect = ServerElect::begin(self.rows, &mut rots.send);
        Begun::silent(ElectExecution { elect, c: Planes::default() })
    }
}

struct ElectExecution<E> {
    elect: E,
    /// This party's share of the comparisons, one plane.
    c: Planes,
}

impl Execution for ElectExecution<ClientElect> {
    fn start(&mut self, mut x: Vec<u64>) {
        self.c = Planes::from_words(&x, 1);
        x.zeroize();
    }
    fn half(&mut self, _: usize) -> Planes {
        Planes::of(self.c.lanes(), &[&self.elect.half(self.c.plane(0))])
    }
    fn result(&mut self) -> Vec<u64> {
        self.elect.rows()
    }
}

impl Execution for ElectExecution<ServerElect> {
    fn start(&mut self, mut x: Vec<u64>) {
        self.c = Planes::from_words(&x, 1);
        x.zeroize();
    }
    fn complete(&mut self, _: usize, peer: &Planes) {
        self.elect.complete(self.c.plane(0), peer.plane(0));
    }
    fn result(&mut self) -> Vec<u64> {
        self.elect.rows()
    }
}

#[cfg(test)]
/// The ideal version: what C ends with, 0 for the row that loses no comparison and the dealer's
/// `coins` for the others. Insecure: it sees every comparison.
pub(crate) fn ideal(rows: usize, comparisons: &[bool], coins: &[u64]) -> Vec<u64> {
    let mut lost = vec![false; rows];
    for ((i, j), c) in pairs(rows).zip(comparisons) {
        lost[if *c { i } else { j }] = true;
    }
    let coins = coins.iter().map(|coin| coin & ((1 << ROW_BITS) - 1));
    lost.iter().zip(coins).map(|(lost, coin)| if *lost { coin } else { 0 }).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::testing::Dealt;

    /// All orders of `rows` values, as comparisons.
    fn orders(rows: usize) -> Vec<Vec<bool>> {
        let mut all = std::collections::BTreeSet::new();
        let mut values = vec![0; rows];
        for code in 0..rows.pow(rows as u32) {
            for (i, value) in values.iter_mut().enumerate() {
                *value = code / rows.pow(i as u32) % rows;
            }
            all.insert(pairs(rows).map(|(i, j)| values[i] < values[j]).collect::<Vec<_>>());
        }
        all.into_iter().collect()
    }

    fn plane(bits: impl Iterator<Item = bool>) -> Vec<u64> {
        let bits: Vec<bool> = bits.collect();
        let pack = |chunk: &[bool]| chunk.iter().rev().fold(0, |w, b| w << 1 | u64::from(*b));
        bits.chunks(64).map(pack).collect()
    }

    #[test]
    fn conformance_every_order_of_four_values_and_random_ones_of_more_elects_the_ideal_winner() {
        let mut cases: Vec<(usize, Vec<bool>)> =
            orders(4).into_iter().map(|order| (4, order)).collect();
        for rows in [1, 2, 10, 33, 64] {
            let values: Vec<u64> =
                (0..rows as u64).map(|i| i.wrapping_mul(7919) % 61 % 17).collect();
            cases.push((rows, pairs(rows).map(|(i, j)| values[i] < values[j]).collect()));
        }
        for (seed, (rows, comparisons)) in cases.iter().enumerate() {
            let lanes = comparisons.len();
            let dealt = Dealt::new(seed as u64, lanes);
            let client = ClientElect::begin(*rows, &mut dealt.recv(lanes));
            let mut server = ServerElect::begin(*rows, &mut dealt.send(lanes));
            // Shares of the comparisons: the client's are arbitrary.
            let own = plane((0..lanes).map(|lane| (lane * 5 + seed) % 3 == 0));
            let other: Vec<u64> =
                plane(comparisons.iter().copied()).iter().zip(&own).map(|(c, o)| c ^ o).collect();
            server.complete(&other, &client.half(&own));
            let mine = client.rows();
            let rows_seen: Vec<u64> = server.rows().iter().zip(&mine).map(|(a, b)| a ^ b).collect();
            assert_eq!(rows_seen, ideal(*rows, comparisons, &rows_seen));
            assert_eq!(
                Elect::winner(&rows_seen),
                Elect::winner(&ideal(*rows, comparisons, &vec![1; *rows]))
            );
            assert!(Elect::winner(&rows_seen).is_some());
        }
    }

    /// Each party's view over all coins (one-bit strings) is the same whatever the comparisons and
    /// the other's shares are, as long as the winner is.
    #[test]
    fn transcript_views_over_all_coins_depend_on_the_winner_alone() {
        let rows = 3;
        let mut client_views: BTreeMap<usize, BTreeMap<Vec<u64>, usize>> = BTreeMap::new();
        let mut server_views: BTreeMap<u64, usize> = BTreeMap::new();
        for comparisons in orders(rows) {
            let mut views: BTreeMap<Vec<u64>, usize> = BTreeMap::new();
            let mut seen: BTreeMap<u64, usize> = BTreeMap::new();
            for own in 0..8u64 {
                for coins in 0..1u64 << 9 {
                    let (phi, k0, rho) = (coins & 7, coins >> 3 & 7, coins >> 6);
                    let words =
                        |plane: u64| -> Vec<u64> { (0..3).map(|i| plane >> i & 1).collect() };
                    let k = Planes::from_words(&words(k0 ^ (phi & rho)), 1);
                    let client = ClientElect { rows, phi: vec![phi], k };
                    let mut server = ServerElect {
                        rows,
                        k0: Planes::from_words(&words(k0), 1),
                        rho: Planes::from_words(&words(rho), 1),
                        opened: Vec::new(),
                    };
                    let other = plane(comparisons.iter().copied())[0] ^ own;
                    let h = client.half(&[own]);
                    server.complete(&[other], &h);
                    // The client's view: its share, its coins, the server's rows.
                    let mut view = vec![own, phi, client.rows()[0], k0 ^ (phi & rho)];
                    view.extend(server.rows());
                    *views.entry(view).or_default() += 1;
                    // The server's, for its share 0 and one k0: the bits it receives.
                    if other == 0 && k0 == 0 && rho == 5 {
                        *seen.entry(h[0] & 7).or_default() += 1;
                    }
                }
            }
            let won = Elect::winner(&ideal(rows, &comparisons, &[1; 3])).unwrap();
            let known = client_views.entry(won).or_insert_with(|| views.clone());
            assert!(*known == views, "the client's view depends on {comparisons:?}");
            if server_views.is_empty() {
                server_views = seen.clone();
            }
            assert_eq!((seen.len(), &seen), (8, &server_views));
        }
        assert_eq!(client_views.len(), 3);
    }
}
