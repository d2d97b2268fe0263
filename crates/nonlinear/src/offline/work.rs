//! What one party does with one step's chunks, in the thread pool.

use gazelle_block::BitVec;
use gazelle_prg::Seed;
use gazelle_share::ProtocolError;

use crate::offline::plan::{OtCall, Unit};
use crate::ot_session::Made;

/// What the peer said of a chunk.
pub(crate) enum Heard {
    /// Its corrections or choices.
    Bits(BitVec),
    /// Its tables.
    Tables(Vec<u8>),
}

impl Heard {
    /// Corrections or choices.
    pub(crate) fn bits(self) -> Result<BitVec, ProtocolError> {
        match self {
            Self::Bits(bits) => Ok(bits),
            Self::Tables(_) => Err(ProtocolError::Defect("tables where bits were due")),
        }
    }

    /// Tables.
    pub(crate) fn tables(self) -> Result<Vec<u8>, ProtocolError> {
        match self {
            Self::Tables(tables) => Ok(tables),
            Self::Bits(_) => Err(ProtocolError::Defect("bits where tables were due")),
        }
    }
}

/// The chunks that a call began, and this party's corrections for them.
pub(crate) type Beginning<B> = (Vec<B>, BitVec);

/// A chunk's material, and the tables that are to be sent.
pub(crate) type FinishedChunk<R> = (R, Option<Vec<u8>>);

/// A step at one party.
pub(crate) trait Work: Send + Sync {
    /// A chunk between the two halves of its preparation.
    type Begun: Send;
    /// A chunk's material.
    type Ready: Send;

    /// The hash seed that this party draws for the step, if it garbles.
    fn seed(&self) -> Option<Seed> {
        None
    }

    /// The first half of a call's chunks, from its OTs S to C and C to S.
    fn begin(
        &self,
        unit: &Unit,
        call: &OtCall,
        down: &Made,
        up: &Made,
    ) -> Result<Beginning<Self::Begun>, ProtocolError>;

    /// The second half of chunk `chunk` of the step.
    fn finish(
        &self,
        chunk: usize,
        begun: Self::Begun,
        heard: Heard,
    ) -> Result<FinishedChunk<Self::Ready>, ProtocolError>;
}

/// One of the two parties, with all steps of a run.
pub(crate) trait Party {
    /// A step's work.
    type Work: Work;
    /// A step's material.
    type Prepared;
    /// Whether this is the client.
    const CLIENT: bool;

    /// A step's turn has come: its shares are wanted. Steps come in order.
    fn open(&mut self, step: usize) -> Result<Self::Work, ProtocolError>;

    /// All chunks of a step are ready, in order; `seed` is the peer's. Steps come in order.
    fn close(
        &mut self,
        step: usize,
        work: &Self::Work,
        ready: Vec<<Self::Work as Work>::Ready>,
        seed: Option<Seed>,
    ) -> Result<Self::Prepared, ProtocolError>;
}

/// The server's and the client's, as this party's own and the peer's.
pub(crate) fn own_and_peer<P: Party, T>(server: T, client: T) -> (T, T) {
    if P::CLIENT { (client, server) } else { (server, client) }
}
