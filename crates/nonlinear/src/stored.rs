//! Material on its way to a store and back: words of 64 bits, little-endian, behind their number. What is read is
//! held to the compiled step, so that a file of another one is refused and none can make this party panic.

use std::io::{self, Read, Write};

use gazelle_block::{BitVec, Block};
use gazelle_convert::{Planes, RotLog};
use gazelle_prg::Seed;
use gazelle_share::{Misuse, ProtocolError};
use zeroize::Zeroizing;

/// More words than any chunk takes.
const MOST: u64 = 1 << 26;
/// Words that are converted at once.
const PIECE: usize = 1024;

/// The error of material that cannot be stored, or is none of this step.
pub(crate) fn refused() -> ProtocolError {
    Misuse::Material.into()
}

/// The same, to a writer.
pub(crate) fn unrecorded() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "material that was made to be used at once")
}

fn unreadable(error: io::Error) -> ProtocolError {
    ProtocolError::backend(error)
}

/// Writes words.
pub(crate) fn put(out: &mut dyn Write, words: &[u64]) -> io::Result<()> {
    out.write_all(&(words.len() as u64).to_le_bytes())?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(8 * PIECE));
    for piece in words.chunks(PIECE) {
        bytes.clear();
        for word in piece {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        out.write_all(&bytes)?;
    }
    Ok(())
}

/// Reads words.
pub(crate) fn get(input: &mut dyn Read) -> Result<Zeroizing<Vec<u64>>, ProtocolError> {
    get_at_most(input, MOST)
}

fn get_at_most(input: &mut dyn Read, most: u64) -> Result<Zeroizing<Vec<u64>>, ProtocolError> {
    let mut count = [0; 8];
    input.read_exact(&mut count).map_err(unreadable)?;
    let count = u64::from_le_bytes(count);
    if count > most {
        return Err(refused());
    }
    let mut left = count as usize;
    let mut words = Zeroizing::new(Vec::with_capacity(left));
    let mut bytes = Zeroizing::new(vec![0; 8 * PIECE]);
    while left > 0 {
        let (now, _) = bytes.split_at_mut(8 * left.min(PIECE));
        input.read_exact(now).map_err(unreadable)?;
        let (chunks, _) = now.as_chunks::<8>();
        words.extend(chunks.iter().map(|bytes| u64::from_le_bytes(*bytes)));
        left -= chunks.len();
    }
    Ok(words)
}

/// Reads exactly so many.
fn get_exactly(input: &mut dyn Read, count: usize) -> Result<Zeroizing<Vec<u64>>, ProtocolError> {
    let words = get_at_most(input, count as u64)?;
    if words.len() == count { Ok(words) } else { Err(refused()) }
}

/// Bits, whose number the reader knows.
pub(crate) fn put_bits(out: &mut dyn Write, bits: &BitVec) -> io::Result<()> {
    put(out, bits.words())
}

/// So many bits.
pub(crate) fn get_bits(input: &mut dyn Read, count: usize) -> Result<BitVec, ProtocolError> {
    let mut words = get_exactly(input, count.div_ceil(64))?;
    Ok(BitVec::from_words(std::mem::take(&mut *words), count))
}

/// Planes, whose number and lanes the reader knows.
pub(crate) fn put_planes(out: &mut dyn Write, planes: &Planes) -> io::Result<()> {
    put_bits(out, &planes.to_bits())
}

/// So many planes.
pub(crate) fn get_planes(
    input: &mut dyn Read,
    lanes: usize,
    count: usize,
) -> Result<Planes, ProtocolError> {
    Ok(Planes::from_bits(&get_bits(input, lanes * count)?, lanes))
}

/// Blocks, whose number the reader knows.
pub(crate) fn put_blocks(out: &mut dyn Write, blocks: &[Block]) -> io::Result<()> {
    let halves = |block: &Block| [block.0 as u64, (block.0 >> 64) as u64];
    let words: Zeroizing<Vec<u64>> = Zeroizing::new(blocks.iter().flat_map(halves).collect());
    put(out, &words)
}

/// So many blocks.
pub(crate) fn get_blocks(
    input: &mut dyn Read,
    count: usize,
) -> Result<Zeroizing<Vec<Block>>, ProtocolError> {
    let words = get_exactly(input, 2 * count)?;
    let (pairs, _) = words.as_chunks::<2>();
    let block = |[low, high]: &[u64; 2]| Block(u128::from(*low) | u128::from(*high) << 64);
    Ok(Zeroizing::new(pairs.iter().map(block).collect()))
}

/// A seed.
pub(crate) fn put_seed(out: &mut dyn Write, seed: &Seed) -> io::Result<()> {
    out.write_all(seed.bytes())
}

/// A seed.
pub(crate) fn get_seed(input: &mut dyn Read) -> Result<Seed, ProtocolError> {
    let mut bytes = Zeroizing::new([0; 16]);
    input.read_exact(&mut *bytes).map_err(unreadable)?;
    Ok(Seed::from_bytes(*bytes))
}

/// Bytes, whose number the reader knows.
pub(crate) fn get_bytes(input: &mut dyn Read, count: usize) -> Result<Vec<u8>, ProtocolError> {
    let mut bytes = vec![0; count];
    input.read_exact(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}

/// Reads chunk by chunk, and begins each in the pool while the next is read.
pub(crate) fn load_chunks<C: Sync, R: Send, T: Send>(
    chunks: &[C],
    mut read: impl FnMut(&C) -> Result<R, ProtocolError>,
    begin: impl Fn(usize, &C, R) -> Result<T, ProtocolError> + Sync,
) -> Result<Vec<T>, ProtocolError> {
    let mut begun: Vec<Result<T, ProtocolError>> = Vec::with_capacity(chunks.len());
    begun.resize_with(chunks.len(), || Err(ProtocolError::Defect("a chunk that was not begun")));
    rayon::in_place_scope(|pool| {
        for (index, (chunk, slot)) in chunks.iter().zip(&mut begun).enumerate() {
            let (content, begin) = (read(chunk)?, &begin);
            pool.spawn(move |_| *slot = begin(index, chunk, content));
        }
        Ok::<_, ProtocolError>(())
    })?;
    begun.into_iter().collect()
}

/// What random OTs gave.
pub(crate) fn put_log(out: &mut dyn Write, log: &RotLog) -> io::Result<()> {
    let [sent, received] = log.parts();
    put(out, sent)?;
    put(out, received)
}

/// The same; whether it fits shows when it is used.
pub(crate) fn get_log(input: &mut dyn Read) -> Result<RotLog, ProtocolError> {
    Ok(RotLog::new([get(input)?, get(input)?]))
}
