//! The OT sessions under both backends: their setup, their cost, and buffers of correlated OTs.
//!
//! | client | server |
//! |---|---|
//! | OTs S to C (`down`): receiver | sender |
//! | OTs C to S (`up`, if a step needs them): sender | receiver |
//!
//! With both directions the server sends the public seed of the ROT hash ahead.

use gazelle_block::hash::HashSeed;
use gazelle_block::{BitVec, Block, Delta, TweakCounter};
use gazelle_convert::Correlated;
use gazelle_ot::{
    Half, OtError, OtExtension, OtTraffic, RcotReceiver, RcotSender, Speaker, duplex,
};
use gazelle_prg::Seed;
use gazelle_share::ProtocolError;
use gazelle_wire::traffic::framed_len;
use gazelle_wire::{Channel, Cost, DecodeError, Message, Reader};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

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
        OtError::Misbehaved { check } => ProtocolError::Cheating(check),
        error @ OtError::InvalidPoint { .. } => ProtocolError::Peer(error.to_string()),
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

/// The correlated OTs of one call in one direction, at one party. Wiped on drop.
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
        Correlated { blocks: self.blocks(), tweak: self.tweak }
    }

    /// y or z.
    pub(crate) fn blocks(&self) -> &[Block] {
        self.blocks.split_at(self.count).0
    }

    /// How many.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// How many there is room for.
    pub(crate) fn room(&self) -> usize {
        self.blocks.len()
    }

    /// Makes room for `count` OTs, the first of which has this tweak.
    pub(crate) fn resize(&mut self, count: usize, tweak: u64) {
        if self.blocks.len() < count {
            // A new buffer: one that grows would leave its blocks behind unwiped.
            self.blocks = Zeroizing::new(vec![Block::ZERO; count]);
        }
        (self.count, self.tweak) = (count, tweak);
    }
}

/// One OT session with the tweaks of its Delta.
pub(crate) struct Ot<T> {
    pub(crate) session: T,
    pub(crate) tweaks: TweakCounter,
}

impl<T> Ot<T> {
    pub(crate) fn new(session: T) -> Self {
        Self { session, tweaks: TweakCounter::new() }
    }
}

/// A session in either role.
pub(crate) trait Extend: Send {
    /// Whether this party speaks when OTs are made.
    fn speaks(&self) -> bool;

    /// Says and hears what goes ahead of the next `count` OTs.
    fn announce(
        &mut self,
        count: usize,
        channel: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<(), ProtocolError>;

    /// The next OTs, as many as `made` has room for.
    fn make(
        &mut self,
        made: &mut Made,
        half: Half<'_>,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<(), ProtocolError>;
}

/// The party with Delta.
pub(crate) struct Sending<'a, T>(pub(crate) &'a mut T);
/// The party with the choices.
pub(crate) struct Receiving<'a, T>(pub(crate) &'a mut T);
/// No session: of a direction in which no OTs are made.
pub(crate) struct Silent;

impl<T: RcotSender> Extend for Sending<'_, T> {
    fn speaks(&self) -> bool {
        self.0.speaker() == Speaker::Sender
    }

    fn announce(
        &mut self,
        count: usize,
        channel: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<(), ProtocolError> {
        self.0.announce(count, channel, rng).map_err(ot_error)
    }

    fn make(
        &mut self,
        made: &mut Made,
        half: Half<'_>,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<(), ProtocolError> {
        if made.count == 0 {
            return Ok(());
        }
        let (out, _) = made.blocks.split_at_mut(made.count);
        self.0.make(out, half, rng).map_err(ot_error)
    }
}

impl<T: RcotReceiver> Extend for Receiving<'_, T> {
    fn speaks(&self) -> bool {
        self.0.speaker() == Speaker::Receiver
    }

    fn announce(
        &mut self,
        count: usize,
        channel: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<(), ProtocolError> {
        self.0.announce(count, channel, rng).map_err(ot_error)
    }

    fn make(
        &mut self,
        made: &mut Made,
        half: Half<'_>,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<(), ProtocolError> {
        if made.count == 0 {
            return Ok(());
        }
        let (out, _) = made.blocks.split_at_mut(made.count);
        self.0.make(&mut made.choices, out, half, rng).map_err(ot_error)
    }
}

impl Extend for Silent {
    fn speaks(&self) -> bool {
        false
    }

    fn announce(
        &mut self,
        _count: usize,
        _channel: &mut Channel,
        _rng: &mut (dyn CryptoRng + Send),
    ) -> Result<(), ProtocolError> {
        Ok(())
    }

    fn make(
        &mut self,
        made: &mut Made,
        _half: Half<'_>,
        _rng: &mut (dyn CryptoRng + Send),
    ) -> Result<(), ProtocolError> {
        match made.count {
            0 => Ok(()),
            _ => Err(ProtocolError::Defect("OTs of a direction that has no session")),
        }
    }
}
