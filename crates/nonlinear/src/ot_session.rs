//! The OT sessions under both backends: their setup, their cost, and buffers of correlated OTs.
//!
//! | client | server |
//! |---|---|
//! | OTs S to C (`down`): receiver | sender |
//! | OTs C to S (`up`, if a step needs them): sender | receiver |
//!
//! With both directions the server sends the public seed of the ROT hash ahead.

use gazelle_block::hash::HashSeed;
use gazelle_block::tweak::purpose;
use gazelle_block::{BitVec, Block, Delta, TweakCounter};
use gazelle_convert::Correlated;
use gazelle_ot::{OtError, OtExtension, OtTraffic, RcotReceiver, RcotSender, duplex};
use gazelle_prg::Seed;
use gazelle_share::ProtocolError;
use gazelle_wire::traffic::framed_len;
use gazelle_wire::{Channel, Cost, DecodeError, Message, Reader};
use rand_core::CryptoRng;
use zeroize::{Zeroize, Zeroizing};

/// The public seed of hash keys.
pub(crate) struct HashSeedMessage(pub(crate) Seed);

impl Message for HashSeedMessage {
    type Shape = ();
    const KIND: u16 = 0x0602;
    const NAME: &'static str = "hash seed";

    fn encoded_len((): &()) -> usize {
        16
    }
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0.bytes());
    }
    fn decode(input: &mut Reader<'_>, (): &()) -> Result<Self, DecodeError> {
        Ok(Self(Seed::from_bytes(input.array()?)))
    }
}

/// OT traffic with the server as the sender.
pub(crate) fn down_cost(traffic: OtTraffic) -> Cost {
    Cost {
        client_to_server: traffic.receiver_to_sender,
        server_to_client: traffic.sender_to_receiver,
    }
}

/// OT traffic with the client as the sender.
pub(crate) fn up_cost(traffic: OtTraffic) -> Cost {
    Cost {
        client_to_server: traffic.sender_to_receiver,
        server_to_client: traffic.receiver_to_sender,
    }
}

/// The link's fault, or the primitive's.
pub(crate) fn ot_error(error: OtError) -> ProtocolError {
    match error {
        OtError::Channel(error) => ProtocolError::Channel(error),
        error @ (OtError::Misbehaved { .. } | OtError::InvalidPoint { .. }) => {
            ProtocolError::Peer(error.to_string())
        }
        other => ProtocolError::backend(other),
    }
}

/// Setup traffic of both directions: the hash seed and both OT sessions.
pub(crate) fn setup_traffic<O: OtExtension>(ot: &O) -> Cost {
    let seed = Cost { server_to_client: framed_len(16), ..Cost::default() };
    seed + down_cost(duplex::setup_traffic(ot))
}

/// OTs (S to C, C to S) that are made when the setup of both directions is over.
pub(crate) fn made_at_setup<O: OtExtension>(ot: &O) -> (usize, usize) {
    (duplex::first_made(ot), 0)
}

/// The hashes of random OTs, one per direction: nothing is hashed under a seed that two Deltas share.
#[derive(Clone)]
pub(crate) struct RotHashes {
    /// Of the OTs from S to C.
    pub(crate) down: HashSeed,
    /// Of those from C to S.
    pub(crate) up: HashSeed,
}

impl RotHashes {
    fn new(seed: &Seed) -> Self {
        let hash = |domain| HashSeed::new(&seed.fork(domain, 0));
        Self { down: hash(0), up: hash(1) }
    }
}

/// The hash, and the sessions S to C and C to S, of a party.
type Both<D, U> = (RotHashes, Ot<D>, Ot<U>);

/// The client's setup of the ROT hash and of the sessions S to C and C to S.
pub(crate) fn client_setup<O: OtExtension>(
    ot: &O,
    channel: &mut Channel,
    rng: &mut (dyn CryptoRng + Send),
) -> Result<Both<O::Receiver, O::Sender>, ProtocolError> {
    let HashSeedMessage(seed) = channel.recv(&())?;
    let delta = Delta::random(rng);
    let (down, up) = duplex::receiver_first(ot, delta, channel, rng).map_err(ot_error)?;
    channel.flush()?;
    Ok((RotHashes::new(&seed), Ot::new(down), Ot::new(up)))
}

/// The server's setup of the same.
pub(crate) fn server_setup<O: OtExtension>(
    ot: &O,
    channel: &mut Channel,
    rng: &mut (dyn CryptoRng + Send),
) -> Result<Both<O::Sender, O::Receiver>, ProtocolError> {
    let seed = Seed::random(rng);
    channel.send(&HashSeedMessage(seed.clone()), &())?;
    let delta = Delta::random(rng);
    let (down, up) = duplex::sender_first(ot, delta, channel, rng).map_err(ot_error)?;
    channel.flush()?;
    Ok((RotHashes::new(&seed), Ot::new(down), Ot::new(up)))
}

/// The client's setup of the session S to C alone.
pub(crate) fn client_setup_down<O: OtExtension>(
    ot: &O,
    channel: &mut Channel,
    rng: &mut (dyn CryptoRng + Send),
) -> Result<Ot<O::Receiver>, ProtocolError> {
    let session = ot.receiver(channel, rng).map_err(ot_error)?;
    channel.flush()?;
    Ok(Ot::new(session))
}

/// The server's setup of the session S to C alone.
pub(crate) fn server_setup_down<O: OtExtension>(
    ot: &O,
    channel: &mut Channel,
    rng: &mut (dyn CryptoRng + Send),
) -> Result<Ot<O::Sender>, ProtocolError> {
    let session = ot.sender(Delta::random(rng), channel, rng).map_err(ot_error)?;
    channel.flush()?;
    Ok(Ot::new(session))
}

/// The correlated OTs of one chunk in one direction, at one party.
#[derive(Default)]
pub(crate) struct Made {
    /// y or z.
    blocks: Zeroizing<Vec<Block>>,
    count: usize,
    /// The receiver's.
    pub(crate) choices: BitVec,
    /// The first one's index in the session's hash.
    tweak: u64,
}

impl Made {
    /// As the operations take them.
    pub(crate) fn correlated(&self) -> Correlated<'_> {
        Correlated { blocks: self.blocks.split_at(self.count).0, tweak: self.tweak }
    }

    /// How many.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    fn room(&mut self, count: usize) -> &mut [Block] {
        if self.blocks.len() < count {
            // A new buffer: one that grows would leave its blocks behind unwiped.
            self.blocks = Zeroizing::new(vec![Block::ZERO; count]);
        }
        self.count = count;
        self.blocks.split_at_mut(count).0
    }
}

/// One OT session with the tweaks of its Delta, and buffers that its chunks share.
pub(crate) struct Ot<T> {
    pub(crate) session: T,
    pub(crate) tweaks: TweakCounter,
    spare: Vec<Made>,
}

impl<T> Ot<T> {
    pub(crate) fn new(session: T) -> Self {
        Self { session, tweaks: TweakCounter::new(), spare: Vec::new() }
    }

    /// A buffer with `count` tweaks for hashing OTs.
    fn reserve(&mut self, count: usize) -> Result<Made, ProtocolError> {
        let range = self.tweaks.reserve(purpose::RANDOM_OT, count as u64);
        let tweak = range.map_err(ProtocolError::backend)?.start;
        // The first chunks of a session find no buffer to use again.
        Ok(Made { tweak, ..self.spare.pop().unwrap_or_default() })
    }

    /// Overwrites the buffers once their step is prepared.
    fn wipe(&mut self) {
        for made in &mut self.spare {
            made.blocks.as_mut_slice().zeroize();
            made.choices.zeroize();
        }
    }
}

/// A session in either role.
pub(crate) trait Extend: Send {
    /// The next `count` OTs.
    fn extend(
        &mut self,
        count: usize,
        channel: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Made, ProtocolError>;

    /// Gives a buffer back.
    fn give_back(&mut self, made: Made);

    /// Overwrites all buffers.
    fn wipe(&mut self);
}

/// The party with Delta.
pub(crate) struct Sending<'a, T>(pub(crate) &'a mut Ot<T>);
/// The party with the choices.
pub(crate) struct Receiving<'a, T>(pub(crate) &'a mut Ot<T>);

impl<T: RcotSender> Extend for Sending<'_, T> {
    fn extend(
        &mut self,
        count: usize,
        channel: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Made, ProtocolError> {
        let mut made = self.0.reserve(count)?;
        let out = made.room(count);
        if count > 0 {
            self.0.session.extend(out, channel, rng).map_err(ot_error)?;
        }
        Ok(made)
    }

    fn give_back(&mut self, made: Made) {
        self.0.spare.push(made);
    }

    fn wipe(&mut self) {
        self.0.wipe();
    }
}

impl<T: RcotReceiver> Extend for Receiving<'_, T> {
    fn extend(
        &mut self,
        count: usize,
        channel: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Made, ProtocolError> {
        let mut made = self.0.reserve(count)?;
        let mut choices = std::mem::take(&mut made.choices);
        let out = made.room(count);
        if count > 0 {
            self.0.session.extend(&mut choices, out, channel, rng).map_err(ot_error)?;
        }
        made.choices = choices;
        Ok(made)
    }

    fn give_back(&mut self, made: Made) {
        self.0.spare.push(made);
    }

    fn wipe(&mut self) {
        self.0.wipe();
    }
}
