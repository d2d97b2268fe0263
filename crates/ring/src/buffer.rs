//! Words aligned to cache lines, wiped when dropped, recycled.
//!
//! Protocols allocate megabytes per layer for moments; fresh pages from the system would cost more
//! than the arithmetic. Large buffers go back to a pool, zeroed, and come out of it zeroed.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

/// Words of a cache line.
const LINE: usize = 8;
/// Smallest buffer worth keeping, in words: below, the allocator recycles well itself.
const LARGE: usize = 8 << 10;
/// Words that the pool holds at most (32 MiB).
const POOLED: usize = 4 << 20;

/// Zeroed, wiped buffers.
static POOL: Mutex<BufferPool> = Mutex::new(BufferPool { free: Vec::new(), words: 0 });

struct BufferPool {
    free: Vec<Vec<u64>>,
    words: usize,
}

/// A run of words aligned to 64 bytes; a slice in every other respect. Wiped on drop; not printed.
#[derive(Default)]
pub struct Buffer {
    words: Vec<u64>,
    offset: usize,
    len: usize,
}

impl Buffer {
    /// `len` zero words.
    pub fn zeros(len: usize) -> Self {
        let needed = len + LINE - 1;
        let words = recycled(needed).unwrap_or_else(|| vec![0u64; needed]);
        let offset = words.as_ptr().align_offset(LINE * size_of::<u64>()).min(LINE - 1);
        Self { words, offset, len }
    }
}

/// The smallest pooled buffer of `needed` words that is not four times too large.
fn recycled(needed: usize) -> Option<Vec<u64>> {
    if needed < LARGE {
        return None;
    }
    let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
    let fits = |words: &Vec<u64>| (needed..=4 * needed).contains(&words.len());
    let (index, _) =
        pool.free.iter().enumerate().filter(|(_, w)| fits(w)).min_by_key(|(_, w)| w.len())?;
    let words = pool.free.swap_remove(index);
    pool.words -= words.len();
    Some(words)
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // Wide stores; the black box keeps them.
        self.deref_mut().fill(0);
        std::hint::black_box(&self.words);
        if self.words.len() < LARGE {
            return;
        }
        let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
        if pool.words + self.words.len() <= POOLED {
            pool.words += self.words.len();
            pool.free.push(std::mem::take(&mut self.words));
        }
    }
}

impl Deref for Buffer {
    type Target = [u64];
    fn deref(&self) -> &[u64] {
        self.words.get(self.offset..self.offset + self.len).unwrap_or_default()
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u64] {
        self.words.get_mut(self.offset..self.offset + self.len).unwrap_or_default()
    }
}

impl Clone for Buffer {
    fn clone(&self) -> Self {
        let mut copy = Self::zeros(self.len);
        copy.copy_from_slice(self);
        copy
    }
}

impl PartialEq for Buffer {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Buffer {}

impl std::fmt::Debug for Buffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Buffer {{ len: {}, .. }}", self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_aligned_and_zero_also_when_recycled() {
        for len in [0, 1, 100, LARGE, 3 * LARGE, POOLED, POOLED + 1] {
            for _ in 0..3 {
                let mut buffer = Buffer::zeros(len);
                assert_eq!(buffer.len(), len);
                assert!(buffer.as_ptr().addr().is_multiple_of(64) || len == 0);
                assert!(buffer.iter().all(|word| *word == 0));
                buffer.fill(u64::MAX);
                assert_eq!(buffer.clone(), buffer);
            }
        }
    }

    #[test]
    fn recycling_is_bounded() {
        drop((0..10).map(|_| Buffer::zeros(POOLED / 3)).collect::<Vec<_>>());
        let pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(pool.words <= POOLED);
    }
}
