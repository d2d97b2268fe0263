//! 128-bit blocks and Delta.

use std::ops::{BitXor, BitXorAssign};

use gazelle_wire::{DecodeError, Message, Reader};
use rand_core::CryptoRng;
use subtle::{Choice, ConstantTimeEq};
use zeroize::{DefaultIsZeroes, Zeroize, ZeroizeOnDrop};

use crate::error::BlockError;

/// A 128-bit string: a wire label, an OT output, an element of GF(2)^128 or GF(2^128).
///
/// Bit `i` is bit `i` of the integer; in bytes it is little-endian. Contents are not printed.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Block(pub u128);

impl Block {
    /// The all-zero block.
    pub const ZERO: Self = Self(0);

    /// A uniform block.
    pub fn random(rng: &mut (dyn CryptoRng + Send)) -> Self {
        let mut bytes = [0u8; 16];
        rng.fill_bytes(&mut bytes);
        Self::from_bytes(bytes)
    }

    /// The block with these bytes, little-endian.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_le_bytes(bytes))
    }

    /// The bytes, little-endian.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0.to_le_bytes()
    }

    /// The lowest bit: a choice bit or colour, never a pad.
    pub const fn lsb(self) -> bool {
        self.0 & 1 == 1
    }

    /// Bit `index` (below 128).
    pub const fn bit(self, index: u32) -> bool {
        self.0 >> index & 1 == 1
    }

    /// `self` if `bit`, else zero, without a branch.
    #[must_use]
    pub const fn select(self, bit: bool) -> Self {
        Self(self.0 & (bit as u128).wrapping_neg())
    }

    /// The block with its lowest bit cleared.
    #[must_use]
    pub const fn without_lsb(self) -> Self {
        Self(self.0 & !1)
    }

    /// Fills `out` with uniform blocks.
    pub fn fill_random(out: &mut [Self], rng: &mut (dyn CryptoRng + Send)) {
        let mut bytes = [0u8; 16 * 64];
        for chunk in out.chunks_mut(64) {
            let (blocks, _) = bytes.as_chunks_mut::<16>();
            if let Some(used) = blocks.get_mut(..chunk.len()) {
                rng.fill_bytes(used.as_flattened_mut());
            }
            for (block, bytes) in chunk.iter_mut().zip(&*blocks) {
                *block = Self::from_bytes(*bytes);
            }
        }
        bytes.zeroize();
    }
}

impl BitXor for Block {
    type Output = Self;
    fn bitxor(self, other: Self) -> Self {
        Self(self.0 ^ other.0)
    }
}

impl BitXorAssign for Block {
    fn bitxor_assign(&mut self, other: Self) {
        self.0 ^= other.0;
    }
}

impl ConstantTimeEq for Block {
    fn ct_eq(&self, other: &Self) -> Choice {
        let [a, b] = [self.0, other.0].map(|x| [x as u64, (x >> 64) as u64]);
        a.ct_eq(&b)
    }
}

/// Gives [`Zeroize`] for blocks and slices of them.
impl DefaultIsZeroes for Block {}

impl std::fmt::Debug for Block {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Block(..)")
    }
}

/// The global correlation: of OTs `z = y ^ b Delta` and of wire labels `W^1 = W^0 ^ Delta`.
///
/// Its lowest bit is 1 (127 free bits), so that the lowest bit of a block tells choice or colour.
/// Wiped on drop; not `Copy`.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Delta(Block);

impl Delta {
    /// A uniform Delta with lowest bit 1.
    pub fn random(rng: &mut (dyn CryptoRng + Send)) -> Self {
        Self(Block(Block::random(rng).0 | 1))
    }

    /// A Delta that was stored.
    ///
    /// # Errors
    /// [`BlockError::EvenDelta`] unless its lowest bit is 1.
    pub fn from_block(block: Block) -> Result<Self, BlockError> {
        if block.lsb() { Ok(Self(block)) } else { Err(BlockError::EvenDelta) }
    }

    /// The block.
    pub fn block(&self) -> Block {
        self.0
    }
}

impl std::fmt::Debug for Delta {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Delta(..)")
    }
}

/// Blocks on the wire: 16 bytes each, little-endian. Wiped on drop.
#[derive(Debug, Clone, PartialEq, Eq, Default, Zeroize, ZeroizeOnDrop)]
pub struct Blocks(pub Vec<Block>);

impl Blocks {
    /// The blocks, taken out.
    pub fn into_vec(mut self) -> Vec<Block> {
        std::mem::take(&mut self.0)
    }
}

impl Message for Blocks {
    /// The number of blocks.
    type Shape = usize;
    const KIND: u16 = 0x0100;
    const NAME: &'static str = "blocks";

    fn encoded_len(shape: &usize) -> usize {
        16 * shape
    }
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.0.iter().flat_map(|block| block.to_bytes()));
    }
    fn decode(input: &mut Reader<'_>, shape: &usize) -> Result<Self, DecodeError> {
        let (chunks, _) = input.take(16 * shape)?.as_chunks::<16>();
        Ok(Self(chunks.iter().map(|bytes| Block::from_bytes(*bytes)).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gazelle_prg::{Prg, Seed};
    use gazelle_wire::message::decode_all;

    fn rng() -> Prg {
        Prg::new(&Seed::from_bytes([5; 16]), 1)
    }

    #[test]
    fn known_answer_bytes_are_little_endian() {
        let block = Block::from_bytes(std::array::from_fn(|i| i as u8));
        assert_eq!(block.0, 0x0f0e_0d0c_0b0a_0908_0706_0504_0302_0100);
        assert!(block.bit(8) && !block.bit(0) && !block.lsb());
        let mut bytes = Vec::new();
        Blocks(vec![block, Block(1)]).encode(&mut bytes);
        assert_eq!(bytes[..16], block.to_bytes());
        assert!(decode_all::<Blocks>(&bytes, &2).unwrap().into_vec() == [block, Block(1)]);
        assert!(
            decode_all::<Blocks>(&bytes, &1).is_err() && decode_all::<Blocks>(&bytes, &3).is_err()
        );
    }

    #[test]
    fn properties_delta_is_odd_random_and_secret() {
        let mut rng = rng();
        let deltas: Vec<Delta> = (0..64).map(|_| Delta::random(&mut rng)).collect();
        assert!(deltas.iter().all(|delta| delta.block().lsb()));
        assert!(deltas.windows(2).all(|pair| pair[0].block() != pair[1].block()));
        assert_eq!(Delta::from_block(Block(2)).unwrap_err(), BlockError::EvenDelta);
        assert!(Delta::from_block(deltas[0].block()).unwrap().block() == deltas[0].block());
        assert_eq!(format!("{:?} {:?}", deltas[0], deltas[0].block()), "Delta(..) Block(..)");
    }

    #[test]
    fn properties_selection_and_equality_are_by_masks() {
        let block = Block::random(&mut rng());
        assert!(block.select(true) == block && block.select(false) == Block::ZERO);
        assert!(
            bool::from(block.ct_eq(&block))
                && bool::from(block.ct_eq(&block.without_lsb())) != block.lsb()
        );
        assert!((block ^ block) == Block::ZERO);
    }

    #[test]
    fn properties_bulk_filling_reads_the_same_stream() {
        let (mut a, mut b) = (rng(), rng());
        let mut out = vec![Block::ZERO; 150];
        Block::fill_random(&mut out, &mut a);
        assert!(out.iter().all(|block| *block == Block::random(&mut b)));
    }
}
