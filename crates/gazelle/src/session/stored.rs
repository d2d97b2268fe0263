//! Material on its way to a store and back, at either party: masks and shares at the plan's widths, then the
//! steps' own.
//!
//! | client | server |
//! |---|---|
//! | command `keep`, an entry's id; offline phase | the same |
//! | stores its half | stores its half; says so -> |
//! | later: command `use`, the id -> | takes its half off the store, durably; reads it; says so |
//! | takes its half off its store, durably; reads it | |
//! | command `infer` | |
//!
//! Nothing of the input moves before both have taken the entry off their stores and have read it to its end. So
//! a party whose store was restored from a copy finds that the other one has spent the entry.

use std::io::{self, Read, Write};

use gazelle_share::{NonlinearClient, NonlinearServer, Shares};
use gazelle_wire::PackedShape;
use gazelle_wire::packed::{pack, unpack};
use zeroize::Zeroizing;

use crate::error::GazelleError;
use crate::plan::Plan;

/// Writes something into a store.
pub type WriteInto<'a> = dyn FnMut(&mut dyn Write) -> io::Result<()> + 'a;

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

/// The client's half: its input's mask, and its part of all steps.
pub(crate) fn write_client<C: NonlinearClient>(
    session: &C,
    input_mask: &Shares,
    steps: &[C::Prepared],
    out: &mut dyn Write,
) -> io::Result<()> {
    write_shares(out, input_mask)?;
    steps.iter().try_for_each(|step| session.store(step, out))
}

/// The same, read to its end.
pub(crate) fn read_client<C: NonlinearClient>(
    session: &C,
    plan: &Plan,
    input: &mut dyn Read,
) -> Result<(Shares, Vec<C::Prepared>), GazelleError> {
    let tensor = plan.architecture().input();
    let mask = read_shares(input, tensor.ring_bits, tensor.shape.len())?;
    let load = |step| session.load(step, input).map_err(|e| GazelleError::Kept(e.to_string()));
    let steps = (0..plan.steps().len()).map(load).collect::<Result<_, _>>()?;
    end(input)?;
    Ok((mask, steps))
}

/// The server's half: v of all operators, by group, and its part of all steps.
pub(crate) fn write_server<S: NonlinearServer>(
    session: &S,
    shares: &[Vec<Shares>],
    steps: &[S::Prepared],
    out: &mut dyn Write,
) -> io::Result<()> {
    shares.iter().flatten().try_for_each(|shares| write_shares(out, shares))?;
    steps.iter().try_for_each(|step| session.store(step, out))
}

/// What [`read_server`] gives: v by group and operator, and the steps' material.
pub(crate) type ServerHalf<P> = (Vec<Vec<Shares>>, Vec<P>);

/// The same, read to its end.
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
