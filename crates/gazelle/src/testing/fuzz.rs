//! Bodies of the fuzz targets: any bytes end in a value or an error.

use std::sync::{Arc, OnceLock};

use gazelle_prg::{Prg, Seed};
use gazelle_share::{LinearWeights, Network, NetworkBuilder, StepFunction, TensorId, TensorShape};
use gazelle_wire::Channel;
use gazelle_wire::recording::{Recording, frames};
use gazelle_wire::testing::run_two_recorded;

use crate::backend::{Choice, CompiledModel, DefaultService};
use crate::description::{Description, ModelInfo};
use crate::error::GazelleError;
use crate::session::coins::repeating;
use crate::session::{Limits, Offer, ServerLimits, Service};

/// Ring of all tensors but the output.
const RING: u32 = 34;
const TRUNCATE: u32 = 12;
const VALUES: u32 = 20;

/// A compiled model's file behind its digest: read, and planned if it is one. `data` is what stands there if it
/// begins with a zero byte; else it changes bytes of an honest one, four bytes each: where, and what to.
///
/// # Panics
/// Only on a defect.
pub fn compiled_model(data: &[u8]) {
    static HONEST: OnceLock<Vec<u8>> = OnceLock::new();
    if let Some((0, data)) = data.split_first() {
        // Whatever is wrong with it is an error.
        let _ = CompiledModel::parse(data).map(CompiledModel::service);
        return;
    }
    let honest = HONEST.get_or_init(|| {
        let choice = Choice::all(crate::backend::StepProtocol::Gmw);
        let info = ModelInfo::default();
        let model = CompiledModel { info, choice, network: network(), remarks: Vec::new() };
        let bytes = model.to_bytes().map(|bytes| bytes.get(48..).map(<[u8]>::to_vec));
        // optional: an honest model can be written
        bytes.ok().flatten().unwrap_or_default()
    });
    let mut bytes = honest.clone();
    for [low, high, byte, xor] in data.as_chunks::<4>().0.iter().take(16) {
        let at = usize::from(u16::from_le_bytes([*low, *high])) % bytes.len().max(1);
        if let Some(place) = bytes.get_mut(at) {
            *place = if xor & 1 == 0 { *byte } else { *place ^ *byte };
        }
    }
    // The same.
    let _ = CompiledModel::parse(&bytes).map(CompiledModel::service);
}

/// Returns what a server may say about a model: parsed, and accepted or refused, by a client that bounds
/// its memory. `data` is a description if it begins with a brace; else it changes numbers of an
/// honest one, four bytes each: which number, and its new value.
///
/// # Panics
/// Only on a defect.
pub fn description(data: &[u8]) {
    if data.first() == Some(&b'{') {
        return offered(data);
    }
    let mut text = String::from_utf8_lossy(&honest_description()).into_owned();
    for [at_low, at_high, low, high] in data.as_chunks::<4>().0.iter().take(8) {
        let at = usize::from(u16::from_le_bytes([*at_low, *at_high]));
        let value = u16::from_le_bytes([*low, *high]);
        // Small values are the interesting ones; the others stand for huge and negative numbers.
        let number = match value {
            0xff00.. => format!("-{}", value & 0xff),
            0xc000.. => format!("{}", u64::from(value & 0x3fff) << 30),
            _ => format!("{value}"),
        };
        text = with_number(&text, at, &number);
    }
    offered(text.as_bytes());
}

/// Returns the `at`-th number of a JSON text (modulo how many there are) replaced.
fn with_number(text: &str, at: usize, number: &str) -> String {
    let is_part = |c: char| c.is_ascii_digit() || c == '-';
    let starts: Vec<usize> = text
        .char_indices()
        .zip(text.chars().skip(1))
        .filter(|((_, before), c)| is_part(*c) && matches!(before, ':' | ',' | '['))
        .map(|((i, _), _)| i + 1)
        .collect();
    let Some(start) = starts.get(at % starts.len().max(1)) else { return text.to_owned() };
    let (before, rest) = text.split_at(*start);
    format!("{before}{number}{}", rest.trim_start_matches(is_part))
}

fn offered(data: &[u8]) {
    let Ok(parsed) = Description::parse(data) else { return };
    let Ok(choice) = Choice::parse(&parsed) else { return };
    // An answer that says ok, version 1, the length, allowance and nonce; the description; nothing
    // further.
    let length = (data.len() as u32).to_le_bytes();
    let stream = [&[0, 1, 0], length.as_slice(), &[1; 8 + 32], data].concat();
    let limits = Limits { traffic_bytes: 1 << 30, memory_bytes: 1 << 26 };
    let channel = Channel::from_payloads(stream);
    let Ok(offer) = Offer::receive(channel, limits, None, &mut rng(1)) else { return };
    let steps = parsed.nonlinear.len().min(1 << 10);
    let _ = offer.accept(choice.suite(steps), &mut rng(1));
}

/// A whole session of a client, spliced with `data`: two bytes say where, the rest overwrites.
///
/// # Panics
/// Only on a defect.
pub fn at_server(data: &[u8]) {
    let honest = honest();
    let channel = Channel::from_payloads(splice(&honest.from_client, data));
    let _ = repeating::run(|| honest.server.serve(channel, &ServerLimits::default(), &mut rng(2)));
}

/// A whole session of a server, spliced with `data`: two bytes say where, the rest overwrites.
///
/// # Panics
/// Only on a defect.
pub fn at_client(data: &[u8]) {
    let stream = splice(&honest().from_server, data);
    let _ = repeating::run(|| session(Channel::from_payloads(stream)));
}

/// Returns the server's description of the network that the other bodies use: a seed for the corpus.
pub(crate) fn honest_description() -> Vec<u8> {
    honest().server.description().to_vec()
}

struct Honest {
    server: Arc<DefaultService>,
    from_client: Vec<u8>,
    from_server: Vec<u8>,
}

fn honest() -> &'static Honest {
    static HONEST: OnceLock<Honest> = OnceLock::new();
    HONEST.get_or_init(|| {
        let server = Arc::new(compile());
        let serving = Arc::clone(&server);
        let (client, served, recording): (_, _, Recording) = run_two_recorded(
            |channel| repeating::run(|| session(channel)),
            move |channel| {
                let limits = ServerLimits::default();
                repeating::run(|| serving.serve(channel, &limits, &mut rng(2)))
            },
        );
        assert!(client.is_ok() && served.is_ok(), "the honest session succeeds");
        let payloads = |bytes: Vec<u8>| {
            frames(&bytes).into_iter().flat_map(|frame| frame.payload).collect::<Vec<u8>>()
        };
        Honest {
            server,
            from_client: payloads(recording.sent()),
            from_server: payloads(recording.received()),
        }
    })
}

fn rng(seed: u8) -> Prg {
    Prg::new(&Seed::from_bytes([seed; 16]), 0)
}

fn splice(honest: &[u8], data: &[u8]) -> Vec<u8> {
    let mut stream = honest.to_vec();
    let Some((at, bytes)) = data.split_first_chunk::<2>() else { return stream };
    let start = (usize::from(u16::from_le_bytes(*at)) * stream.len()) >> 16;
    for (to, from) in stream.iter_mut().skip(start).zip(bytes) {
        *to = *from;
    }
    stream
}

fn session(channel: Channel) -> Result<Vec<i64>, GazelleError> {
    let rng = &mut rng(1);
    let offer = Offer::receive(channel, Limits::default(), None, rng)?;
    let choice = Choice::parse(offer.description())?;
    let mut client = offer.accept(choice.suite(2), rng)?;
    let prepared = client.prepare(rng)?;
    let inference = client.infer(prepared, &[1, -2, 3, 0, 1, 2])?;
    client.close()?;
    Ok(inference.values)
}

/// Fully connected 6 to 4, ReLU, fully connected 4 to 3, revealed.
#[expect(clippy::expect_used, reason = "the network is fixed")]
fn network() -> Network {
    let mut network = NetworkBuilder::new(TensorShape::vector(6), RING, TRUNCATE, VALUES);
    let dense = |network: &mut NetworkBuilder, name: &str, input, outputs: usize| {
        let op = network.fully_connected(input, outputs);
        let weights = (0..op.weight_len() as i32).map(|i| (i % 5 - 2) << TRUNCATE).collect();
        let bias = vec![1 << TRUNCATE; outputs];
        network.linear(name, op, input, LinearWeights { weights, bias })
    };
    let hidden = dense(&mut network, "0", TensorId::INPUT, 4);
    let hidden = network.step("1", StepFunction::Relu, hidden, None);
    let logits = dense(&mut network, "2", hidden, 3);
    network.build(logits).expect("a valid network")
}

#[expect(clippy::expect_used, reason = "the network is fixed")]
fn compile() -> DefaultService {
    let choice = Choice::default();
    let model = ModelInfo { name: "fuzz".into(), ..ModelInfo::default() };
    Service::compile(choice.suite(2), network(), model, choice.to_value()).expect("a valid network")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]

        #[test]
        fn adversarial_any_compiled_model_is_read_or_refused(
            data in proptest::collection::vec(any::<u8>(), 0..64),
        ) {
            compiled_model(&data);
        }

        #[test]
        fn adversarial_any_session_is_survived(
            data in prop::collection::vec(any::<u8>(), 0..100),
        ) {
            at_server(&data);
            at_client(&data);
        }

        #[test]
        fn adversarial_any_number_in_a_description_is_survived(
            data in prop::collection::vec(any::<u8>(), 5..40),
        ) {
            description(&data);
        }
    }

    #[test]
    fn properties_one_number_is_replaced() {
        assert_eq!(with_number("{\"a\":12,\"b\":[3,-4]}", 4, "7"), "{\"a\":12,\"b\":[7,-4]}");
        assert_eq!(with_number("{\"a\":12,\"b\":[3,-4]}", 2, "7"), "{\"a\":12,\"b\":[3,7]}");
        assert_eq!(with_number("none", 2, "7"), "none");
    }

    #[test]
    fn conformance_the_honest_session_is_repeated_from_its_bytes() {
        let honest = honest();
        let channel = Channel::from_payloads(honest.from_server.clone());
        repeating::run(|| session(channel)).unwrap();
        let (channel, limits) =
            (Channel::from_payloads(honest.from_client.clone()), ServerLimits::default());
        repeating::run(|| honest.server.serve(channel, &limits, &mut rng(2))).unwrap();
    }
}
