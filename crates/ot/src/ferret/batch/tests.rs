//! Rules of batches.

use super::*;
use gazelle_prg::Prg;
use gazelle_wire::memory;
use rand_core::Rng;
use std::collections::HashSet;

use super::super::trees::{self, Knower, Puncturer};
use crate::consistency::Checks;

const SET: Parameters = Parameters::TOY;

fn rng(role: u8) -> Prg {
    Prg::new(&Seed::from_bytes([11; 16]), role)
}

/// A session on these retained OTs.
fn session<P: BatchParty>(
    set: Parameters,
    keys: JointKeys,
    binding: &[u8; 32],
    retained: Vec<Block>,
    party: P,
) -> Batch<P> {
    let mut batch = Batch::waiting(set, keys, binding, party);
    batch.start(retained.iter().map(|block| u8::from(block.lsb())).collect());
    batch.supply(retained);
    batch
}

/// Announces and makes.
fn serve<P: BatchParty>(
    batch: &mut Batch<P>,
    out: &mut [Block],
    ch: &mut Channel,
    rng: &mut Prg,
) -> Result<(), OtError> {
    batch.announce(out.len(), ch, rng)?;
    batch.serve(out, &mut Half::of(ch, P::SPEAKS)?, rng)
}

/// Both parties on ideal retained OTs.
struct Pair {
    knower: Batch<Knower>,
    puncturer: Batch<Puncturer>,
    delta: Block,
    rngs: [Prg; 2],
}

impl Pair {
    fn new() -> Self {
        let (mut delta, mut y) = (Block::random(&mut rng(1)), vec![Block::ZERO; SET.retained()]);
        delta.0 |= 1;
        Block::fill_random(&mut y, &mut rng(2));
        let mut choices = rng(3);
        let y: Vec<Block> = y.into_iter().map(Block::without_lsb).collect();
        let z = y.iter().map(|y| *y ^ delta.select(choices.next_u32() & 1 == 1)).collect();
        Self {
            knower: session(SET, [Block(77), Block(78)], &[0; 32], y, Knower::new(delta)),
            puncturer: session(SET, [Block(77), Block(78)], &[0; 32], z, Puncturer::default()),
            delta,
            rngs: [rng(4), rng(5)],
        }
    }

    /// Makes `count` OTs on both sides and checks the correlation.
    fn make(&mut self, count: usize) -> (Vec<Block>, Vec<Block>) {
        let (mut a, mut b) = memory::pair();
        let (mut y, mut z) = (vec![Block::ZERO; count], vec![Block::ZERO; count]);
        let Self { knower, puncturer, delta, rngs: [own, other] } = self;
        std::thread::scope(|scope| {
            let sending = scope.spawn(|| {
                serve(knower, &mut y, &mut a, own).unwrap();
            });
            serve(puncturer, &mut z, &mut b, other).unwrap();
            sending.join().unwrap();
        });
        for (y, z) in y.iter().zip(&z) {
            assert!(*z == *y ^ delta.select(z.lsb()) && !y.lsb());
        }
        (y, z)
    }
}

#[test]
fn rules_the_last_outputs_of_a_batch_are_retained_and_never_handed_out() {
    let mut pair = Pair::new();
    let mut handed = HashSet::new();
    let mut retained = Vec::new();
    for batch in 1..=4 {
        let (y, z) = pair.make(SET.usable());
        assert_eq!((pair.knower.announced, pair.puncturer.announced), (batch, batch));
        let lens = (pair.knower.retained.len(), pair.puncturer.retained.len());
        assert_eq!(lens, (SET.retained(), SET.retained()));
        for (y, z) in pair.knower.retained.iter().zip(&pair.puncturer.retained) {
            assert!(*z == *y ^ pair.delta.select(z.lsb()), "retained OTs are under the same Delta");
        }
        handed.extend(y.iter().chain(&z).map(|block| block.0 | 1));
        retained.push(pair.knower.retained.clone());
    }
    let all: Vec<u128> = retained.iter().flatten().map(|block| block.0 | 1).collect();
    assert!(all.iter().all(|block| !handed.contains(block)), "never handed out");
    let distinct: HashSet<&u128> = all.iter().collect();
    assert_eq!(distinct.len(), all.len(), "the previous ones are never reused");
}

#[test]
fn rules_the_next_batch_lives_on_what_the_last_one_retained() {
    let mut pair = Pair::new();
    pair.make(SET.usable());
    let group = SET.group() << SET.h();
    let begun = SET.usable().next_multiple_of(group).min(SET.n()) - SET.usable();
    assert!(pair.knower.next.len() == begun, "what is not wanted yet is not made");
    let kept = pair.knower.next.clone();
    pair.make(1);
    assert!(pair.knower.retained.len() == SET.retained(), "k for the code, then t h for the trees");
    assert!(pair.knower.retained.starts_with(&kept) && pair.knower.next.is_empty());
}

#[test]
fn rules_secret_and_noise_positions_are_fresh_in_every_batch() {
    let mut pair = Pair::new();
    let (mut paths, mut secrets) = (Vec::new(), Vec::new());
    for _ in 0..2 {
        pair.make(SET.usable());
        paths.push(pair.puncturer.party.paths.clone());
        let secret = pair.puncturer.retained.iter().take(SET.k()).map(|z| z.lsb());
        secrets.push(secret.collect::<Vec<_>>());
    }
    assert!(paths[0] != paths[1] && secrets[0] != secrets[1]);
    for paths in paths {
        assert!(paths.len() == SET.t() && paths.iter().all(|path| *path < 1 << SET.h()));
        assert!(paths.iter().collect::<HashSet<_>>().len() > SET.t() / 2, "spread");
    }
    for secret in secrets {
        let ones = secret.iter().filter(|bit| **bit).count();
        assert!(ones.abs_diff(SET.k() / 2) < 100, "a uniform secret");
    }
}

#[test]
fn rules_noise_is_regular_with_one_position_per_bin() {
    let mut pair = Pair::new();
    let (y, z) = pair.make(SET.group() << SET.h());
    // Take the code's part off a whole group again: what is left are the leaves.
    let bare = |batch: &mut dyn FnMut(u64, &mut [Block])| {
        let mut group = vec![Block::ZERO; SET.group() << SET.h()];
        batch(0, &mut group);
        group
    };
    let code_y = bare(&mut |row, out| {
        pair.knower.code.encode(&pair.knower.retained[..SET.k()], row, out);
    });
    let code_z = bare(&mut |row, out| {
        pair.puncturer.code.encode(&pair.puncturer.retained[..SET.k()], row, out);
    });
    let whole = y.iter().zip(&z).zip(code_y.iter().zip(&code_z));
    let mut hits = vec![0; SET.group()];
    for (at, ((y, z), (code_y, code_z))) in whole.enumerate() {
        let noise = *y ^ *code_y ^ *z ^ *code_z;
        assert!(noise == Block::ZERO || noise == pair.delta);
        if noise == pair.delta {
            assert_eq!(at / SET.group(), pair.puncturer.party.paths[at % SET.group()] as usize);
            hits[at % SET.group()] += 1;
        }
    }
    assert!(hits.iter().all(|hits| *hits <= 1) && hits.contains(&1));
    assert_eq!(SET.n(), SET.t() << SET.h());
}

/// Amortised attacks share their linear algebra between instances of one matrix: no row of the code
/// comes twice, whatever the batch.
#[test]
fn rules_rows_of_the_code_run_on_over_all_batches() {
    let mut pair = Pair::new();
    for batch in 0..3 {
        pair.make(1);
        let row = batch * SET.n() as u64;
        assert_eq!((pair.knower.row, pair.puncturer.row), (row, row));
        pair.make(SET.usable() - 1);
    }
}

#[test]
fn rules_another_session_has_another_code() {
    let secret: Vec<Block> = (0..SET.k() as u128).map(Block).collect();
    let encode = |key: u128| {
        let mut out = [Block::ZERO; 64];
        Code::new(Block(key)).encode(&secret, 0, &mut out);
        out
    };
    let equal = encode(1).iter().zip(&encode(2)).filter(|(a, b)| a == b).count();
    assert!(equal < 4, "{equal} of 64 rows agree");
}

/// Batches that are announced together are those that are announced one by one, and choices that
/// were computed ahead are those of the OTs.
#[test]
fn rules_many_batches_are_announced_before_any_is_made() {
    let mut pair = Pair::new();
    let count = 2 * SET.usable() + 1;
    let (mut a, mut b) = memory::pair();
    pair.puncturer.announce(count, &mut b, &mut pair.rngs[1]).unwrap();
    pair.knower.announce(count, &mut a, &mut pair.rngs[0]).unwrap();
    assert_eq!((pair.knower.announced, pair.puncturer.announced), (3, 3));
    let announced = b.traffic().sent;
    assert_eq!(announced, SET.announced(count).receiver_to_sender);
    // Every call checks the correlation; nothing more is announced.
    for part in [SET.usable() - 3, 5, SET.usable() - 2, 1] {
        pair.make(part);
    }
    assert_eq!((pair.knower.announced, pair.puncturer.announced), (3, 3));
}

#[test]
fn adversarial_ots_that_were_not_announced_are_not_made() {
    let Pair { mut puncturer, .. } = Pair::new();
    let (_a, mut b) = memory::pair();
    let mut half = Half::of(&mut b, false).unwrap();
    let result = puncturer.serve(&mut [Block::ZERO], &mut half, &mut rng(5));
    assert!(matches!(result, Err(OtError::Unannounced)));
}

#[test]
fn adversarial_after_an_error_the_session_is_dead() {
    let Pair { mut knower, mut puncturer, .. } = Pair::new();
    let (mut a, b) = memory::pair();
    drop(b);
    let mut out = [Block::ZERO];
    assert!(matches!(serve(&mut knower, &mut out, &mut a, &mut rng(5)), Err(OtError::Channel(_))));
    let (mut a, mut b) = memory::pair();
    assert!(matches!(serve(&mut knower, &mut out, &mut a, &mut rng(5)), Err(OtError::Dead)));
    drop(a);
    assert!(matches!(
        serve(&mut puncturer, &mut out, &mut b, &mut rng(5)),
        Err(OtError::Channel(_))
    ));
    assert!(matches!(serve(&mut puncturer, &mut out, &mut b, &mut rng(5)), Err(OtError::Dead)));
}

/// A sender that changes one of its sums and is honest about everything else.
struct Cheat {
    honest: Knower,
    /// Which block of the sums of the first group.
    block: usize,
}

impl BatchParty for Cheat {
    const SPEAKS: bool = true;

    fn announce(
        &mut self,
        parameters: &Parameters,
        rows: (&Code, u64),
        ahead: usize,
        ch: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Vec<u8>, OtError> {
        self.honest.announce(parameters, rows, ahead, ch, rng)
    }

    fn begin(&mut self) -> Result<(), OtError> {
        self.honest.begin()
    }

    fn leaves(
        &mut self,
        tools: &mut TreeTools,
        mut group: TreeGroup<'_>,
        half: &mut Half<'_>,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Option<Repair>, OtError> {
        let mut sums = self.honest.sums(tools, &mut group, rng);
        if group.first == 0 {
            sums[self.block].0 ^= 1 << 100;
        }
        trees::prove(&mut sums, tools, &mut group);
        let count = sums.len();
        let ch = half.sending()?;
        ch.send(&gazelle_block::Blocks(sums), &count)?;
        ch.flush()?;
        Ok(None)
    }
}

/// The receiver of a first group in which the cheat changed the sum of tree 1 at `level`: what it made
/// (or its error), and what the sender made.
fn against_a_cheat(
    level: usize,
    checks: Checks,
) -> (Result<Vec<Block>, OtError>, Vec<Block>, Batch<Puncturer>, Block) {
    let Pair { knower, puncturer, delta, .. } = Pair::new();
    let group = SET.group();
    let cheat = Cheat { honest: Knower::new(delta), block: level * group + 1 };
    let keys = [Block(77), Block(78)];
    let mut cheat = session(SET, keys, &[0; 32], knower.next.clone(), cheat);
    let party = Puncturer::new(checks);
    let mut honest = session(SET, keys, &[0; 32], puncturer.next.clone(), party);
    let (mut a, mut b) = memory::pair();
    let mut out = vec![Block::ZERO; SET.usable()];
    let mut sent = vec![Block::ZERO; SET.usable()];
    let result = std::thread::scope(|scope| {
        let sending = scope.spawn(|| {
            // The receiver may have gone.
            let _ = serve(&mut cheat, &mut sent, &mut a, &mut rng(4));
        });
        let result = serve(&mut honest, &mut out, &mut b, &mut rng(5));
        drop(b);
        sending.join().unwrap();
        result
    });
    // In the order of the code's rows.
    (result.map(|()| out), sent, honest, delta)
}

#[test]
fn adversarial_a_sender_with_one_wrong_sum_is_caught_at_every_level() {
    for level in 0..SET.h() as usize {
        let (result, ..) = against_a_cheat(level, Checks::Enforced);
        // At the top another sum is another root: of a tree that the sender does not have.
        assert!(matches!(result, Err(OtError::Misbehaved { .. })), "level {level}");
    }
}

/// What the check is there for: the OTs that fail are those of the noise position and its sibling.
#[test]
fn adversarial_without_the_check_the_sender_learns_noise_positions() {
    let last = SET.h() as usize - 1;
    let (received, sent, honest, delta) = against_a_cheat(last, Checks::Ignored);
    let whole = received.unwrap();
    let path = honest.party.paths[1] as usize;
    let failing: Vec<usize> = (0..SET.group() << SET.h())
        .filter(|at| at % SET.group() == 1)
        .filter(|at| {
            let (y, z) = (sent[*at], whole[*at]);
            z != y ^ delta.select(z.lsb())
        })
        .map(|at| at / SET.group())
        .collect();
    let sibling = path ^ 1 << last;
    assert_eq!(failing, [path.min(sibling), path.max(sibling)], "one bit short of the position");
}
