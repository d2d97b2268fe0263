//! The linear code: 10 public positions per output, from a fixed seed.
//!
//! Output row r takes blocks 2 r and 2 r + 1 of the seed's stream as four little-endian words of 64
//! bits; position m is bits `21 (m mod 3)` to `21 (m mod 3) + 20` of word `m / 3`, modulo k (a power of
//! two up to 2^21), m = 0 to 9. A position that comes twice cancels.

use gazelle_block::Block;
use gazelle_prg::{Keystream, Seed};

/// Positions per output.
pub(super) const LOCALITY: usize = 10;
/// The code's seed: nothing up the sleeve.
const SEED: [u8; 16] = *b"gazelle LPN code";
/// Its stream.
const DOMAIN: u8 = 1;
/// Rows whose positions are derived and prefetched together.
const ROWS: usize = 16;

/// The code for secrets of k bits.
pub(super) struct Code {
    stream: Keystream,
}

impl Code {
    pub(super) fn new() -> Self {
        Self { stream: Keystream::new(&Seed::from_bytes(SEED), DOMAIN) }
    }

    /// `out[i] ^= XOR of table[p]` over the positions p of row `first_row + i`. `table.len()` is a
    /// power of two.
    pub(super) fn encode(&self, table: &[Block], first_row: u64, out: &mut [Block]) {
        let mut row = first_row;
        for out in out.chunks_mut(ROWS) {
            let positions = self.positions(row, table.len());
            for (out, positions) in out.iter_mut().zip(&positions) {
                for position in positions {
                    *out ^= table.get(*position as usize).copied().unwrap_or_default();
                }
            }
            row += out.len() as u64;
        }
    }

    /// The positions of `ROWS` rows.
    fn positions(&self, first_row: u64, k: usize) -> [[u32; LOCALITY]; ROWS] {
        let mut blocks = [[0u8; 16]; 2 * ROWS];
        self.stream.fill(2 * first_row, &mut blocks);
        let mut rows = [[0; LOCALITY]; ROWS];
        for (row, blocks) in rows.iter_mut().zip(blocks.as_chunks::<2>().0) {
            let words = blocks.as_flattened().as_chunks::<8>().0;
            let words = words.iter().flat_map(|bytes| {
                let word = u64::from_le_bytes(*bytes);
                [word, word >> 21, word >> 42]
            });
            for (position, word) in row.iter_mut().zip(words) {
                *position = word as u32 & (k as u32 - 1);
            }
        }
        rows
    }
}
