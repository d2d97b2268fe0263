//! Material on its way to a store and back, at either party: masks and shares at the plan's widths, then the
//! steps' own.
//!
//! | client | server |
//! |---|---|
//! | command `keep`, an entry's id, the holder's -> | whether it has room -> |
//! | offline phase | the same |
//! | stores its half | stores its half; says so -> |
//! | later: command `use`, the id -> | takes its half off the store, durably; says its tag |
//! | takes its half off its store, durably; reads it; the same tag? | reads it; says whether it could |
//! | command `infer` | |
//!
//! A half begins with a tag, H(digest of the session that made it, entry's id): halves of two sessions that came
//! to the same name never meet.
//!
//! Nothing of the input moves before both have taken the entry off their stores and have read it to its end. So
//! a party whose store was restored from a copy finds that the other one has spent the entry.

use std::io::{self, Read, Write};

use gazelle_share::{NonlinearClient, NonlinearServer, Shares};
use gazelle_wire::packed::{pack, unpack};
use gazelle_wire::{Channel, PackedShape};
use zeroize::Zeroizing;

use crate::error::GazelleError;
use crate::plan::Plan;
use crate::session::kept::ServerShelf;
use crate::session::message::{EntriesThere, EntryIds};

#[expect(clippy::needless_pass_by_value, reason = "what `map_err` gives")]
fn unreadable(error: io::Error) -> GazelleError {
    GazelleError::Kept(error.to_string())
}

fn write_shares(out: &mut dyn Write, shares: &Shares) -> io::Result<()> {
    let shape = PackedShape { count: shares.len(), bits: shares.bits() };
    let mut bytes = Zeroizing::new(Vec::with_capacity(shape.bytes() + 8));
    pack(shares.words(), shares.bits(), &mut bytes);
    out.write_all(&bytes)
}

fn read_shares(input: &mut dyn Read, bits: u32, count: usize) -> Result<Shares, GazelleError> {
    let mut bytes = Zeroizing::new(vec![0; PackedShape { count, bits }.bytes()]);
    input.read_exact(&mut bytes).map_err(unreadable)?;
    let words = unpack(&bytes, bits, count).map_err(|_| foreign())?;
    Ok(Shares::new(bits, words))
}

fn foreign() -> GazelleError {
    GazelleError::Kept("it is none of this model's".into())
}

/// Refuses what follows the material.
fn end(input: &mut dyn Read) -> Result<(), GazelleError> {
    match input.read(&mut [0]).map_err(unreadable)? {
        0 => Ok(()),
        _ => Err(foreign()),
    }
}

/// What both halves of an entry begin with: `binding` is the digest of the session that makes it.
pub(crate) fn pair_of(binding: &[u8; 32], entry: &[u8; 32]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("gazelle 2026 halves of an entry");
    hasher.update(binding).update(entry);
    *hasher.finalize().as_bytes()
}

/// An entry that a client wants both to store.
pub(crate) struct WantedEntry {
    pub(crate) entry: [u8; 32],
    /// Of the client's store.
    pub(crate) holder: [u8; 32],
    /// The tag of both halves.
    pub(crate) pair: [u8; 32],
}

impl WantedEntry {
    /// Reads what follows the command, and says whether there is room: before anything is made or counted.
    pub(crate) fn receive(
        shelf: Option<&dyn ServerShelf>,
        channel: &mut Channel,
    ) -> Result<Option<Self>, GazelleError> {
        let EntryIds(ids) = channel.recv(&2)?;
        let room = shelf.is_some_and(ServerShelf::has_room);
        let replica = replica(shelf);
        channel.send(&EntriesThere { there: vec![room], replica }, &1)?;
        channel.flush()?;
        let &[entry, holder] = ids.as_slice() else { return Ok(None) };
        let pair = pair_of(channel.binding(), &entry);
        Ok(room.then_some(Self { entry, holder, pair }))
    }
}

/// Which of several servers this is; zero for one without a store.
pub(crate) fn replica(shelf: Option<&dyn ServerShelf>) -> [u8; 32] {
    // optional: who has no store has no name either
    shelf.map(ServerShelf::replica).unwrap_or_default()
}

/// The tag that a half begins with.
pub(crate) fn read_pair(input: &mut dyn Read) -> Result<[u8; 32], GazelleError> {
    let mut pair = [0; 32];
    input.read_exact(&mut pair).map_err(unreadable)?;
    Ok(pair)
}

/// The client's half: its tag, its input's mask, and its part of all steps.
pub(crate) fn write_client<C: NonlinearClient>(
    session: &C,
    (pair, input_mask): (&[u8; 32], &Shares),
    steps: &[C::Prepared],
    out: &mut dyn Write,
) -> io::Result<()> {
    out.write_all(pair)?;
    write_shares(out, input_mask)?;
    steps.iter().try_for_each(|step| session.store(step, out))
}

/// The same, read to its end; refused if its tag is not that of the server's half.
pub(crate) fn read_client<C: NonlinearClient>(
    session: &C,
    (plan, pair): (&Plan, &[u8; 32]),
    input: &mut dyn Read,
) -> Result<(Shares, Vec<C::Prepared>), GazelleError> {
    if read_pair(input)? != *pair {
        return Err(GazelleError::Kept("the server's half was made in another session".into()));
    }
    let tensor = plan.architecture().input();
    let mask = read_shares(input, tensor.ring_bits, tensor.shape.len())?;
    let load = |step| session.load(step, input).map_err(|e| GazelleError::Kept(e.to_string()));
    let steps = (0..plan.steps().len()).map(load).collect::<Result<_, _>>()?;
    end(input)?;
    Ok((mask, steps))
}

/// The server's half: its tag, v of all operators, by group, and its part of all steps.
pub(crate) fn write_server<S: NonlinearServer>(
    session: &S,
    (pair, shares): (&[u8; 32], &[Vec<Shares>]),
    steps: &[S::Prepared],
    out: &mut dyn Write,
) -> io::Result<()> {
    out.write_all(pair)?;
    shares.iter().flatten().try_for_each(|shares| write_shares(out, shares))?;
    steps.iter().try_for_each(|step| session.store(step, out))
}

/// What [`read_server`] gives: v by group and operator, and the steps' material.
pub(crate) type ServerHalf<P> = (Vec<Vec<Shares>>, Vec<P>);

/// The same, read to its end from behind the tag.
pub(crate) fn read_server<S: NonlinearServer>(
    session: &S,
    plan: &Plan,
    input: &mut dyn Read,
) -> Result<ServerHalf<S::Prepared>, GazelleError> {
    let mut shares = Vec::with_capacity(plan.groups().len());
    for group in plan.groups().iter() {
        let v = group
            .ops
            .iter()
            .map(|op| read_shares(input, group.output_bits(), op.output_shape().len()));
        shares.push(v.collect::<Result<_, _>>()?);
    }
    let load = |step| session.load(step, input).map_err(|e| GazelleError::Kept(e.to_string()));
    let steps = (0..plan.steps().len()).map(load).collect::<Result<_, _>>()?;
    end(input)?;
    Ok((shares, steps))
}
