//! Benchmarks of `gazelle-he`: what each polynomial of a request and of a response costs besides
//! the weights' products, at both parties, on all cores.
//!
//! Limit: the multiply-adds of the FFTs that the step cannot do without (5 n log2 n for n = N/2
//! values, two per fused one, divided over the cores).

use gazelle_he::public_coin::{
    EncryptedRequest, HintBinding, HintKey, LayerSecret, Parameters, Pinned, PublicCoins,
    ResponseNoise,
};
use gazelle_ring::SparseWeights;

use crate::Outcome;
use crate::limits::Limit;
use crate::measure::{Bench, Measurement};

const POLYS: usize = 64;

/// Runs the suite.
pub(crate) fn run(bench: &mut Bench) -> Outcome {
    for (degree, l, k, h, d) in [(2048, 24, 24, 6, 17), (4096, 37, 25, 5, 13)] {
        group(bench, Parameters::new(degree, l, k, h, d)?)?;
    }
    Ok(())
}

fn group(bench: &mut Bench, parameters: Parameters) -> Outcome {
    let degree = parameters.degree();
    let mut rng = gazelle_prg::system_rng()?;
    let coins = PublicCoins::from_joint(&[0; 32]);

    // No products: their cost is `ring/gemm` and `ring/fft-products`.
    let weights = SparseWeights::new(degree, POLYS, vec![Vec::new(); POLYS])?;
    let binding =
        HintBinding { plan: [0; 32], weights: [0; 32], group: 0, first_index: 0, setup: 0 };
    let source = HintKey::fresh(&mut rng)?.source(&parameters, &coins, &binding);
    let pinned = [Pinned::default(); POLYS];
    let positions: [&[u32]; POLYS] = [&[]; POLYS];
    let all: Vec<u32> = (0..degree as u32).collect();
    let useful = [all.as_slice(); POLYS];

    let values = degree as f64 / 2.0;
    let fft = 5.0 * values * values.log2() / 2.0 / rayon::current_num_threads() as f64;
    let limit = |ffts: usize| Some((Limit::MultiplyAdds, ffts as f64 * fft));
    let digits = gazelle_ring::exact::digits_of(parameters.modulus_bits()).0;
    let polys = POLYS as u64;
    let id = |what: &str| format!("he/{what}/N={degree},l={}", parameters.ring_bits());

    bench.time(&id("request"), polys, limit(2 * digits), || {
        LayerSecret::request(&parameters, &coins, 0, &pinned, &mut rng)
    })?;
    let message = LayerSecret::request(&parameters, &coins, 0, &pinned, &mut rng)?.message;
    bench.time(&id("open"), polys, None, || {
        EncryptedRequest::open(&parameters, &message, &positions)
    })?;
    bench.time(&id("hints"), polys, limit(1 + digits), || source.hints(&weights, 0..POLYS))?;
    let hints = source.hints(&weights, 0..POLYS)?;
    let request = EncryptedRequest::open(&parameters, &message, &positions)?;
    let (nonce, reshare) = message.reshare(&coins, 0, &mut rng);
    bench.time(&id("server-shares"), polys, limit(1 + digits), || {
        source.shares(&request, &reshare, &weights, &useful, ResponseNoise::fresh(&mut rng)?)
    })?;

    // The client's shares consume a secret each time.
    if bench.wants(&id("client-shares")) {
        let mut seconds = Vec::new();
        for _ in 0..50 {
            let one = LayerSecret::request(&parameters, &coins, 0, &pinned[..1], &mut rng)?;
            let start = std::time::Instant::now();
            std::hint::black_box(one.secret.shares(&hints, 0, &nonce, &useful)?);
            seconds.push(start.elapsed().as_secs_f64());
        }
        let unit_ns = bench.limit_ns(Limit::MultiplyAdds)?;
        let figure = Measurement::new(id("client-shares"), polys, &seconds);
        bench.record(&figure.against(Limit::MultiplyAdds, 2.0 * fft, unit_ns))?;
    }
    Ok(())
}
