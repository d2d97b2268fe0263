//! What a vector of 16 bytes does.

/// Bytes of a block, and of a vector.
pub const BYTES: usize = 16;

/// A vector of 16 bytes. Every operation is constant time.
pub trait Lanes: Copy {
    /// From memory.
    fn load(bytes: &[u8; BYTES]) -> Self;
    /// To memory.
    fn store(self, bytes: &mut [u8; BYTES]);
    /// Bitwise sum.
    #[must_use]
    fn xor(self, other: Self) -> Self;
    /// Bitwise product.
    #[must_use]
    fn and(self, other: Self) -> Self;
    /// Both halves of 64 bits, shifted to higher bits.
    #[must_use]
    fn left(self, bits: u32) -> Self;
    /// Both halves of 64 bits, shifted to lower bits.
    #[must_use]
    fn right(self, bits: u32) -> Self;
    /// Byte `order[j]` in place j; zero where `order[j]` is 128 or more. The order is public.
    #[must_use]
    fn pick(self, order: Self) -> Self;
    /// All ones in the bytes whose bit `k < 8` is set, zero elsewhere.
    #[must_use]
    fn plane(self, k: u32) -> Self;
}
