//! OTs made but not yet handed out: extensions produce in fixed units.

use gazelle_block::Block;
use zeroize::Zeroize;

use crate::error::OtError;

/// Keeps the OTs of the last unit that nobody asked for yet, at one party, for an extension that makes
/// OTs in units only. Wiped on drop.
#[derive(Default)]
pub struct Surplus {
    blocks: Vec<Block>,
    /// Blocks at the front already handed out.
    used: usize,
    /// A call failed: nothing more comes out.
    dead: bool,
}

impl Surplus {
    /// Fills `out`: first from the surplus, then by `make`, which is asked for multiples of `unit`;
    /// what the last unit has too much is kept. `make` is told whether it is asked for the last time in
    /// this call.
    ///
    /// # Errors
    /// Those of `make`; [`OtError::Dead`] ever after one.
    ///
    /// # Panics
    /// If `unit` is 0.
    pub fn serve(
        &mut self,
        unit: usize,
        out: &mut [Block],
        mut make: impl FnMut(&mut [Block], bool) -> Result<(), OtError>,
    ) -> Result<(), OtError> {
        if self.dead {
            return Err(OtError::Dead);
        }
        self.dead = true;
        let ready = self.blocks.get_mut(self.used..).unwrap_or_default();
        let count = ready.len().min(out.len());
        let (head, rest) = out.split_at_mut(count);
        for (out, kept) in head.iter_mut().zip(ready) {
            *out = std::mem::take(kept);
        }
        self.used += count;
        let (units, tail) = rest.split_at_mut(rest.len() / unit * unit);
        if !units.is_empty() {
            make(units, tail.is_empty())?;
        }
        if !tail.is_empty() {
            self.blocks.resize(unit, Block::ZERO);
            make(&mut self.blocks, true)?;
            self.used = tail.len();
            for (out, made) in tail.iter_mut().zip(&mut self.blocks) {
                *out = std::mem::take(made);
            }
        }
        self.dead = false;
        Ok(())
    }

    /// Lists what [`serve`](Self::serve) asks `make` for after `already_made` OTs, in chunks of at most
    /// `chunk`, as pairs of how many and of which size: an extension states its traffic from them.
    pub fn chunks(
        unit: usize,
        chunk: usize,
        already_made: usize,
        count: usize,
    ) -> impl Iterator<Item = (usize, usize)> {
        let ready = (unit - already_made % unit) % unit;
        let rest = count.saturating_sub(ready);
        let (units, tail) = (rest / unit * unit, !rest.is_multiple_of(unit));
        let parts = [(units / chunk, chunk), (1, units % chunk), (usize::from(tail), unit)];
        parts.into_iter().filter(|(count, size)| *count > 0 && *size > 0)
    }
}

impl Drop for Surplus {
    fn drop(&mut self) {
        self.blocks.zeroize();
    }
}
