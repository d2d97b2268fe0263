//! Two sessions, one per direction, from one run of base OTs.
//!
//! The first session's OTs go from the party with its Delta to the other: that is the direction of the
//! base OTs that the second session wants, whose Delta the other party holds.
//!
//! ```text
//! first party (first Delta)                    second party (second Delta)
//! sender_first:                                receiver_first:
//!   a session as sender, on base OTs             a session as receiver, on base OTs
//!   its first OTs: y                             its first OTs: b, z = y ^ b Delta
//!                                       ◄──    d = b ^ the bits c of the second Delta
//!   k_c = H(y ^ (c ^ d) Delta), c = 0, 1         k_c = H(z)
//!   a session as receiver, on these              a session as sender, on these
//! ```
//!
//! Half the public-key work and bytes. The first session is checked like any other; d hides c under
//! choices that nothing else uses; strings are hashed with a label of their own. Each session is made under a binding
//! of its own, H(session, direction): no hash, key or check of one direction has the input of one of the other.

use gazelle_block::{BitVec, Block, Delta};
use gazelle_prg::Seed;
use gazelle_wire::traffic::framed_len;
use gazelle_wire::{Channel, Message};
use rand_core::CryptoRng;
use zeroize::{Zeroize, Zeroizing};

use crate::base::{BaseReceiver, BaseSender};
use crate::error::OtError;
use crate::extension::{OtExtension, RcotReceiver, RcotSender};
use crate::traffic::OtTraffic;

/// Label of the derivation; a change of the protocol changes it.
const LABEL: &str = "gazelle-ot 2026 base OT from a session v1";
/// Label of the directions' bindings.
const DIRECTION: &str = "gazelle-ot 2026 direction of a session v1";

/// Both sessions, as the party that is the sender of the first.
///
/// # Errors
/// As [`OtExtension::sender`].
pub fn sender_first<O: OtExtension>(
    ot: &O,
    delta: Delta,
    ch: &mut Channel,
    rng: &mut (dyn CryptoRng + Send),
) -> Result<(O::Sender, O::Receiver), OtError> {
    let mut first = bound_to(DuplexHalf::First, ch, |ch| ot.sender(delta, ch, rng))?;
    let second = bound_to(DuplexHalf::Second, ch, |ch| {
        ot.second().receiver_over(&mut Extended(&mut first), ch, rng)
    })?;
    Ok((first, second))
}

/// Both sessions, as the party that is the receiver of the first and the sender (with `delta`) of the
/// second.
///
/// # Errors
/// As [`OtExtension::receiver`].
pub fn receiver_first<O: OtExtension>(
    ot: &O,
    delta: Delta,
    ch: &mut Channel,
    rng: &mut (dyn CryptoRng + Send),
) -> Result<(O::Receiver, O::Sender), OtError> {
    let mut first = bound_to(DuplexHalf::First, ch, |ch| ot.receiver(ch, rng))?;
    let second = bound_to(DuplexHalf::Second, ch, |ch| {
        ot.second().sender_over(&mut Extended(&mut first), delta, ch, rng)
    })?;
    Ok((first, second))
}

/// Which of both sessions.
#[derive(Clone, Copy)]
enum DuplexHalf {
    First = 1,
    Second = 2,
}

/// Makes a session under the binding of its direction; the channel's own is back afterwards.
fn bound_to<T>(
    half: DuplexHalf,
    ch: &mut Channel,
    make: impl FnOnce(&mut Channel) -> Result<T, OtError>,
) -> Result<T, OtError> {
    let session = *ch.binding();
    let mut hasher = blake3::Hasher::new_derive_key(DIRECTION);
    hasher.update(&session).update(&[half as u8]);
    ch.bind(*hasher.finalize().as_bytes());
    let made = make(ch);
    ch.bind(session);
    made
}

/// Exact bytes of both setups; "sender" is the sender of the first session.
pub fn setup_traffic<O: OtExtension>(ot: &O) -> OtTraffic {
    let count = first_made(ot);
    let choices = if count > 0 { framed_len(BitVec::encoded_len(&count)) } else { 0 };
    let second = ot.second().setup_traffic_over();
    ot.setup_traffic()
        + ot.extend_traffic(0, count)
        + OtTraffic {
            sender_to_receiver: second.receiver_to_sender,
            receiver_to_sender: second.sender_to_receiver + choices,
        }
}

/// OTs that the first session has made when the setup is over.
pub fn first_made<O: OtExtension>(ot: &O) -> usize {
    ot.second().base_count()
}

/// A session whose next OTs serve as base OTs.
struct Extended<'a, T>(&'a mut T);

impl<S: RcotSender> BaseSender for Extended<'_, S> {
    fn send(
        &mut self,
        count: usize,
        purpose: &str,
        ch: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Vec<[Seed; 2]>, OtError> {
        let mut y = Zeroizing::new(vec![Block::ZERO; count]);
        self.0.extend(&mut y, ch, rng)?;
        let flips = ch.recv::<BitVec>(&count)?;
        let kdf = ExtendedKdf::new(purpose, ch);
        let delta = self.0.delta().block();
        let strings = y.iter().zip(flips.iter()).enumerate();
        let strings = strings
            .map(|(i, (y, d))| [d, !d].map(|choice| kdf.string(i, *y ^ delta.select(choice))));
        Ok(strings.collect())
    }
}

impl<R: RcotReceiver> BaseReceiver for Extended<'_, R> {
    fn receive(
        &mut self,
        choices: &[bool],
        purpose: &str,
        ch: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Vec<Seed>, OtError> {
        let mut z = Zeroizing::new(vec![Block::ZERO; choices.len()]);
        let mut flips = BitVec::new();
        self.0.extend(&mut flips, &mut z, ch, rng)?;
        flips.xor_assign(&BitVec::from_bools(choices));
        ch.send(&flips, &choices.len())?;
        let kdf = ExtendedKdf::new(purpose, ch);
        Ok(z.iter().enumerate().map(|(i, z)| kdf.string(i, *z)).collect())
    }
}

struct ExtendedKdf(blake3::Hasher);

impl ExtendedKdf {
    fn new(purpose: &str, ch: &Channel) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(LABEL);
        hasher.update(ch.binding());
        hasher.update(&(purpose.len() as u64).to_le_bytes()).update(purpose.as_bytes());
        Self(hasher)
    }

    fn string(&self, index: usize, block: Block) -> Seed {
        let mut hasher = self.0.clone();
        let mut bytes = block.to_bytes();
        hasher.update(&(index as u64).to_le_bytes()).update(&bytes);
        hasher.finalize_xof().fill(&mut bytes);
        hasher.zeroize();
        let seed = Seed::from_bytes(bytes);
        bytes.zeroize();
        seed
    }
}

#[cfg(test)]
mod tests {
    use gazelle_wire::memory;

    use super::*;

    #[test]
    fn properties_each_direction_has_a_binding_of_its_own_and_the_session_keeps_its() {
        let (mut ch, _other) = memory::pair();
        let bindings = [[0; 32], [7; 32]].map(|session| {
            ch.bind(session);
            let mut under = |half| bound_to(half, &mut ch, |ch| Ok(*ch.binding()));
            let both = [DuplexHalf::First, DuplexHalf::Second].map(|one| under(one).unwrap());
            let failed = bound_to(DuplexHalf::First, &mut ch, |_| Err::<(), _>(OtError::Dead));
            assert!(failed.is_err());
            assert_eq!(*ch.binding(), session);
            [session, both[0], both[1]]
        });
        let mut all = bindings.concat();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 6);
    }
}
