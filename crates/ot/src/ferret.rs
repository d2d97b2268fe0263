//! Ferret: silent OT extension from LPN with regular noise. Secure against cheaters.
//!
//! One batch makes n = t 2^h OTs from k + t h retained ones. A batch runs in groups of trees that stay
//! in L2, each made when its OTs are wanted: memory and small calls never pay for a whole batch.
//!
//! ```text
//! sender (Delta, retained y)                   receiver (retained b, z = y ^ b Delta)
//! a nonce                               ──►
//! sender: SoftSpoken's session                 receiver: SoftSpoken's session
//!                                       ◄──    a nonce: keys of H and of the code from both
//!   k + t h OTs for the smallest set,            the same
//!   128 to hand out first
//! announce, per batch:                         announce:
//!                                              noise positions a_1 .. a_t in [0, 2^h)
//!                                       ◄──    d = b ^ 1 ^ bits of a        (t h bits)
//! make, per group:
//! correlated GGM trees, roots x, x ^ Delta
//!   c = y ^ d Delta ^ left sums         ──►    punctured trees: sibling sums c ^ z
//!   T = sums of the leaves' shadows,           missing shadows from T
//!   C = universal hash of all shadows   ──►    C fits (`trees`)
//! leaves v                                     leaves w = v, but v ^ Delta at the noise position
//! out_j = v_j ^ XOR of 10 of the first         out_j = w_j ^ XOR of the same 10 z
//!   k retained y
//! ```
//!
//! - **Retained**: the last `k + t h` outputs of each batch feed the next one: they are never handed
//!   out, and the previous ones are never used again. The first k of them are the LPN secret. They are
//!   made when the next batch begins, so that the last batch of a session has none.
//! - **Stages**: the first retained OTs come from a session of a smaller set, under the same Delta and keys
//!   that follow from the same nonces; that of the smallest set has them from `SoftSpoken`. They are made
//!   when the first OTs are wanted (`stages`).
//! - **Announcements go ahead**: the receiver's choices of all batches follow from its own coins (the
//!   bootstrap's choices, the noise positions: `ahead`), so that it says d of many batches before it
//!   hears anything. Nothing that a sender says changes them.
//! - The code (10 public positions per output) comes from a key of this session, to which both parties
//!   contribute; its rows run on over all batches, so that no two instances share a matrix. Secret and
//!   noise positions are fresh per batch; they are secret: no branch or index depends on them.
//! - Lowest bits: leaves have 0 (sender) and "is the noise position" (receiver); so the lowest bit of
//!   the receiver's output is its choice. In `c` the lowest bit of y is no pad; it hides nothing that is
//!   secret, because both sums of a level differ by Delta, whose lowest bit is public.
//!
//! Assumptions: H is circular correlation robust (trees), LPN with regular noise for [`Parameters`]
//! (docs/parameters-ot.md), SoftSpoken's. What a sender can do that cheats, and why a receiver cannot:
//! `trees`.
//!
//! Source: Yang, Weng, Lan, Zhang, Wang, "Ferret" (CCS 2020); trees from Guo, Yang, Wang,
//! Zhang, Xie, Liu, Zhao, "Half-Tree" (EUROCRYPT 2023).

mod ahead;
mod batch;
mod code;
mod parameters;
mod stages;
mod trees;

pub use parameters::Parameters;

use gazelle_block::{BitVec, Block, Delta};
use gazelle_wire::Channel;
use rand_core::CryptoRng;
use zeroize::Zeroize;

use crate::base::{BaseOt, BaseReceiver, BaseSender};
use crate::consistency::Checks;
use crate::error::OtError;
use crate::extension::{Half, OtExtension, RcotReceiver, RcotSender, Speaker, lowest_bits};
use crate::joint;
use crate::softspoken::SoftSpoken;
use crate::traffic::OtTraffic;
use stages::Stages;
use trees::{Knower, Puncturer};

/// What the first retained OTs come from.
const BOOTSTRAP: SoftSpoken = SoftSpoken::K8;

/// OTs of the bootstrap beyond what is retained of it: the first that a session hands out, as many as the
/// base OTs of another one (`duplex`), which so wait for nothing.
const SPARE: usize = 128;

/// What the joint keys are for.
const PURPOSE: &str = "ferret";

/// Silent OT extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ferret {
    parameters: Parameters,
    checks: Checks,
    base: BaseOt,
}

/// The sender of [`Ferret`]. Wiped on drop.
pub struct FerretSender {
    delta: Delta,
    spare: Spare,
    stages: Stages<Knower>,
}

/// The receiver of [`Ferret`]. Wiped on drop.
pub struct FerretReceiver {
    spare: Spare,
    stages: Stages<Puncturer>,
}

/// The bootstrap's OTs that nothing retains, which a session hands out first.
struct Spare(Vec<Block>);

impl Spare {
    /// Fills the beginning of `out`; how much of it.
    fn fill(&mut self, out: &mut [Block]) -> usize {
        let count = self.0.len().min(out.len());
        for (out, spare) in out.iter_mut().zip(&mut self.0) {
            *out = std::mem::take(spare);
        }
        self.0.drain(..count).for_each(drop);
        count
    }
}

impl Drop for Spare {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl Ferret {
    /// With these parameters; `Default` takes the middle set.
    pub const fn new(parameters: Parameters) -> Self {
        Self { parameters, checks: Checks::Enforced, base: BaseOt::Hybrid }
    }

    /// With other base OTs.
    #[must_use]
    pub const fn with_base(self, base: BaseOt) -> Self {
        Self { base, ..self }
    }

    /// The parameters.
    pub const fn parameters(&self) -> Parameters {
        self.parameters
    }

    /// OTs of the bootstrap: what the smallest set retains, and the spare ones.
    fn first(&self) -> usize {
        self.parameters.stages().first().map_or(0, Parameters::retained) + SPARE
    }
}

impl OtExtension for Ferret {
    type Sender = FerretSender;
    type Receiver = FerretReceiver;

    fn name(&self) -> String {
        format!("ferret, {}{}", self.parameters, self.base)
    }

    fn base(&self) -> BaseOt {
        self.base
    }

    fn base_count(&self) -> usize {
        BOOTSTRAP.base_count()
    }

    fn sender_over(
        &self,
        base: &mut dyn BaseReceiver,
        delta: Delta,
        ch: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<FerretSender, OtError> {
        let opening = joint::open(ch, rng)?;
        let mut bootstrap = BOOTSTRAP.sender_over(base, delta.clone(), ch, rng)?;
        let keys = joint::sender(&opening, PURPOSE, ch)?;
        let mut first = vec![Block::ZERO; self.first()];
        bootstrap.extend(&mut first, ch, rng)?;
        let spare = Spare(first.split_off(first.len() - SPARE));
        let knower = || Knower::new(delta.block());
        let stages = Stages::new(self.parameters, keys, ch.binding(), first, knower);
        Ok(FerretSender { delta, spare, stages })
    }

    fn receiver_over(
        &self,
        base: &mut dyn BaseSender,
        ch: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<FerretReceiver, OtError> {
        let opened = joint::opened(ch)?;
        let mut bootstrap = BOOTSTRAP.receiver_over(base, ch, rng)?;
        let keys = joint::receiver(&opened, PURPOSE, ch, rng)?;
        let mut first = vec![Block::ZERO; self.first()];
        bootstrap.extend(&mut BitVec::new(), &mut first, ch, rng)?;
        let spare = Spare(first.split_off(first.len() - SPARE));
        let puncturer = || Puncturer::new(self.checks);
        let stages = Stages::new(self.parameters, keys, ch.binding(), first, puncturer);
        Ok(FerretReceiver { spare, stages })
    }

    fn setup_traffic_over(&self) -> OtTraffic {
        BOOTSTRAP.setup_traffic_over()
            + joint::traffic()
            + BOOTSTRAP.extend_traffic(0, self.first())
    }

    fn extend_traffic(&self, already_made: usize, count: usize) -> OtTraffic {
        let made = |count: usize| self.parameters.traffic(count.saturating_sub(SPARE));
        made(already_made + count) - made(already_made)
    }
}

impl RcotSender for FerretSender {
    fn delta(&self) -> &Delta {
        &self.delta
    }

    fn speaker(&self) -> Speaker {
        Speaker::Sender
    }

    fn announce(
        &mut self,
        count: usize,
        ch: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<(), OtError> {
        self.stages.announce(count.saturating_sub(self.spare.0.len()), ch, rng)
    }

    fn ready(&mut self, out: &mut [Block]) -> bool {
        out.len() <= self.spare.0.len() && self.spare.fill(out) == out.len()
    }

    fn make(
        &mut self,
        out: &mut [Block],
        mut half: Half<'_>,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<(), OtError> {
        let ready = self.spare.fill(out);
        self.stages.serve(out.split_at_mut(ready).1, &mut half, rng)
    }
}

impl RcotReceiver for FerretReceiver {
    fn speaker(&self) -> Speaker {
        Speaker::Sender
    }

    fn announce(
        &mut self,
        count: usize,
        ch: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<(), OtError> {
        self.stages.announce(count.saturating_sub(self.spare.0.len()), ch, rng)
    }

    fn ready(&mut self, choices: &mut BitVec, out: &mut [Block]) -> bool {
        let ready = out.len() <= self.spare.0.len() && self.spare.fill(out) == out.len();
        if ready {
            lowest_bits(out, choices);
        }
        ready
    }

    fn make(
        &mut self,
        choices: &mut BitVec,
        out: &mut [Block],
        mut half: Half<'_>,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<(), OtError> {
        let ready = self.spare.fill(out);
        self.stages.serve(out.split_at_mut(ready).1, &mut half, rng)?;
        lowest_bits(out, choices);
        Ok(())
    }
}
