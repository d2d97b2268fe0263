//! A bad link or peer: each message of each extension flipped, cut, replayed, dropped or replaced.

use gazelle_block::{BitVec, Block, Delta};
use gazelle_ot::adapt::{WordShape, chosen, one_of_n};
use gazelle_ot::ferret::Parameters;
use gazelle_ot::{
    BaseOt, Ferret, IdealOt, Iknp, OtError, OtExtension, RcotReceiver, RcotSender, RotReceiver,
    RotSender, SoftSpoken,
};
use gazelle_wire::Channel;
use gazelle_wire::recording::Mutation;
use gazelle_wire::testing::{Tampered, run_two_tampered};

use super::support::rng;

type Received = Result<(BitVec, Vec<Block>), OtError>;
type Sent = Result<(Delta, Vec<Block>), OtError>;

fn receiver<O: OtExtension>(extension: &O, count: usize, ch: &mut Channel) -> Received {
    let mut rng = rng(1);
    let result = (|| {
        let mut session = extension.receiver(ch, &mut rng)?;
        let (mut choices, mut z) = (BitVec::new(), vec![Block::ZERO; count]);
        for _ in 0..2 {
            session.extend(&mut choices, &mut z, ch, &mut rng)?;
        }
        ch.flush()?;
        Ok((choices, z))
    })();
    if result.is_err() {
        ch.send_error();
    }
    result
}

fn sender<O: OtExtension>(extension: &O, count: usize, ch: &mut Channel) -> Sent {
    let mut rng = rng(2);
    let result = (|| {
        let delta = Delta::random(&mut rng);
        let mut session = extension.sender(delta, ch, &mut rng)?;
        let mut y = vec![Block::ZERO; count];
        for _ in 0..2 {
            session.extend(&mut y, ch, &mut rng)?;
        }
        ch.flush()?;
        Ok((session.delta().clone(), y))
    })();
    if result.is_err() {
        ch.send_error();
    }
    result
}

/// What is done to frame `frame`: everything; but a dropped frame takes a whole time-out to notice, so
/// only the first one is dropped.
fn mutations(frame: usize) -> impl Iterator<Item = Mutation> {
    Mutation::all().into_iter().filter(move |mutation| frame == 0 || *mutation != Mutation::Drop)
}

/// Every mutation of frames 0 to `frames - 1` of both parties ends in an error or in a result; what
/// changes a frame's header or length is always noticed, and where the extension is `checked`, so is
/// everything else that makes a difference.
fn survives<O: OtExtension + 'static>(extension: &O, count: usize, frames: usize, checked: bool) {
    let cases = [Tampered::Client, Tampered::Server]
        .into_iter()
        .flat_map(|party| (0..frames).map(move |frame| (party, frame)))
        .flat_map(|(party, frame)| mutations(frame).map(move |m| (party, frame, m)));
    for (party, frame, mutation) in cases {
        let (one, two) = (extension.clone(), extension.clone());
        let (received, sent) = run_two_tampered(
            party,
            frame,
            mutation,
            move |mut ch| receiver(&one, count, &mut ch),
            move |mut ch| sender(&two, count, &mut ch),
        );
        let untouched = match (&received, &sent) {
            (Ok((choices, z)), Ok((delta, y))) => {
                let mut pairs = y.iter().zip(z).zip(choices.iter());
                pairs.all(|((y, z), b)| *z == *y ^ delta.block().select(b))
            }
            _ => false,
        };
        let header = matches!(mutation, Mutation::Flip { bit } if bit < 64);
        if checked || header || matches!(mutation, Mutation::Truncate { .. } | Mutation::Drop) {
            let sent_by = if party == Tampered::Client { "client" } else { "server" };
            assert!(
                received.is_err() || sent.is_err() || untouched,
                "{mutation:?} of the {sent_by}'s frame {frame} went unnoticed"
            );
        }
    }
}

#[test]
fn ideal_ot_survives_a_bad_link() {
    survives(&IdealOt, 100, 1, false);
}

#[test]
fn iknp_survives_a_bad_link() {
    survives(&Iknp::new().with_base(BaseOt::Classic), 300, 6, true);
}

#[test]
fn softspoken_survives_a_bad_link() {
    survives(&SoftSpoken::K8.with_base(BaseOt::Classic), 300, 8, true);
}

#[test]
fn ferret_survives_a_bad_link() {
    survives(&Ferret::new(Parameters::TOY).with_base(BaseOt::Classic), 300, 9, true);
}

/// Both sides of every adapter with a message of its own.
fn adapters_receive(ch: &mut Channel) -> Result<(), OtError> {
    let mut rng = rng(1);
    let run = (|| {
        let mut session = RotReceiver::new(IdealOt.receiver(ch, &mut rng)?, ch)?;
        let choices = BitVec::random(WORDS.count, &mut rng);
        let strings = session.strings(WORDS.count, WORDS.blocks(), ch, &mut rng)?;
        chosen::receive(strings, WORDS, &choices, ch)?;
        let strings = session.strings(WORDS.count, 1, ch, &mut rng)?;
        chosen::receive_blocks(strings, &choices, ch)?;
        one_of_n::receive(&mut session, MANY, &[3; WORDS.count], ch, &mut rng)?;
        Ok(ch.flush()?)
    })();
    if run.is_err() {
        ch.send_error();
    }
    run
}

fn adapters_send(ch: &mut Channel) -> Result<(), OtError> {
    let mut rng = rng(2);
    let run = (|| {
        let session = IdealOt.sender(Delta::random(&mut rng), ch, &mut rng)?;
        let mut session = RotSender::new(session, ch, &mut rng)?;
        let words = [5; WORDS.words()];
        let strings = session.strings(WORDS.count, WORDS.blocks(), ch, &mut rng)?;
        chosen::send(strings, WORDS, &words, &words, ch)?;
        let strings = session.strings(WORDS.count, 1, ch, &mut rng)?;
        let blocks = [Block(9); WORDS.count];
        chosen::send_blocks(strings, &blocks, &blocks, ch)?;
        one_of_n::send(&mut session, MANY, &[1; 4 * WORDS.words()], ch, &mut rng)?;
        Ok(ch.flush()?)
    })();
    if run.is_err() {
        ch.send_error();
    }
    run
}

const WORDS: WordShape = WordShape { count: 30, length: 3, bits: 11 };
const MANY: one_of_n::Shape = one_of_n::Shape { words: WORDS, log2_n: 2 };

#[test]
fn adapters_survive_a_bad_link() {
    for (party, frames) in [(Tampered::Client, 3), (Tampered::Server, 5)] {
        for frame in 0..frames {
            for mutation in mutations(frame) {
                let (received, sent) = run_two_tampered(
                    party,
                    frame,
                    mutation,
                    |mut ch| adapters_receive(&mut ch),
                    |mut ch| adapters_send(&mut ch),
                );
                let header = matches!(mutation, Mutation::Flip { bit } if bit < 64);
                if header || matches!(mutation, Mutation::Truncate { .. } | Mutation::Drop) {
                    assert!(received.is_err() || sent.is_err(), "{mutation:?} of frame {frame}");
                }
            }
        }
    }
}

#[test]
fn adapters_run_on_a_good_link() {
    let (received, sent) = gazelle_wire::testing::run_two(
        |mut ch| adapters_receive(&mut ch),
        |mut ch| adapters_send(&mut ch),
    );
    assert!(received.is_ok() && sent.is_ok());
}
