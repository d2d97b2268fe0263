//! A session of a set, and under it the sessions of the smaller sets that make its first retained OTs.
//!
//! Nothing of that is made at setup, but when the first OTs are wanted: the receiver's choices follow from
//! its own coins (`ahead`), those of a stage's outputs as well, so that it announces all stages with the
//! first batches; and the sender's trees of all stages come in front of the first OTs, one-way.

use gazelle_block::Block;
use gazelle_wire::Channel;
use rand_core::CryptoRng;

use super::batch::{Batch, BatchParty};
use super::parameters::Parameters;
use crate::error::OtError;
use crate::extension::Half;
use crate::joint::{JointKeys, following};

/// A session with those under it.
pub(super) struct Stages<P> {
    /// What makes the first retained OTs, until it has.
    before: Option<Box<Self>>,
    retained: usize,
    batch: Batch<P>,
}

impl<P: BatchParty> Stages<P> {
    /// - `first`: what the smallest set retains first.
    /// - `party`: a new one for each stage.
    pub(super) fn new(
        parameters: Parameters,
        mut keys: JointKeys,
        binding: &[u8; 32],
        first: Vec<Block>,
        mut party: impl FnMut() -> P,
    ) -> Self {
        let mut first = Some(first);
        let mut made: Option<Self> = None;
        let mut stages = parameters.stages();
        stages.pop();
        let mut stage = |parameters: Parameters, before: Option<Self>| {
            let mut batch = Batch::waiting(parameters, keys, binding, party());
            keys = following(keys);
            if let Some(first) = first.take() {
                batch.start(first.iter().map(|block| u8::from(block.lsb())).collect());
                batch.supply(first);
            }
            Self { before: before.map(Box::new), retained: parameters.retained(), batch }
        };
        for parameters in stages {
            made = Some(stage(parameters, made.take()));
        }
        stage(parameters, made)
    }

    /// Announces what the next `count` OTs take, with the stages under them at the first time.
    pub(super) fn announce(
        &mut self,
        count: usize,
        ch: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<(), OtError> {
        if count == 0 {
            return Ok(());
        }
        self.begin(ch, rng)?;
        self.batch.announce(count, ch, rng)
    }

    /// Announces the stages under this one, unless they have been.
    fn begin(&mut self, ch: &mut Channel, rng: &mut (dyn CryptoRng + Send)) -> Result<(), OtError> {
        let Some(before) = self.before.as_mut().filter(|_| self.batch.is_new()) else {
            return Ok(());
        };
        before.begin(ch, rng)?;
        self.batch.start(before.batch.announce_first(self.retained, ch, rng)?);
        Ok(())
    }

    /// Fills `out` with the next OTs, which have been announced.
    pub(super) fn serve(
        &mut self,
        out: &mut [Block],
        half: &mut Half<'_>,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<(), OtError> {
        if out.is_empty() {
            return Ok(());
        }
        if let Some(before) = &mut self.before {
            let mut retained = vec![Block::ZERO; self.retained];
            // After an error it stays, and fails again.
            before.serve(&mut retained, half, rng)?;
            self.before = None;
            self.batch.supply(retained);
        }
        self.batch.serve(out, half, rng)
    }
}
