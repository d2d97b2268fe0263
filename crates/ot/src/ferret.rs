//! Ferret: silent OT extension from LPN with regular noise. Semi-honest.
//!
//! One batch makes n = t 2^h OTs from k + t h retained ones. A batch runs in groups of trees that stay
//! in L2, each made when its OTs are wanted: memory and small calls never pay for a whole batch.
//!
//! ```text
//! sender (Delta, retained y)                   receiver (retained b, z = y ^ b Delta)
//! sender: SoftSpoken's session                 receiver: SoftSpoken's session
//!   a seed for H                        ──►
//!   k + t h OTs from SoftSpoken                  k + t h OTs from SoftSpoken
//! extend, at the start of a batch:             extend:
//!                                              noise positions a_1 .. a_t in [0, 2^h)
//!                                       ◄──    d = b ^ 1 ^ bits of a        (t h bits)
//! extend, per group:
//! correlated GGM trees, roots x, x ^ Delta
//!   c = y ^ d Delta ^ left sums         ──►    punctured trees: sibling sums c ^ z
//! leaves v                                     leaves w = v, but v ^ Delta at the noise position
//! out_j = v_j ^ XOR of 10 of the first         out_j = w_j ^ XOR of the same 10 z
//!   k retained y
//! ```
//!
//! - **Retained**: the first `k + t h` outputs of each batch feed the next one: they are never handed
//!   out, and the previous ones are never used again. The first k of them are the LPN secret.
//! - The code (10 public positions per output) comes from a fixed seed; secret and noise positions are
//!   fresh per batch. Positions are secret: no branch or index depends on them.
//! - Lowest bits: leaves have 0 (sender) and "is the noise position" (receiver); so the lowest bit of
//!   the receiver's output is its choice. In `c` the lowest bit of y is no pad; it hides nothing that is
//!   secret, because both sums of a level differ by Delta, whose lowest bit is public.
//!
//! Assumptions: H is circular correlation robust (trees), LPN with regular noise for [`Parameters`]
//! (docs/parameters-ot.md), SoftSpoken's.
//!
//! Source: Yang, Weng, Lan, Zhang, Wang, "Ferret" (CCS 2020), semi-honest; trees from Guo, Yang, Wang,
//! Zhang, Xie, Liu, Zhao, "Half-Tree" (EUROCRYPT 2023).

mod batch;
mod code;
mod parameters;

pub use parameters::Parameters;

use gazelle_block::{BitVec, Block, Blocks, Delta};
use gazelle_wire::Channel;
use gazelle_wire::traffic::framed_len;
use rand_core::CryptoRng;

use crate::error::OtError;
use crate::extension::{OtExtension, OtTraffic, RcotReceiver, RcotSender, lowest_bits};
use crate::softspoken::SoftSpoken;
use batch::{Batch, Knower, Puncturer};

/// What the first retained OTs come from.
const BOOTSTRAP: SoftSpoken = SoftSpoken::K8;

/// Silent OT extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ferret {
    parameters: Parameters,
}

/// The sender of [`Ferret`]. Wiped on drop.
pub struct FerretSender {
    delta: Delta,
    batch: Batch<Knower>,
}

/// The receiver of [`Ferret`]. Wiped on drop.
pub struct FerretReceiver {
    batch: Batch<Puncturer>,
}

impl Ferret {
    /// With these parameters; `Default` takes the middle set.
    pub const fn new(parameters: Parameters) -> Self {
        Self { parameters }
    }

    /// The parameters.
    pub const fn parameters(&self) -> Parameters {
        self.parameters
    }
}

impl OtExtension for Ferret {
    type Sender = FerretSender;
    type Receiver = FerretReceiver;

    fn name(&self) -> String {
        format!("ferret, {}", self.parameters)
    }

    fn sender(
        &self,
        delta: Delta,
        ch: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<FerretSender, OtError> {
        let seed = Block::random(rng);
        let mut bootstrap = BOOTSTRAP.sender(delta.clone(), ch, rng)?;
        ch.send(&Blocks(vec![seed]), &1)?;
        let mut retained = vec![Block::ZERO; self.parameters.retained()];
        bootstrap.extend(&mut retained, ch, rng)?;
        let party = Knower::new(delta.block());
        Ok(FerretSender { delta, batch: Batch::new(self.parameters, seed, retained, party) })
    }

    fn receiver(
        &self,
        ch: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<FerretReceiver, OtError> {
        let mut bootstrap = BOOTSTRAP.receiver(ch, rng)?;
        let seed = ch.recv::<Blocks>(&1)?.0.first().copied().unwrap_or_default();
        let mut retained = vec![Block::ZERO; self.parameters.retained()];
        bootstrap.extend(&mut BitVec::new(), &mut retained, ch, rng)?;
        let party = Puncturer::default();
        Ok(FerretReceiver { batch: Batch::new(self.parameters, seed, retained, party) })
    }

    fn setup_traffic(&self) -> OtTraffic {
        let hash = OtTraffic { sender_to_receiver: framed_len(16), receiver_to_sender: 0 };
        BOOTSTRAP.setup_traffic() + BOOTSTRAP.extend_traffic(0, self.parameters.retained()) + hash
    }

    fn extend_traffic(&self, already_made: usize, count: usize) -> OtTraffic {
        self.parameters.traffic(already_made + count) - self.parameters.traffic(already_made)
    }
}

impl RcotSender for FerretSender {
    fn delta(&self) -> &Delta {
        &self.delta
    }

    fn extend(
        &mut self,
        out: &mut [Block],
        ch: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<(), OtError> {
        self.batch.serve(out, ch, rng)?;
        Ok(ch.flush()?)
    }
}

impl RcotReceiver for FerretReceiver {
    fn extend(
        &mut self,
        choices: &mut BitVec,
        out: &mut [Block],
        ch: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<(), OtError> {
        self.batch.serve(out, ch, rng)?;
        lowest_bits(out, choices);
        Ok(())
    }
}
