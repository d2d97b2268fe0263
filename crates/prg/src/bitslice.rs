//! AES-128 of eight blocks at a time, bit-sliced over vectors of 16 bytes: for machines that have such
//! vectors but no AES instructions, which is WebAssembly. Constant time: no table, no branch.
//!
//! Vector b of a sliced state holds bit b of every byte: bit i of its byte j is bit b of byte j of block i. So
//! `SubBytes` is a circuit over the eight vectors (Boyar and Peralta, SEA 2010, eprint 2009/191), and
//! moving bytes is a permutation of each vector.
//!
//! `ShiftRows` is left out (fixslicing: Adomnicai and Peyrin, CHES 2021). After n rounds the state is
//! `SR^n(u)` for the `u` that is kept, and `MixColumns` becomes `SR^-n . MC . SR^n`: its row r + 1 is taken n
//! columns further on. Round keys are stored as `SR^-n` of themselves, with the constant 0x63 of the S-box,
//! which `MixColumns` leaves alone, added.
#![expect(clippy::inline_always, reason = "rounds are compiled into one function per vector type")]
#![expect(clippy::indexing_slicing, reason = "tables of orders are made when this is compiled")]

mod lanes;
mod sbox;
#[cfg(target_feature = "simd128")]
mod simd;

pub use lanes::{BYTES, Lanes};
#[cfg(target_feature = "simd128")]
pub use simd::Simd128;

use sbox::sub_bytes;

/// Blocks that are encrypted together.
pub const BLOCKS: usize = 8;
/// Rounds of AES-128, plus the whitening key.
pub const ROUND_KEYS: usize = 11;

/// The constant of the S-box in every byte.
const SBOX_CONSTANT: [u8; BYTES] = [0x63; BYTES];
/// From the last column of a round key to the word that the next one takes, in all four columns.
const ROTATED: [u8; BYTES] = [13, 14, 15, 12, 13, 14, 15, 12, 13, 14, 15, 12, 13, 14, 15, 12];
/// No byte: [`Lanes::pick`] puts zero.
const NONE: u8 = 0xff;

/// The sliced round keys of one key; [`encrypt`] takes them. Not wiped by themselves: [`SlicedRounds::wipe`].
pub struct SlicedRounds<L>([[L; 8]; ROUND_KEYS]);

impl<L: Lanes> SlicedRounds<L> {
    /// From the round keys of [`expand`].
    ///
    /// Cost: about as much as half a block.
    #[inline]
    pub fn new(rounds: &[[u8; BYTES]; ROUND_KEYS]) -> Self {
        let constant = L::load(&SBOX_CONSTANT);
        let mut sliced = [[L::load(&[0; BYTES]); 8]; ROUND_KEYS];
        let [none, once, twice, thrice] = &SHIFTS;
        let back = [none, thrice, twice, once].into_iter().cycle();
        for (n, ((sliced, key), order)) in sliced.iter_mut().zip(rounds).zip(back).enumerate() {
            let mut key = L::load(key).pick(L::load(order));
            if n > 0 {
                key = key.xor(constant);
            }
            for (k, plane) in (0..).zip(sliced) {
                *plane = key.plane(k);
            }
        }
        Self(sliced)
    }

    /// Overwrites the keys.
    pub fn wipe(&mut self) {
        self.0 = [[L::load(&[0; BYTES]); 8]; ROUND_KEYS];
        std::hint::black_box(&mut self.0);
    }
}

/// `SR^n`, which has order 4: byte `4c + r` comes from column `c + n r`.
const SHIFTS: [[u8; BYTES]; 4] =
    [picked(0, 0, 0), picked(0, 0, 1), picked(0, 0, 2), picked(0, 0, 3)];

/// Byte `4c + r` comes from row `r + rows` and column `c + columns + skew r`, all modulo 4.
const fn picked(rows: usize, columns: usize, skew: usize) -> [u8; BYTES] {
    let mut order = [0; BYTES];
    let mut at = 0;
    while at < BYTES {
        let (c, r) = (at / 4, at % 4);
        order[at] = (4 * ((c + columns + skew * r) % 4) + (r + rows) % 4) as u8;
        at += 1;
    }
    order
}

/// `SR^-n . R . SR^n` of the rotations R of rows by 1 and by 2, for n = 1 to 9.
const MIXES: [[[u8; BYTES]; 2]; 9] = {
    let mut mixes = [[[0; BYTES]; 2]; 9];
    let mut at = 0;
    while at < mixes.len() {
        let n = at + 1;
        mixes[at] = [picked(1, n, 0), picked(2, 2 * n, 0)];
        at += 1;
    }
    mixes
};

/// AES-128 of eight blocks under one key.
///
/// Cost: about 1,800 vector operations.
// One copy: engines of WebAssembly compile it again when it has become hot.
#[inline(never)]
pub fn encrypt<L: Lanes>(keys: &SlicedRounds<L>, blocks: &mut [L; BLOCKS]) {
    let mut state = *blocks;
    slice(&mut state);
    let [whitening, rounds @ .., last] = &keys.0;
    add(&mut state, whitening);
    // Orders from memory: engines make a constant shuffle of four instructions, this of two.
    for (key, orders) in rounds.iter().zip(std::hint::black_box(&MIXES)) {
        sub_bytes(&mut state);
        mix_columns(&mut state, orders);
        add(&mut state, key);
    }
    sub_bytes(&mut state);
    add(&mut state, last);
    slice(&mut state);
    // Ten rounds shift as two do.
    let [_, _, order, _] = std::hint::black_box(&SHIFTS);
    let order = L::load(order);
    for (block, state) in blocks.iter_mut().zip(state) {
        *block = state.pick(order);
    }
}

/// The round keys of eight keys (FIPS 197, section 5.2), round by round.
///
/// Cost: about 3,000 vector operations.
#[inline(never)]
pub fn expand<L: Lanes>(keys: &[[u8; BYTES]; BLOCKS]) -> [[[u8; BYTES]; BLOCKS]; ROUND_KEYS] {
    let mut out = [[[0; BYTES]; BLOCKS]; ROUND_KEYS];
    let mut now = [L::load(&[0; BYTES]); BLOCKS];
    for (now, key) in now.iter_mut().zip(keys) {
        *now = L::load(key);
    }
    let order = L::load(&ROTATED);
    let (one, two) = (L::load(&const { shifted(1) }), L::load(&const { shifted(2) }));
    // The round constant, in the first byte of each column: 1, 2, 4, ..., doubled in GF(2^8).
    let mut constant = 1u8;
    for (n, out) in out.iter_mut().enumerate() {
        if n > 0 {
            let mut words = now;
            for word in &mut words {
                *word = word.pick(order);
            }
            slice(&mut words);
            sub_bytes(&mut words);
            slice(&mut words);
            let column = [0x63 ^ constant, 0x63, 0x63, 0x63];
            let mut constants = [0; BYTES];
            constants.as_chunks_mut::<4>().0.fill(column);
            let constants = L::load(&constants);
            for (key, word) in now.iter_mut().zip(words) {
                // Each word is added to all words above it.
                *key = key.xor(key.pick(one));
                *key = key.xor(key.pick(two)).xor(word).xor(constants);
            }
            constant = (constant << 1) ^ (0x1b * (constant >> 7));
        }
        for (bytes, key) in out.iter_mut().zip(now) {
            key.store(bytes);
        }
    }
    out
}

/// The order that moves bytes up by so many words of 32 bits.
const fn shifted(words: usize) -> [u8; BYTES] {
    let mut order = [NONE; BYTES];
    let mut at = 4 * words;
    while at < BYTES {
        order[at] = (at - 4 * words) as u8;
        at += 1;
    }
    order
}

#[inline(always)]
fn add<L: Lanes>(state: &mut [L; 8], key: &[L; 8]) {
    for (state, key) in state.iter_mut().zip(key) {
        *state = state.xor(*key);
    }
}

/// `xtime(x ^ x') ^ x' ^ (x ^ x')''`: x' the next row, '' the one after the next.
#[inline(always)]
fn mix_columns<L: Lanes>(state: &mut [L; 8], [next, after]: &[[u8; BYTES]; 2]) {
    let (next, after) = (L::load(next), L::load(after));
    let [s0, s1, s2, s3, s4, s5, s6, s7] = *state;
    macro_rules! bit {
        ($x:ident) => {{
            let moved = $x.pick(next);
            let sum = $x.xor(moved);
            (sum, moved.xor(sum.pick(after)))
        }};
    }
    let (d7, m7) = bit!(s7);
    let (d0, m0) = bit!(s0);
    let (d1, m1) = bit!(s1);
    let (d2, m2) = bit!(s2);
    let (d3, m3) = bit!(s3);
    let (d4, m4) = bit!(s4);
    let (d5, m5) = bit!(s5);
    let (d6, m6) = bit!(s6);
    // Times x modulo x^8 + x^4 + x^3 + x + 1.
    *state = [
        m0.xor(d7),
        m1.xor(d0).xor(d7),
        m2.xor(d1),
        m3.xor(d2).xor(d7),
        m4.xor(d3).xor(d7),
        m5.xor(d4),
        m6.xor(d5),
        m7.xor(d6),
    ];
}

/// Transposes the 8 x 8 bits at each byte: blocks to slices, and slices to blocks.
#[inline(always)]
fn slice<L: Lanes>(state: &mut [L; 8]) {
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *state;
    macro_rules! exchange {
        ($bits:literal, $mask:ident, $($low:ident $high:ident),*) => {$(
            let moved = $low.right($bits).xor($high).and($mask);
            $high = $high.xor(moved);
            $low = $low.xor(moved.left($bits));
        )*};
    }
    let [ones, twos, fours] = [0x55, 0x33, 0x0f].map(|mask| L::load(&[mask; BYTES]));
    exchange!(1, ones, a b, c d, e f, g h);
    exchange!(2, twos, a c, b d, e g, f h);
    exchange!(4, fours, a e, b f, c g, d h);
    *state = [a, b, c, d, e, f, g, h];
}

#[cfg(test)]
mod tests {
    use aes::Aes128Enc;
    use aes::cipher::{BlockCipherEncrypt, KeyInit};
    use proptest::prelude::*;

    use super::*;

    /// The definition of [`Lanes`], byte by byte.
    #[derive(Debug, Clone, Copy, PartialEq)]
    struct Plain([u8; BYTES]);

    impl Plain {
        fn words(self, f: impl Fn(u64) -> u64) -> Self {
            let value = u128::from_le_bytes(self.0);
            let (low, high) = (f(value as u64), f((value >> 64) as u64));
            Self((u128::from(high) << 64 | u128::from(low)).to_le_bytes())
        }
    }

    impl Lanes for Plain {
        fn load(bytes: &[u8; BYTES]) -> Self {
            Self(*bytes)
        }

        fn store(self, bytes: &mut [u8; BYTES]) {
            *bytes = self.0;
        }

        fn xor(self, other: Self) -> Self {
            Self(std::array::from_fn(|j| self.0[j] ^ other.0[j]))
        }

        fn and(self, other: Self) -> Self {
            Self(std::array::from_fn(|j| self.0[j] & other.0[j]))
        }

        fn left(self, bits: u32) -> Self {
            self.words(|word| word << bits)
        }

        fn right(self, bits: u32) -> Self {
            self.words(|word| word >> bits)
        }

        fn pick(self, order: Self) -> Self {
            let byte = |j: u8| if j < 128 { self.0[usize::from(j)] } else { 0 };
            Self(order.0.map(byte))
        }

        fn plane(self, k: u32) -> Self {
            Self(self.0.map(|byte| (byte >> k & 1).wrapping_neg()))
        }
    }

    fn encrypted<L: Lanes>(
        key: &[u8; BYTES],
        blocks: &[[u8; BYTES]; BLOCKS],
    ) -> [[u8; BYTES]; BLOCKS] {
        let rounds = expand::<L>(&[*key; BLOCKS]).map(|keys| keys[3]);
        let mut state = blocks.map(|block| L::load(&block));
        encrypt(&SlicedRounds::new(&rounds), &mut state);
        state.map(|block| {
            let mut bytes = [0; BYTES];
            block.store(&mut bytes);
            bytes
        })
    }

    /// FIPS 197, appendix A.1 and appendix C.1.
    fn known_answers<L: Lanes>() {
        let key = 0x2b7e_1516_28ae_d2a6_abf7_1588_09cf_4f3c_u128.to_be_bytes();
        let mut keys = [[0; BYTES]; BLOCKS];
        keys[5] = key;
        let last = expand::<L>(&keys)[10];
        assert_eq!(u128::from_be_bytes(last[5]), 0xd014_f9a8_c9ee_2589_e13f_0cc8_b663_0ca6);
        assert_ne!(last[4], last[5]);
        let key = std::array::from_fn(|i| i as u8);
        let mut blocks = [[7; BYTES]; BLOCKS];
        blocks[6] = std::array::from_fn(|i| 0x11 * i as u8);
        let got = encrypted::<L>(&key, &blocks);
        assert_eq!(u128::from_be_bytes(got[6]), 0x69c4_e0d8_6a7b_0430_d8cd_b780_70b4_c55a);
    }

    #[test]
    fn known_answers_of_fips_197() {
        known_answers::<Plain>();
        #[cfg(target_feature = "simd128")]
        known_answers::<Simd128>();
    }

    #[test]
    fn properties_slicing_twice_changes_nothing_and_once_transposes() {
        let blocks: [Plain; 8] =
            std::array::from_fn(|i| Plain(std::array::from_fn(|j| (i * 37 + j * 101) as u8)));
        let mut sliced = blocks;
        slice(&mut sliced);
        for (i, block) in blocks.iter().enumerate() {
            for (j, byte) in block.0.iter().enumerate() {
                for (b, plane) in sliced.iter().enumerate() {
                    assert_eq!(plane.0[j] >> i & 1, byte >> b & 1);
                }
            }
        }
        slice(&mut sliced);
        assert_eq!(sliced, blocks);
    }

    #[test]
    fn conformance_the_circuit_is_the_s_box_without_its_constant() {
        // The inverse in GF(2^8), then an affine map (FIPS 197, section 5.1.1).
        let double = |x: u8| (x << 1) ^ (0x1b * (x >> 7));
        let times = |x: u8, y: u8| {
            let (mut sum, mut power) = (0, x);
            for bit in 0..8 {
                sum ^= power * (y >> bit & 1);
                power = double(power);
            }
            sum
        };
        for x in 0..=255u8 {
            let inverse = (0..=255).find(|y| times(x, *y) == 1).unwrap_or(0);
            let turned = |bits| inverse.rotate_left(bits);
            let expected = inverse ^ turned(1) ^ turned(2) ^ turned(3) ^ turned(4);
            let mut state = [Plain([x; BYTES]); 8];
            slice(&mut state);
            sub_bytes(&mut state);
            slice(&mut state);
            assert_eq!(state, [Plain([expected; BYTES]); 8], "{x}");
        }
    }

    proptest! {
        #[test]
        fn conformance_with_the_aes_crate(key: [u8; BYTES], blocks: [[u8; BYTES]; BLOCKS]) {
            let cipher = Aes128Enc::new(&key.into());
            let expected = blocks.map(|block| {
                let mut block = block.into();
                cipher.encrypt_block(&mut block);
                <[u8; BYTES]>::from(block)
            });
            prop_assert_eq!(encrypted::<Plain>(&key, &blocks), expected);
            #[cfg(target_feature = "simd128")]
            prop_assert_eq!(encrypted::<Simd128>(&key, &blocks), expected);
        }
    }
}
