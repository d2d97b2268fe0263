//! Networks with parallel branches: their steps run side by side.

use gazelle::backend::{Choice, DefaultSuite, Machine, StepProtocol, planner};
use gazelle::{Description, ModelInfo};
use gazelle_share::testing::{IdealLinear, IdealNonlinear};
use gazelle_share::{
    LocalMap, Network, Node, NodeKind, Pads, StepFunction, TensorId, TensorShape, Window,
};
use gazelle_wire::Link;
use gazelle_wire::recording::pair_for_one_thread;

use crate::networks::{Builder, evaluate, everything, exactly, inputs, tiny};
use crate::parties::{assert_traffic, run, run_over};
use crate::recorded::Recorded;

/// A fire module as of `SqueezeNet`, then a max-pool, a ReLU and a rescaling of the same tensor.
fn branches(truncate: u32) -> Network {
    let mut b = Builder::new(TensorShape::new(2, 6, 6), truncate);
    let (same, none) = (Pads::all(1), Pads::default());
    let squeeze = b.conv("squeeze", TensorId::INPUT, 3, 1, 1, none);
    let squeezed = b.step("relu_squeeze", StepFunction::Relu, squeeze, None);
    let one = b.conv("expand_1x1", squeezed, 2, 1, 1, none);
    let one = b.step("relu_1x1", StepFunction::Relu, one, None);
    let three = b.conv("expand_3x3", squeezed, 3, 3, 1, same);
    let three = b.step("relu_3x3", StepFunction::Relu, three, None);
    let fire = b.local("concat", LocalMap::Concat, &[one, three], TensorShape::new(5, 6, 6));
    let window = Window { kernel: [2; 2], stride: [2; 2], pads: none };
    let pool = b.conv("conv_pool", fire, 2, 1, 1, none);
    let pool = b.step("pool", StepFunction::MaxPool { window, relu: true }, pool, None);
    let relu = b.conv("conv_relu", fire, 2, 2, 2, none);
    let relu = b.step("relu_beside", StepFunction::Relu, relu, None);
    let scaled = b.conv("conv_rescale", fire, 1, 2, 2, none);
    let scaled = b.step("rescale", StepFunction::Rescale, scaled, None);
    let all = [pool, relu, scaled];
    let all = b.local("concat again", LocalMap::Concat, &all, TensorShape::new(5, 3, 3));
    let last = b.conv("conv_last", all, 2, 1, 1, none);
    let last = b.step("relu_last", StepFunction::Relu, last, None);
    let logits = b.fully_connected("fc", last, 3);
    b.reveal(logits)
}

fn count(network: &Network) -> usize {
    let is_step = |node: &&Node| matches!(node.kind, NodeKind::Step(_));
    network.architecture().nodes().iter().filter(is_step).count()
}

fn suite(network: &Network, choice: &Choice) -> DefaultSuite {
    choice.suite(count(network))
}

/// Online turns as predicted and as measured at the client, and one-way messages of all steps one after the other.
fn turns(network: &Network, choice: &Choice) -> (u64, u64, usize) {
    let model = ModelInfo::default();
    let (suite, value) = (suite(network, choice), choice.to_value());
    let server =
        gazelle::backend::DefaultService::compile(suite.clone(), network.clone(), model, value);
    let server = server.unwrap();
    let description = Description::parse(server.description()).unwrap();
    let (plan, machine) = (server.plan(), Machine::here());
    let predicted =
        planner::predict(plan, server.traffic(), &description, Link::WAN, &machine).unwrap();
    let steps = planner::predict_steps(plan, &description, Link::WAN, &machine).unwrap();
    let run = run(&suite, network, &inputs(network, 2));
    assert_traffic(&run);
    let report = &run.inferences[1].report;
    let by_layer: u64 = report.layers.iter().map(|layer| layer.online.turns).sum();
    assert_eq!(by_layer, report.online.turns);
    let trips = steps.iter().map(|step| step.trips).sum();
    (predicted.online.turns, report.online.turns, trips)
}

#[test]
fn transcript_side_by_side_steps_take_the_turns_of_the_longest_and_predictions_say_so() {
    let network = exactly(&branches(10));
    let gmw = Choice::uniform(network.architecture(), StepProtocol::Gmw).unwrap();
    let (predicted, measured, trips) = turns(&network, &gmw);
    assert_eq!(predicted, measured);
    assert_eq!((measured, trips), (25, 49));
    // One after the other, as a protocol has them that knows no waves.
    let suite = suite(&network, &gmw);
    let apart = suite.clone().with_nonlinear(Recorded::new(suite.nonlinear().clone()));
    let apart = run(&apart, &network, &inputs(&network, 1));
    assert_eq!(apart.inferences[0].report.online.turns, 36);
    // A network of one path: as before.
    let path = exactly(&tiny(10));
    let gmw = Choice::uniform(path.architecture(), StepProtocol::Gmw).unwrap();
    assert_eq!(turns(&path, &gmw), (5, 5, 9));
}

#[test]
fn every_backend_and_mixtures_of_them_give_the_reference() {
    let network = exactly(&branches(10));
    let inputs = inputs(&network, 3);
    let gmw = Choice::uniform(network.architecture(), StepProtocol::Gmw).unwrap();
    let few = StepProtocol::GmwFewTrips;
    let mut mixed = vec![few; count(&network)];
    (mixed[1], mixed[4]) = (StepProtocol::Garbled, StepProtocol::Garbled);
    mixed[count(&network) - 1] = StepProtocol::Garbled;
    let choices = [Choice::all(StepProtocol::Garbled), gmw.clone(), Choice { steps: mixed, ..gmw }];
    for choice in &choices {
        let run = run(&suite(&network, choice), &network, &inputs);
        assert_traffic(&run);
        for (input, inference) in inputs.iter().zip(&run.inferences) {
            assert_eq!(inference.values, evaluate(&network, input), "{choice:?}");
        }
    }
    // A client of one thread, as in a browser.
    let (client, server, _) = pair_for_one_thread();
    let alone = run_over((client, server), &suite(&network, &choices[2]), &network, &inputs);
    for (input, inference) in inputs.iter().zip(&alone.inferences) {
        assert_eq!(inference.values, evaluate(&network, input));
    }
}

#[test]
fn protocols_that_know_no_waves_run_their_steps_one_after_the_other() {
    for network in [branches(0), everything(0)] {
        let inputs = inputs(&network, 2);
        let run = run(&gazelle::Suite::new(IdealLinear, IdealNonlinear), &network, &inputs);
        assert_traffic(&run);
        for (input, inference) in inputs.iter().zip(&run.inferences) {
            assert_eq!(inference.values, evaluate(&network, input));
        }
    }
}
