//! Each adapter against its formula, over the ideal extension and over IKNP, with exact bytes.

use gazelle_block::hash::HashSeed;
use gazelle_block::tweak::purpose;
use gazelle_block::{BitVec, Block, Delta};
use gazelle_ot::adapt::{WordShape, chosen, one_of_n, random};
use gazelle_ot::{
    Half, IdealOt, Iknp, OtError, OtExtension, OtTraffic, RcotSender, RotReceiver, RotSender,
    Speaker, testing,
};
use gazelle_wire::testing::run_two;
use rand_core::Rng;

use super::support::{rng, with_sessions};

/// Hands out OTs that were made elsewhere.
struct Replay(Delta, Vec<Block>, usize);
impl RcotSender for Replay {
    fn delta(&self) -> &Delta {
        &self.0
    }
    fn speaker(&self) -> Speaker {
        Speaker::Sender
    }
    fn make(
        &mut self,
        out: &mut [Block],
        _: Half<'_>,
        _: &mut (dyn rand_core::CryptoRng + Send),
    ) -> Result<(), OtError> {
        out.copy_from_slice(&self.1[self.2..][..out.len()]);
        self.2 += out.len();
        Ok(())
    }
}

const SHAPES: [WordShape; 7] = [
    WordShape::scalar(1, 1),
    WordShape::scalar(77, 1),
    WordShape::scalar(200, 37),
    WordShape::scalar(33, 64),
    WordShape { count: 20, length: 5, bits: 37 },
    WordShape { count: 3, length: 150, bits: 20 },
    WordShape { count: 9, length: 4, bits: 64 },
];

fn random_words(shape: WordShape, role: u8) -> Vec<u64> {
    let mut rng = rng(role);
    (0..shape.words()).map(|_| rng.next_u64() >> (64 - shape.bits)).collect()
}

#[test]
fn conformance_random_ot_gives_both_strings_to_one_and_one_to_the_other() {
    fn check<O: OtExtension + 'static>(extension: &O) {
        let blocks = 3;
        let counts = [1usize, 600, 130];
        let (received, sent, traffic) = with_sessions(
            extension,
            move |session, ch, rng| {
                counts.map(|count| session.strings(count, blocks, ch, rng).unwrap())
            },
            move |session, ch, rng| {
                counts.map(|count| session.strings(count, blocks, ch, rng).unwrap())
            },
        );
        let (mut made, mut expected) = (0, OtTraffic::default());
        let mut seen = std::collections::HashSet::new();
        for ((received, sent), count) in received.iter().zip(&sent).zip(counts) {
            assert_eq!((received.count(), sent.count()), (count, count));
            for at in 0..count * blocks {
                let (zero, one, got) = (sent.zeros()[at], sent.ones()[at], received.strings()[at]);
                let choice = received.choices().get(at % count);
                assert!(got == if choice { one } else { zero } && zero != one);
                assert!(seen.insert(zero.0) && seen.insert(one.0), "no string repeats");
            }
            expected += extension.extend_traffic(made, count);
            made += count;
        }
        assert_eq!(traffic, expected);
    }
    check(&IdealOt);
    check(&Iknp::new());
}

/// `k_c = H(y ^ c Delta; idx)`: the strings are the hash's, with indices that run over the session.
#[test]
fn conformance_strings_are_hashes_under_running_indices() {
    let made = testing::run(&IdealOt, &[300], 9);
    let (delta, y) = (made.delta.clone(), made.y.clone());
    let (seed, strings) = run_two(
        |mut ch| ch.recv::<gazelle_block::Blocks>(&1).unwrap().0[0],
        move |mut ch| {
            let mut rng = rng(2);
            let mut session = RotSender::new(Replay(delta, y, 0), &mut ch, &mut rng).unwrap();
            [100, 200].map(|count| session.strings(count, 1, &mut ch, &mut rng).unwrap())
        },
    );
    let hash = HashSeed::new(&gazelle_prg::Seed::from_bytes(seed.to_bytes()));
    let mut zeros = vec![Block::ZERO; 300];
    let mut ones = zeros.clone();
    let first = u64::from(purpose::RANDOM_OT) << 56;
    hash.hash(first, &made.y, &mut zeros);
    let flipped: Vec<Block> = made.y.iter().map(|y| *y ^ made.delta.block()).collect();
    hash.hash(first, &flipped, &mut ones);
    assert!([strings[0].zeros(), strings[1].zeros()].concat() == zeros);
    assert!([strings[0].ones(), strings[1].ones()].concat() == ones);
}

#[test]
fn conformance_chosen_ot_delivers_the_choice_and_hides_the_other_message() {
    for shape in SHAPES {
        let choices = BitVec::random(shape.count, &mut rng(7));
        let (m0, m1) = (random_words(shape, 8), random_words(shape, 9));
        let (c, zeros, ones) = (choices.clone(), m0.clone(), m1.clone());
        let (got, (), traffic) = with_sessions(
            &IdealOt,
            move |session, ch, rng| {
                let strings = session.strings(shape.count, shape.blocks(), ch, rng).unwrap();
                chosen::receive(strings, shape, &c, ch).unwrap()
            },
            move |session, ch, rng| {
                let strings = session.strings(shape.count, shape.blocks(), ch, rng).unwrap();
                chosen::send(strings, shape, &zeros, &ones, ch).unwrap();
            },
        );
        for (at, got) in got.iter().enumerate() {
            let choice = choices.get(at / shape.length);
            assert_eq!(*got, if choice { m1[at] } else { m0[at] });
        }
        assert_eq!(traffic, chosen::traffic(shape));
    }
}

#[test]
fn conformance_chosen_ot_of_blocks() {
    let choices = BitVec::random(300, &mut rng(7));
    let messages = |role| {
        let mut blocks = vec![Block::ZERO; 300];
        Block::fill_random(&mut blocks, &mut rng(role));
        blocks
    };
    let c = choices.clone();
    let (got, (), traffic) = with_sessions(
        &IdealOt,
        move |session, ch, rng| {
            let strings = session.strings(300, 1, ch, rng).unwrap();
            chosen::receive_blocks(strings, &c, ch).unwrap()
        },
        move |session, ch, rng| {
            let strings = session.strings(300, 1, ch, rng).unwrap();
            chosen::send_blocks(strings, &messages(8), &messages(9), ch).unwrap();
        },
    );
    let (m0, m1) = (messages(8), messages(9));
    for (i, got) in got.iter().enumerate() {
        assert!(*got == if choices.get(i) { m1[i] } else { m0[i] });
    }
    assert_eq!(traffic, chosen::traffic_of_blocks(300));
}

#[test]
fn conformance_one_of_n_delivers_the_choice() {
    for (log2_n, words) in [
        (1, WordShape::scalar(40, 8)),
        (2, WordShape::scalar(1, 1)),
        (4, WordShape { count: 65, length: 3, bits: 17 }),
        (8, WordShape::scalar(70, 64)),
    ] {
        let shape = one_of_n::Shape { words, log2_n };
        let n = 1usize << log2_n;
        let mut source = rng(7);
        let choices: Vec<u8> =
            (0..words.count).map(|_| (source.next_u32() as usize % n) as u8).collect();
        let all = WordShape { count: words.count * n, ..words };
        let messages = random_words(all, 8);
        let (c, m) = (choices.clone(), messages.clone());
        let (got, (), traffic) = with_sessions(
            &IdealOt,
            move |session, ch, rng| one_of_n::receive(session, shape, &c, ch, rng).unwrap(),
            move |session, ch, rng| one_of_n::send(session, shape, &m, ch, rng).unwrap(),
        );
        for (at, got) in got.iter().enumerate() {
            let (i, j) = (at / words.length, at % words.length);
            assert_eq!(*got, messages[(i * n + choices[i] as usize) * words.length + j]);
        }
        assert_eq!(traffic, one_of_n::traffic(shape));
    }
}

/// XORs of bare strings would cancel: `m_00 ^ m_01 ^ m_10 ^ m_11` would be readable.
#[test]
fn properties_pads_of_one_of_n_do_not_cancel() {
    let shape = one_of_n::Shape { words: WordShape::scalar(50, 64), log2_n: 2 };
    let (wire, ()) = run_two(
        move |mut ch| {
            let mut rng = rng(1);
            let cot = IdealOt.receiver(&mut ch, &mut rng).unwrap();
            let mut session = RotReceiver::new(cot, &mut ch).unwrap();
            let _ = session.strings(100, 1, &mut ch, &mut rng).unwrap();
            ch.send(&BitVec::zeros(100), &100).unwrap();
            let packed = gazelle_wire::PackedShape { count: 200, bits: 64 };
            ch.recv::<gazelle_wire::Packed>(&packed).unwrap().words
        },
        move |mut ch| {
            let mut rng = rng(2);
            let cot = IdealOt.sender(Delta::random(&mut rng), &mut ch, &mut rng).unwrap();
            let mut session = RotSender::new(cot, &mut ch, &mut rng).unwrap();
            one_of_n::send(&mut session, shape, &[0; 200], &mut ch, &mut rng).unwrap();
        },
    );
    assert!(wire.chunks(4).all(|pads| pads.iter().fold(0, |sum, pad| sum ^ pad) != 0));
}

#[test]
fn adversarial_arguments_that_do_not_fit_are_refused() {
    let shape = WordShape::scalar(10, 8);
    let (received, sent, _) = with_sessions(
        &IdealOt,
        move |session, ch, rng| {
            let mut strings = || session.strings(10, 1, ch, rng).unwrap();
            let (a, b) = (strings(), strings());
            let short = chosen::receive(a, shape, &BitVec::zeros(9), ch).unwrap_err();
            let wide = WordShape::scalar(10, 65);
            let wide = chosen::receive(b, wide, &BitVec::zeros(10), ch).unwrap_err();
            (short, wide)
        },
        move |session, ch, rng| {
            let mut strings = || session.strings(10, 1, ch, rng).unwrap();
            let (a, b) = (strings(), strings());
            let short = chosen::send(a, shape, &[0; 9], &[0; 10], ch).unwrap_err();
            let more = WordShape { length: 40, ..shape };
            (short, chosen::send(b, more, &[0; 400], &[0; 400], ch).unwrap_err())
        },
    );
    assert!(matches!(received.0, OtError::Argument { expected: 10, got: 9, .. }));
    assert!(matches!(received.1, OtError::Parameters(_)));
    assert!(matches!(sent.0, OtError::Argument { expected: 10, got: 9, .. }));
    assert!(matches!(sent.1, OtError::Argument { expected: 30, got: 10, .. }));
}

#[test]
fn transcript_setting_up_the_hash_takes_one_block() {
    let exact = OtTraffic { sender_to_receiver: 8 + 16, receiver_to_sender: 0 };
    assert_eq!(random::setup_traffic(), exact);
    let shape = WordShape { count: 100, length: 3, bits: 17 };
    let exact = OtTraffic { sender_to_receiver: 8 + 1275, receiver_to_sender: 8 + 13 };
    assert_eq!(chosen::traffic(shape), exact);
}
