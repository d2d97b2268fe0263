//! Base OTs whose sender lied about a pair, so that a string depends on the neighbouring choice (protocol.md,
//! 7.1): under an extension that is a guess of Delta, which goes wrong with an error.

use gazelle_block::{BitVec, Block, Delta};
use gazelle_ot::{
    BaseOt, BaseReceiver, BaseSender, Iknp, OtError, OtExtension, RcotReceiver, RcotSender,
    SoftSpoken,
};
use gazelle_prg::Seed;
use gazelle_wire::Channel;
use gazelle_wire::testing::run_two;
use rand_core::CryptoRng;

use super::support::rng;

/// The other string.
fn other() -> Seed {
    Seed::from_bytes([0x77; 16])
}

/// What the receiver of such base OTs gets: OT `of`'s string is another one where its choice and its neighbour's are
/// these.
struct Spoilt {
    of: usize,
    choices: (bool, bool),
    /// Which of both it has, and whether it is the spoilt one.
    chose: bool,
    hit: bool,
}

impl BaseReceiver for Spoilt {
    fn receive(
        &mut self,
        choices: &[bool],
        purpose: &str,
        ch: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Vec<Seed>, OtError> {
        let mut strings = BaseOt::Classic.receive(choices, purpose, ch, rng)?;
        self.chose = choices[self.of];
        self.hit = (choices[self.of], choices[self.of ^ 1]) == self.choices;
        if self.hit {
            strings[self.of] = other();
        }
        Ok(strings)
    }
}

/// The sender: with `bets` it goes on with the string that only those have who made these choices.
struct Liar {
    of: usize,
    string: bool,
    bets: bool,
}

impl BaseSender for Liar {
    fn send(
        &mut self,
        count: usize,
        purpose: &str,
        ch: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Vec<[Seed; 2]>, OtError> {
        let mut strings = BaseOt::Classic.send(count, purpose, ch, rng)?;
        if self.bets {
            strings[self.of][usize::from(self.string)] = other();
        }
        Ok(strings)
    }
}

/// Whether the sender's lie is wrong for this receiver, and what the party with Delta makes of the session.
fn session<O: OtExtension + 'static>(
    extension: &O,
    (of, choices, seed): (usize, (bool, bool), u8),
    bets: bool,
) -> (bool, Result<(), OtError>) {
    let (one, two, count) = (extension.clone(), extension.clone(), 300);
    let (received, (wrong, sent)) = run_two(
        move |mut ch| -> Result<_, OtError> {
            let mut rng = rng(1);
            let mut liar = Liar { of, string: choices.0, bets };
            let mut session = one.receiver_over(&mut liar, &mut ch, &mut rng)?;
            let (mut choices, mut z) = (BitVec::new(), vec![Block::ZERO; count]);
            session.extend(&mut choices, &mut z, &mut ch, &mut rng)?;
            ch.flush()?;
            Ok((choices, z))
        },
        move |mut ch| {
            let mut rng = rng(seed);
            let delta = Delta::random(&mut rng);
            let mut base = Spoilt { of, choices, chose: false, hit: false };
            let sent = (|| {
                let mut session = two.sender_over(&mut base, delta, &mut ch, &mut rng)?;
                let mut y = vec![Block::ZERO; count];
                session.extend(&mut y, &mut ch, &mut rng)?;
                Ok((session.delta().clone(), y))
            })();
            if sent.is_err() {
                ch.send_error();
            }
            let Spoilt { chose, hit, .. } = base;
            (if bets { chose == choices.0 && !hit } else { hit }, sent)
        },
    );
    let sent = sent.map(|(delta, y)| {
        let (choices, z) = received.unwrap();
        let mut all = y.iter().zip(&z).zip(choices.iter());
        assert!(all.all(|((y, z), b)| *z == *y ^ delta.block().select(b)));
    });
    (wrong, sent)
}

fn check<O: OtExtension + 'static>(extension: &O) {
    for bets in [false, true] {
        let mut caught = 0;
        for number in 0..24u8 {
            let choices = (number & 1 == 1, number & 2 == 2);
            let lie = (usize::from(number) * 5, choices, 10 + number);
            let (wrong, sent) = session(extension, lie, bets);
            match sent {
                Ok(()) => assert!(!wrong, "{number}: a spoilt string goes unnoticed"),
                Err(error) => {
                    let misbehaved = matches!(error, OtError::Misbehaved { .. });
                    assert!(wrong && misbehaved, "{number}: {error}");
                }
            }
            caught += u32::from(wrong);
        }
        assert!((1..24).contains(&caught), "{caught} of 24");
    }
}

#[test]
fn adversarial_a_string_that_depends_on_its_neighbour_is_a_guess_of_delta_and_a_wrong_one_is_caught()
 {
    check(&Iknp::new().with_base(BaseOt::Classic));
    for extension in [SoftSpoken::K2, SoftSpoken::K4, SoftSpoken::K8] {
        check(&extension.with_base(BaseOt::Classic));
    }
}
