//! A whole session of a small network within one process, over any suite: what the examples of a
//! primitive of one's own run. Over TCP it would be the same (`own_suite.rs`).

use std::error::Error;
use std::thread;

use gazelle::share::{
    LinearProtocol, LinearWeights, Network, NetworkBuilder, NonlinearProtocol, ProtocolError,
    StepFunction, TensorId, TensorShape,
};
use gazelle::{Limits, ModelInfo, Offer, ServerLimits, Service, Suite, system_rng, wire};

/// Two inputs, their sum and difference, and what of them is positive.
fn network() -> Result<Network, ProtocolError> {
    const UNIT: i32 = 1 << 10;
    let mut network = NetworkBuilder::new(TensorShape::vector(2), 32, 10, 20);
    let both = network.fully_connected(TensorId::INPUT, 2);
    let weights = LinearWeights { weights: vec![UNIT, UNIT, UNIT, -UNIT], bias: vec![0; 2] };
    let both = network.linear("sum and difference", both, TensorId::INPUT, weights);
    let positive = network.step("relu", StepFunction::Relu, both, None);
    let same = network.fully_connected(positive, 2);
    let weights = LinearWeights { weights: vec![UNIT, 0, 0, UNIT], bias: vec![0; 2] };
    let same = network.linear("identity", same, positive, weights);
    network.build(same)
}

/// Serves the network and infers with it, both by `suite`, and looks at what the client learns.
pub(crate) fn run<L, N>(suite: &Suite<L, N>) -> Result<(), Box<dyn Error>>
where
    L: LinearProtocol + Clone + 'static,
    N: NonlinearProtocol + Clone + 'static,
{
    let (model, choice) = (ModelInfo::default(), serde_json::Value::Null);
    let server = Service::compile(suite.clone(), network()?, model, choice)?;
    let (ours, theirs) = wire::memory::pair();
    let serving =
        thread::spawn(move || server.serve(theirs, &ServerLimits::default(), &mut system_rng()?));
    let mut rng = system_rng()?;
    let offer = Offer::receive(ours, Limits::default(), None, &mut rng)?;
    let mut client = offer.accept(suite.clone(), &mut rng)?;
    let prepared = client.prepare(&mut rng)?;
    let values = client.infer(prepared, &[300, 500])?.values;
    client.close()?;
    serving.join().map_err(|_| "the server panicked")??;
    println!("300 + 500 and 300 - 500, if positive: {values:?}");
    let [sum, difference] = values.as_slice() else { return Err("not two values".into()) };
    // The linear layers are exact up to a unit each.
    assert!((sum - 800).abs() <= 2 && difference.abs() <= 2, "{values:?}");
    Ok(())
}
