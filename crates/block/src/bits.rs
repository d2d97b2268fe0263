//! Packed bit vectors.

use gazelle_wire::{DecodeError, Message, Reader};
use rand_core::CryptoRng;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// A vector of bits, packed: bit `i` is `words[i / 64] >> (i % 64) & 1`; unused bits are zero.
///
/// On the wire: `ceil(bits / 8)` bytes, bit `i` in byte `i / 8` at position `i % 8`. Wiped on drop;
/// contents are not printed.
#[derive(Clone, PartialEq, Eq, Default, Zeroize, ZeroizeOnDrop)]
pub struct BitVec {
    words: Vec<u64>,
    len: usize,
}

impl BitVec {
    /// No bits.
    pub const fn new() -> Self {
        Self { words: Vec::new(), len: 0 }
    }

    /// `len` zero bits.
    pub fn zeros(len: usize) -> Self {
        Self { words: vec![0; len.div_ceil(64)], len }
    }

    /// `len` uniform bits.
    pub fn random(len: usize, rng: &mut (dyn CryptoRng + Send)) -> Self {
        let mut bits = Self::zeros(len);
        for word in &mut bits.words {
            *word = rng.next_u64();
        }
        bits.clear_unused();
        bits
    }

    /// The first `len` bits of `words`; missing words count as zero.
    pub fn from_words(mut words: Vec<u64>, len: usize) -> Self {
        words.resize(len.div_ceil(64), 0);
        let mut bits = Self { words, len };
        bits.clear_unused();
        bits
    }

    /// One bit per element.
    pub fn from_bools(bools: &[bool]) -> Self {
        let words = bools
            .chunks(64)
            .map(|chunk| chunk.iter().rev().fold(0, |word, bit| word << 1 | u64::from(*bit)))
            .collect();
        Self { words, len: bools.len() }
    }

    /// One element per bit.
    pub fn to_bools(&self) -> Vec<bool> {
        self.iter().collect()
    }

    /// The bits in order.
    pub fn iter(&self) -> impl Iterator<Item = bool> + '_ {
        let bits = self.words.iter().flat_map(|word| (0..64).map(move |i| word >> i & 1 == 1));
        bits.take(self.len)
    }

    /// Number of bits.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bit `index`; false beyond the end.
    pub fn get(&self, index: usize) -> bool {
        self.words.get(index / 64).is_some_and(|word| word >> (index % 64) & 1 == 1)
    }

    /// Sets bit `index`; without effect beyond the end.
    pub fn set(&mut self, index: usize, bit: bool) {
        if index < self.len
            && let Some(word) = self.words.get_mut(index / 64)
        {
            *word = *word & !(1 << (index % 64)) | u64::from(bit) << (index % 64);
        }
    }

    /// Appends a bit.
    pub fn push(&mut self, bit: bool) {
        if self.len.is_multiple_of(64) {
            self.make_room(1);
            self.words.push(0);
        }
        self.len += 1;
        self.set(self.len - 1, bit);
    }

    /// Appends all bits of `other`.
    pub fn extend(&mut self, other: &Self) {
        let shift = self.len % 64;
        self.make_room(other.words.len());
        if shift == 0 {
            self.words.extend_from_slice(&other.words);
        } else {
            for word in &other.words {
                if let Some(last) = self.words.last_mut() {
                    *last |= word << shift;
                }
                self.words.push(word >> (64 - shift));
            }
        }
        self.len += other.len;
        self.words.truncate(self.len.div_ceil(64));
    }

    /// Bits `start .. start + len` as a vector of their own; bits beyond the end are zero.
    #[must_use]
    pub fn slice(&self, start: usize, len: usize) -> Self {
        let (first, shift) = (start / 64, start % 64);
        let word = |i: usize| self.words.get(i).copied().unwrap_or(0);
        let words = (first..first + len.div_ceil(64)).map(|i| {
            if shift == 0 { word(i) } else { word(i) >> shift | word(i + 1) << (64 - shift) }
        });
        Self::from_words(words.collect(), len)
    }

    /// Makes the vector `len` bits long, cutting it or appending zeros.
    pub fn resize(&mut self, len: usize) {
        self.make_room(len.div_ceil(64).saturating_sub(self.words.len()));
        self.words.resize(len.div_ceil(64), 0);
        self.len = len;
        self.clear_unused();
    }

    /// `self ^= other` over the bits that both have.
    pub fn xor_assign(&mut self, other: &Self) {
        for (a, b) in self.words.iter_mut().zip(&other.words) {
            *a ^= b;
        }
        self.clear_unused();
    }

    /// Number of ones (variable time only in the length).
    pub fn count_ones(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// The words; unused bits of the last one are zero.
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    /// The words, to be written. Unused bits of the last one must stay zero.
    pub fn words_mut(&mut self) -> &mut [u64] {
        &mut self.words
    }

    /// Room for so many words more: in a new buffer if it takes one, and the old one is wiped.
    fn make_room(&mut self, words: usize) {
        let needed = self.words.len() + words;
        if needed > self.words.capacity() {
            let mut larger = Vec::with_capacity(needed.max(2 * self.words.capacity()));
            larger.extend_from_slice(&self.words);
            self.words.zeroize();
            self.words = larger;
        }
    }

    fn clear_unused(&mut self) {
        let used = self.len % 64;
        if used != 0
            && let Some(last) = self.words.last_mut()
        {
            *last &= u64::MAX >> (64 - used);
        }
    }
}

impl FromIterator<bool> for BitVec {
    fn from_iter<I: IntoIterator<Item = bool>>(bools: I) -> Self {
        let mut bits = Self::new();
        bools.into_iter().for_each(|bit| bits.push(bit));
        bits
    }
}

impl std::fmt::Debug for BitVec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BitVec").field("len", &self.len).finish_non_exhaustive()
    }
}

impl Message for BitVec {
    /// The number of bits.
    type Shape = usize;
    const KIND: u16 = 0x0101;
    const NAME: &'static str = "bits";

    fn encoded_len(shape: &usize) -> usize {
        shape.div_ceil(8)
    }
    fn encode(&self, out: &mut Vec<u8>) {
        let (start, count) = (out.len(), self.len.div_ceil(8));
        out.resize(start + 8 * self.words.len(), 0);
        let (to, _) = out.get_mut(start..).unwrap_or_default().as_chunks_mut();
        to.iter_mut().zip(&self.words).for_each(|(to, word)| *to = word.to_le_bytes());
        out.truncate(start + count);
    }
    fn decode(input: &mut Reader<'_>, shape: &usize) -> Result<Self, DecodeError> {
        let bytes = input.take(shape.div_ceil(8))?;
        let (whole, rest) = bytes.as_chunks();
        let mut words = Vec::with_capacity(bytes.len().div_ceil(8));
        words.extend(whole.iter().map(|bytes| u64::from_le_bytes(*bytes)));
        if !rest.is_empty() {
            let mut last = [0; 8];
            last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
            words.push(u64::from_le_bytes(last));
        }
        let mut bits = Self { words, len: *shape };
        let before = bits.words.last().copied();
        bits.clear_unused();
        if bits.words.last().copied() == before {
            Ok(bits)
        } else {
            Err(DecodeError::Invalid("unused bits are not zero"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gazelle_prg::{Prg, Seed};
    use gazelle_wire::message::decode_all;
    use proptest::prelude::*;

    fn bools() -> impl Strategy<Value = Vec<bool>> {
        prop::collection::vec(any::<bool>(), 0..300)
    }

    fn encoded(bits: &BitVec) -> Vec<u8> {
        let mut bytes = Vec::new();
        bits.encode(&mut bytes);
        bytes
    }

    #[test]
    fn known_answer_bits_go_out_lowest_first() {
        let bits =
            BitVec::from_bools(&[true, false, false, true, false, false, false, false, true]);
        assert_eq!(encoded(&bits), [0b1001, 1]);
        assert_eq!(bits.words(), [0b1_0000_1001]);
    }

    #[test]
    fn adversarial_unused_bits_and_wrong_lengths_are_refused() {
        assert!(decode_all::<BitVec>(&[0xff, 0x01], &9).is_ok());
        assert!(decode_all::<BitVec>(&[0xff, 0x02], &9).is_err());
        assert!(decode_all::<BitVec>(&[0xff], &9).is_err());
        assert!(decode_all::<BitVec>(&[0xff, 0, 0], &9).is_err());
    }

    #[test]
    fn properties_random_bits_are_balanced_and_do_not_print() {
        let bits = BitVec::random(10_001, &mut Prg::new(&Seed::from_bytes([1; 16]), 1));
        assert!(bits.count_ones().abs_diff(5000) < 300);
        assert_eq!(format!("{bits:?}"), "BitVec { len: 10001, .. }");
        assert_eq!(bits.words().last().unwrap() >> (10_001 % 64), 0);
    }

    proptest! {
        #[test]
        fn properties_forms_agree(bools in bools()) {
            let bits = BitVec::from_bools(&bools);
            prop_assert_eq!(bits.to_bools(), bools.clone());
            prop_assert!(bools.iter().copied().collect::<BitVec>() == bits);
            prop_assert!(BitVec::from_words(bits.words().to_vec(), bits.len()) == bits);
            prop_assert_eq!(bits.count_ones(), bools.iter().filter(|bit| **bit).count());
            let mut copy = BitVec::zeros(bools.len());
            bools.iter().enumerate().for_each(|(i, bit)| copy.set(i, *bit));
            prop_assert!(copy == bits);
            prop_assert!(bools.iter().enumerate().all(|(i, bit)| bits.get(i) == *bit));
            prop_assert_eq!(encoded(&bits).len(), BitVec::encoded_len(&bits.len()));
            prop_assert!(decode_all::<BitVec>(&encoded(&bits), &bits.len()).unwrap() == bits);
        }

        #[test]
        fn properties_extend_slice_resize_and_logic(a in bools(), b in bools(), cut in 0usize..320) {
            let (x, y) = (BitVec::from_bools(&a), BitVec::from_bools(&b));
            let mut both = x.clone();
            both.extend(&y);
            prop_assert_eq!(both.to_bools(), [a.clone(), b.clone()].concat());
            prop_assert!(both.slice(a.len(), b.len()) == y);
            prop_assert_eq!(both.words().len(), both.len().div_ceil(64));
            let mut cut_off = x.clone();
            cut_off.resize(cut);
            let expected: Vec<bool> = (0..cut).map(|i| a.get(i).copied().unwrap_or(false)).collect();
            prop_assert_eq!(cut_off.to_bools(), expected.clone());
            prop_assert!(x.slice(0, cut) == cut_off);
            let mut sum = x.clone();
            sum.xor_assign(&y);
            for i in 0..a.len().min(b.len()) {
                prop_assert_eq!(sum.get(i), a[i] ^ b[i]);
            }
            prop_assert!(sum.len() == a.len() && BitVec::from_bools(&sum.to_bools()) == sum);
        }
    }
}
