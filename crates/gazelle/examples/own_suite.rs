//! A suite of one's own, over TCP: public-coin linear layers, and steps that are garbled with three
//! halves over `SoftSpokenOT`. Both parties name the same suite; the handshake compares it.
//!
//! `cargo run --example own_suite -p gazelle`

use std::error::Error;
use std::net::SocketAddr;
use std::thread;

use gazelle::share::{
    LinearWeights, Network, NetworkBuilder, Pads, ProtocolError, StepFunction, TensorId,
    TensorShape,
};
use gazelle::wire::tcp::{self, Exposure, Timeouts};
use gazelle::{Limits, ModelInfo, Offer, ServerLimits, Service, Suite, system_rng};
use gazelle_garble::ThreeHalves;
use gazelle_linear::PublicCoin;
use gazelle_nonlinear::Garbled;
use gazelle_ot::SoftSpoken;

type OwnSuite = Suite<PublicCoin, Garbled<SoftSpoken, ThreeHalves>>;

fn suite() -> OwnSuite {
    let garbled = Garbled { ot: SoftSpoken::K8, scheme: ThreeHalves::default() };
    Suite::new(PublicCoin::default(), garbled)
}

fn main() -> Result<(), Box<dyn Error>> {
    let model = ModelInfo { name: "edges".into(), ..ModelInfo::default() };
    let server = Service::compile(suite(), network()?, model, serde_json::Value::Null)?;
    let listener = tcp::listen("127.0.0.1:0", Exposure::Loopback)?;
    let address = listener.local_addr()?;
    let serving = thread::spawn(move || -> Result<(), String> {
        let serve = || -> Result<(), Box<dyn Error>> {
            let channel = tcp::channel(listener.accept()?.0, &Timeouts::default())?;
            server.serve(channel, &ServerLimits::default(), &mut system_rng()?)?;
            Ok(())
        };
        serve().map_err(|error| error.to_string())
    });
    infer(address)?;
    Ok(serving.join().map_err(|_| "the server panicked")??)
}

/// An edge filter over 8 x 8 pixels, a ReLU, and the sum of what is left. Weights have 10 bits behind
/// the point, which the steps drop.
fn network() -> Result<Network, ProtocolError> {
    const UNIT: i32 = 1 << 10;
    let mut network = NetworkBuilder::new(TensorShape::new(1, 8, 8), 32, 10, 20);
    let edges = network.conv(TensorId::INPUT, 1, 3, 1, Pads::all(1));
    let laplace = [0, -1, 0, -1, 4, -1, 0, -1, 0].map(|weight| weight * UNIT);
    let weights = LinearWeights { weights: laplace.to_vec(), bias: vec![0] };
    let edges = network.linear("edges", edges, TensorId::INPUT, weights);
    let positive = network.step("relu", StepFunction::Relu, edges, None);
    let sum = network.fully_connected(positive, 1);
    let weights = LinearWeights { weights: vec![UNIT; 64], bias: vec![0] };
    let sum = network.linear("sum", sum, positive, weights);
    network.build(sum)
}

fn infer(address: SocketAddr) -> Result<(), Box<dyn Error>> {
    let mut rng = system_rng()?;
    let channel = tcp::connect(address, &Timeouts::default())?;
    let offer = Offer::receive(channel, Limits::default(), None, &mut rng)?;
    let mut client = offer.accept(suite(), &mut rng)?;
    let prepared = client.prepare(&mut rng)?;
    // One bright pixel in the middle: its own value is multiplied by four, its neighbours' fall below 0.
    let image: Vec<i64> = (0..64).map(|i| if i == 3 * 8 + 3 { 100 } else { 0 }).collect();
    let inference = client.infer(prepared, &image)?;
    client.close()?;
    println!("the edges of the image sum up to {:?}", inference.values);
    let [sum] = inference.values.as_slice() else { return Err("not one value".into()) };
    // The linear layers are exact up to a unit per value.
    assert!((sum - 400).abs() <= 65, "{sum}");
    Ok(())
}
