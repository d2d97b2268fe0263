//! Random OT strings, position by position, from correlated OTs (protocol.md 7).
//!
//! `ROT(X->Y, w)`: X gets k0, k1 of w bits; Y gets a random bit rho and k = `k_rho`.
//!
//! | sender X ([`RotSend`]) | receiver Y ([`RotRecv`]) |
//! |---|---|
//! | k0 = H(y; i), k1 = H(y ^ Delta; i) | rho = b, k = H(z; i) |
//!
//! A chunk of `lanes` elements uses one OT per element and position; the OTs of a position lie side
//! by side, and so do their tweaks i. Strings are low bits of H, never of y or z.

use gazelle_block::hash::HashSeed;
use gazelle_block::{BitVec, Block};
use zeroize::{Zeroize, Zeroizing};

use crate::planes::Planes;

/// What one party's random OTs of a chunk gave, plane by plane in the order in which they were taken: enough
/// to begin the same operations again without the OTs.
pub struct RotLog {
    sent: Zeroizing<Vec<u64>>,
    received: Zeroizing<Vec<u64>>,
}

impl RotLog {
    /// From both [`parts`](Self::parts).
    pub fn new([sent, received]: [Zeroizing<Vec<u64>>; 2]) -> Self {
        Self { sent, received }
    }

    /// Of the OTs in which this party is the sender, then of the others.
    pub fn parts(&self) -> [&[u64]; 2] {
        [&self.sent, &self.received]
    }
}

/// Where strings come from.
enum Origin<'a, O> {
    /// From correlated OTs; what was taken is put down if there is a list.
    Made(O, Option<Vec<Planes>>),
    /// From a log.
    Kept(Kept<'a>),
}

/// The rest of a log.
pub(crate) struct Kept<'a> {
    words: &'a [u64],
    /// It had too few.
    short: bool,
}

impl<'a> Kept<'a> {
    pub(crate) fn new(words: &'a [u64]) -> Self {
        Self { words, short: false }
    }

    /// The next planes; zeros if there are none, which [`is_spent`](Self::is_spent) tells.
    fn take(&mut self, lanes: usize, count: usize) -> Planes {
        let mut planes = Planes::zeros(lanes, count);
        let length = planes.words_mut().len();
        match self.words.split_at_checked(length) {
            Some((now, later)) => {
                planes.words_mut().copy_from_slice(now);
                self.words = later;
            }
            None => self.short = true,
        }
        planes
    }

    /// Whether it was as long as what was taken.
    pub(crate) fn is_spent(&self) -> bool {
        self.words.is_empty() && !self.short
    }
}

/// Puts planes down. They are kept one by one: a vector of words that grows leaves them behind.
fn note(log: &mut Option<Vec<Planes>>, planes: &[&Planes]) {
    if let Some(log) = log {
        log.extend(planes.iter().map(|planes| (*planes).clone()));
    }
}

/// All planes of a log in one vector.
fn joined(log: Option<Vec<Planes>>) -> Option<Zeroizing<Vec<u64>>> {
    let log = log?;
    let length = log.iter().map(|planes| planes.words().len()).sum();
    let mut words = Zeroizing::new(Vec::with_capacity(length));
    for planes in &log {
        words.extend_from_slice(planes.words());
    }
    Some(words)
}

/// The sender's strings of one chunk.
pub(crate) struct RotSend<'a> {
    origin: Origin<'a, SentStrings<'a>>,
    lanes: usize,
}

struct SentStrings<'a> {
    hash: &'a HashSeed,
    tweak: u64,
    y: &'a [Block],
    delta: Block,
    buffers: [Vec<u64>; 2],
}

/// The receiver's choices and strings of one chunk.
pub(crate) struct RotRecv<'a> {
    origin: Origin<'a, ReceivedStrings<'a>>,
    lanes: usize,
}

struct ReceivedStrings<'a> {
    hash: &'a HashSeed,
    tweak: u64,
    z: &'a [Block],
    choices: &'a BitVec,
    offset: usize,
    buffer: Vec<u64>,
}

impl<'a> RotSend<'a> {
    /// Strings from `y`, whose i-th OT has tweak `tweak + i`.
    pub(crate) fn new(hash: &'a HashSeed, tweak: u64, y: &'a [Block], delta: Block) -> Self {
        let sent = SentStrings { hash, tweak, y, delta, buffers: Default::default() };
        Self { origin: Origin::Made(sent, None), lanes: 0 }
    }

    /// Strings that were put down.
    pub(crate) fn kept(kept: Kept<'a>) -> Self {
        Self { origin: Origin::Kept(kept), lanes: 0 }
    }

    /// Puts down what is taken from now on.
    pub(crate) fn record(&mut self) {
        if let Origin::Made(_, log) = &mut self.origin {
            *log = Some(Vec::new());
        }
    }

    /// What was put down.
    pub(crate) fn into_log(mut self) -> Option<Zeroizing<Vec<u64>>> {
        match &mut self.origin {
            Origin::Made(_, log) => joined(log.take()),
            Origin::Kept(_) => None,
        }
    }

    /// Whether a log was taken to its end.
    pub(crate) fn is_spent(&self) -> bool {
        matches!(&self.origin, Origin::Kept(kept) if kept.is_spent())
    }

    /// Sets the number of elements of the positions that follow.
    pub(crate) fn set_lanes(&mut self, lanes: usize) {
        self.lanes = lanes;
        if let Origin::Made(sent, _) = &mut self.origin {
            for buffer in &mut sent.buffers {
                // A vector that grows leaves its words behind.
                buffer.zeroize();
                buffer.resize(lanes, 0);
            }
        }
    }

    /// The next position: `(k0, k0 ^ k1)` as `width` (at most 8) planes each.
    pub(crate) fn bits(&mut self, width: usize) -> (Planes, Planes) {
        match &mut self.origin {
            Origin::Made(sent, log) => {
                sent.next(self.lanes);
                let [k0, k1] = &mut sent.buffers;
                k1.iter_mut().zip(&*k0).for_each(|(delta, k0)| *delta ^= k0);
                let planes = (low_planes(sent.hash, k0, width), low_planes(sent.hash, k1, width));
                note(log, &[&planes.0, &planes.1]);
                planes
            }
            Origin::Kept(kept) => (kept.take(self.lanes, width), kept.take(self.lanes, width)),
        }
    }

    /// The next position: `(k0, k1)` as words of which the lowest `bits` count, 1 to 64; the others are any.
    pub(crate) fn words(&mut self, bits: u32) -> (Vec<u64>, Vec<u64>) {
        match &mut self.origin {
            Origin::Made(sent, log) => {
                sent.next(self.lanes);
                let [k0, k1] = &sent.buffers;
                if log.is_some() {
                    note(log, &[&Planes::from_words(k0, bits), &Planes::from_words(k1, bits)]);
                }
                (k0.clone(), k1.clone())
            }
            Origin::Kept(kept) => {
                let mut next = || kept.take(self.lanes, bits as usize).to_words();
                (next(), next())
            }
        }
    }
}

impl SentStrings<'_> {
    fn next(&mut self, lanes: usize) {
        let (now, later) = self.y.split_at(lanes);
        self.y = later;
        let [k0, k1] = &mut self.buffers;
        self.hash.low_words_of_both(self.tweak, now, self.delta, k0, k1);
        self.tweak += lanes as u64;
    }
}

impl Drop for SentStrings<'_> {
    fn drop(&mut self) {
        self.buffers.zeroize();
        self.delta.zeroize();
    }
}

impl<'a> RotRecv<'a> {
    /// Strings from `z`, whose i-th OT has tweak `tweak + i` and choice bit `choices[i]`.
    pub(crate) fn new(hash: &'a HashSeed, tweak: u64, z: &'a [Block], choices: &'a BitVec) -> Self {
        let received = ReceivedStrings { hash, tweak, z, choices, offset: 0, buffer: Vec::new() };
        Self { origin: Origin::Made(received, None), lanes: 0 }
    }

    /// As [`RotSend::kept`].
    pub(crate) fn kept(kept: Kept<'a>) -> Self {
        Self { origin: Origin::Kept(kept), lanes: 0 }
    }

    /// As [`RotSend::record`].
    pub(crate) fn record(&mut self) {
        if let Origin::Made(_, log) = &mut self.origin {
            *log = Some(Vec::new());
        }
    }

    /// As [`RotSend::into_log`].
    pub(crate) fn into_log(mut self) -> Option<Zeroizing<Vec<u64>>> {
        match &mut self.origin {
            Origin::Made(_, log) => joined(log.take()),
            Origin::Kept(_) => None,
        }
    }

    /// Whether all have been taken.
    pub(crate) fn is_spent(&self) -> bool {
        match &self.origin {
            Origin::Made(received, _) => received.z.is_empty(),
            Origin::Kept(kept) => kept.is_spent(),
        }
    }

    /// Sets the number of elements of the positions that follow.
    pub(crate) fn set_lanes(&mut self, lanes: usize) {
        self.lanes = lanes;
        if let Origin::Made(received, _) = &mut self.origin {
            received.buffer.zeroize();
            received.buffer.resize(lanes, 0);
        }
    }

    /// The next position: the plane of choices, and k as `width` (at most 8) planes.
    pub(crate) fn bits(&mut self, width: usize) -> (Vec<u64>, Planes) {
        match &mut self.origin {
            Origin::Made(received, log) => {
                let choices = received.next(self.lanes);
                let planes = low_planes(received.hash, &received.buffer, width);
                if log.is_some() {
                    note(log, &[&Planes::of(self.lanes, &[&choices]), &planes]);
                }
                (choices, planes)
            }
            Origin::Kept(kept) => {
                let choices = kept.take(self.lanes, 1).plane(0).to_vec();
                (choices, kept.take(self.lanes, width))
            }
        }
    }

    /// The next position: the plane of choices, and k as words of which the lowest `bits` count.
    pub(crate) fn words(&mut self, bits: u32) -> (Vec<u64>, Vec<u64>) {
        match &mut self.origin {
            Origin::Made(received, log) => {
                let choices = received.next(self.lanes);
                if log.is_some() {
                    let k = Planes::from_words(&received.buffer, bits);
                    note(log, &[&Planes::of(self.lanes, &[&choices]), &k]);
                }
                (choices, received.buffer.clone())
            }
            Origin::Kept(kept) => {
                let choices = kept.take(self.lanes, 1).plane(0).to_vec();
                (choices, kept.take(self.lanes, bits as usize).to_words())
            }
        }
    }
}

impl ReceivedStrings<'_> {
    fn next(&mut self, lanes: usize) -> Vec<u64> {
        let (now, later) = self.z.split_at(lanes);
        self.z = later;
        self.hash.low_words(self.tweak, now, &mut self.buffer);
        self.tweak += lanes as u64;
        let choices = self.choices.slice(self.offset, lanes).words().to_vec();
        self.offset += lanes;
        choices
    }
}

impl Drop for ReceivedStrings<'_> {
    fn drop(&mut self) {
        self.buffer.zeroize();
    }
}

/// The low `width` bits (at most 8) of each word as planes.
fn low_planes(hash: &HashSeed, words: &[u64], width: usize) -> Planes {
    let mut planes = Planes::zeros(words.len(), width);
    hash.planes(words, width, planes.words_mut());
    planes
}

#[cfg(test)]
mod tests {
    use gazelle_prg::{Prg, Seed};

    use super::*;

    #[test]
    fn conformance_the_receiver_holds_the_chosen_string_and_positions_differ() {
        let mut rng = Prg::new(&Seed::from_bytes([3; 16]), 1);
        let hash = HashSeed::new(&Seed::random(&mut rng));
        let delta = Block::random(&mut rng);
        for lanes in [64, 100] {
            let mut y = vec![Block::ZERO; 3 * lanes];
            Block::fill_random(&mut y, &mut rng);
            let choices = BitVec::random(3 * lanes, &mut rng);
            let z: Vec<Block> =
                y.iter().enumerate().map(|(i, y)| *y ^ delta.select(choices.get(i))).collect();
            let mut send = RotSend::new(&hash, 4090, &y, delta);
            let mut recv = RotRecv::new(&hash, 4090, &z, &choices);
            send.set_lanes(lanes);
            recv.set_lanes(lanes);
            for width in [3, 2] {
                let (k0, difference) = send.bits(width);
                let (rho, k) = recv.bits(width);
                for plane in 0..width {
                    for (i, rho) in rho.iter().enumerate() {
                        let expected = k0.plane(plane)[i] ^ (rho & difference.plane(plane)[i]);
                        assert_eq!(k.plane(plane)[i], expected);
                    }
                }
                assert!(k0.plane(0) != k0.plane(1) && difference.plane(0) != difference.plane(1));
            }
            let (k0, k1) = send.words(64);
            let (rho, k) = recv.words(64);
            for lane in 0..lanes {
                let one = rho[lane / 64] >> (lane % 64) & 1 == 1;
                assert_eq!(k[lane], if one { k1[lane] } else { k0[lane] });
            }
        }
    }
}
