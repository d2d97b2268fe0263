//! What the MiniONN CIFAR-10 network of GAZELLE's paper puts on the wire, by its plan.

use std::path::Path;

use gazelle::backend::{Choice, DefaultService, Machine, Prediction, StepProtocol, planner};
use gazelle::{Description, ModelInfo};
use gazelle_model::{Options, RoundingMode, import, quantise, samples};
use gazelle_share::{Network, Node, NodeKind};
use gazelle_wire::Link;

use crate::networks::{everything, inputs};
use crate::parties::{assert_traffic, run};

/// The quantised network; nothing where the shared data is not there.
fn minionn(rounding: RoundingMode) -> Option<Network> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/data/models/cifar10_minionn_gazelle/model.onnx");
    let Ok(bytes) = std::fs::read(&path) else {
        eprintln!("{}: not there, left out", path.display());
        return None;
    };
    let graph = import(&bytes).unwrap();
    let calibration = samples::beside(&path, &graph, 4);
    let effort = 100_000_000;
    let options = Options { calibration, effort, rounding, ..Options::default() };
    Some(quantise(&graph, &options).unwrap().network)
}

fn compile(network: &Network, choice: &Choice) -> DefaultService {
    let suite = choice.suite(network.architecture().nodes().len());
    let model = ModelInfo::default();
    DefaultService::compile(suite, network.clone(), model, choice.to_value()).unwrap()
}

#[test]
fn predictions_carry_the_planned_bytes_and_slower_links_take_longer() {
    let network = everything(10);
    let choice = Choice::uniform(network.architecture(), StepProtocol::Gmw).unwrap();
    let server = compile(&network, &choice);
    let description = Description::parse(server.description()).unwrap();
    let (plan, traffic) = (server.plan(), server.traffic());
    let machine = Machine::here();
    let mut before = 0.0;
    for link in [Link::MEMORY, Link::LAN, Link::WAN] {
        let Prediction { setup, offline, online, .. } =
            planner::predict(plan, traffic, &description, link, &machine).unwrap();
        for (phase, cost) in
            [(setup, traffic.setup), (offline, traffic.offline), (online, traffic.online)]
        {
            assert_eq!(phase.bytes_sent, cost.client_to_server);
            assert_eq!(phase.bytes_received, cost.server_to_client);
            assert!(phase.seconds > 0.0);
        }
        let whole = setup.seconds + offline.seconds + online.seconds;
        assert!(whole > before);
        before = whole;
        let steps = planner::predict_steps(plan, &description, link, &machine).unwrap();
        assert_eq!(steps.len(), plan.steps().len());
        let together: f64 = steps.iter().map(|step| step.online).sum();
        assert!(together > 0.0 && together <= online.seconds);
    }
}

#[test]
fn steps_with_few_trips_travel_in_the_description_and_cost_what_the_plan_says() {
    let network = everything(10);
    let gmw = Choice::uniform(network.architecture(), StepProtocol::Gmw).unwrap();
    let is_step = |node: &&Node| matches!(node.kind, NodeKind::Step(_));
    let count = network.architecture().nodes().iter().filter(is_step).count();
    let mut steps = vec![StepProtocol::GmwFewTrips; count];
    steps[count - 1] = StepProtocol::Garbled;
    let choice = Choice { steps, ..gmw.clone() };
    let server = compile(&network, &choice);
    let description = Description::parse(server.description()).unwrap();
    assert_eq!(Choice::parse(&description).unwrap(), choice);
    let trips = |choice: &Choice| -> usize {
        let server = compile(&network, choice);
        let description = Description::parse(server.description()).unwrap();
        let (link, machine) = (Link::WAN, Machine::here());
        let steps = planner::predict_steps(server.plan(), &description, link, &machine).unwrap();
        steps.iter().map(|step| step.trips).sum()
    };
    assert!(trips(&choice) < trips(&gmw));
    assert_traffic(&run(&choice.suite(count), &network, &inputs(&network, 2)));
}

#[test]
fn minionn_stays_under_the_traffic_that_was_promised() {
    let Some(network) = minionn(RoundingMode::Local) else { return };
    let cold = Choice::uniform(network.architecture(), StepProtocol::Gmw).unwrap();
    let traffic = compile(&network, &cold).traffic().clone();
    let offline = |traffic: &gazelle::PlannedTraffic| -> u64 {
        traffic.linear.offline.iter().map(gazelle_wire::Cost::total).sum()
    };
    let linear = traffic.linear.setup.total() + offline(&traffic);
    eprintln!(
        "cold: linear {linear}, setup {:?}, offline {:?}, online {:?}",
        traffic.setup, traffic.offline, traffic.online
    );
    assert!(linear <= 3_500_000, "one cold inference: {linear} bytes for linear layers");
    assert!(traffic.cold().total() <= 7_000_000, "whole cold inference");
    assert!(traffic.online.total() <= 2_000_000, "online");
    // Literals: a change of the plan must be seen. Quantisation is exact on every machine.
    assert_eq!((linear, traffic.cold().total()), (1_898_878, 5_841_637));
    let hundred = Choice { inferences_per_setup: 100, ..cold };
    let traffic = compile(&network, &hundred).traffic().clone();
    let each = offline(&traffic);
    eprintln!("a plan for 100: {each} per inference, {} once", traffic.linear.setup.total());
    assert!(each <= 600_000, "a plan for 100: {each} bytes per inference for linear layers");
    assert_eq!(each, 234_529);
}
