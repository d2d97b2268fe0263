//! Benchmarks of `gazelle-convert`: what the boolean backend does besides OT, one core.

use gazelle_block::hash::HashSeed;
use gazelle_block::{BitVec, Block, Delta};
use gazelle_convert::rot::{RotRecv, RotSend};
use gazelle_convert::truncate::truncate_client;
use gazelle_convert::{Planes, yao};
use gazelle_prg::{Prg, Seed};
use gazelle_share::Shares;
use rand_core::Rng;

use crate::Outcome;
use crate::limits::Limit;
use crate::measure::Bench;

const LANES: usize = 4096;

/// Runs the suite.
pub(crate) fn run(bench: &mut Bench) -> Outcome {
    let mut rng = Prg::new(&Seed::from_bytes([5; 16]), 1);
    let words: Vec<u64> = (0..LANES).map(|_| rng.next_u64()).collect();
    let items = LANES as u64;
    let bytes = Some((Limit::CopiedBytes, 8.0));
    bench.time("convert/to-planes/bits=12", items, bytes, || Planes::from_words(&words, 12))?;
    let planes = Planes::from_words(&words, 12);
    bench.time("convert/from-planes/bits=12", items, bytes, || planes.to_words())?;
    let shares = Shares::random(20, LANES, &mut rng);
    bench.time("convert/truncate/l=20,t=8", items, bytes, || truncate_client(shares.clone(), 8))?;

    let hash = HashSeed::new(&Seed::random(&mut rng));
    let delta = Delta::random(&mut rng);
    let mut y = vec![Block::ZERO; LANES];
    Block::fill_random(&mut y, &mut rng);
    let choices = BitVec::random(LANES, &mut rng);
    bench.time("convert/rot-send/bits=3", items, Some((Limit::AesBlocks, 2.0)), || {
        let mut send = RotSend::new(&hash, 0, &y, delta.block());
        send.set_lanes(LANES);
        send.bits(3)
    })?;
    bench.time("convert/rot-receive/bits=3", items, Some((Limit::AesBlocks, 1.0)), || {
        let mut recv = RotRecv::new(&hash, 0, &y, &choices, 0);
        recv.set_lanes(LANES);
        recv.bits(3)
    })?;

    let blocks = Some((Limit::CopiedBytes, 16.0));
    let mut labels = y.clone();
    bench.time("convert/a2y/active-labels", items, blocks, || {
        yao::active_labels(&mut labels, &choices, &delta);
    })?;
    bench.time("convert/y2a/colours", items, blocks, || yao::colours(&labels))
}
