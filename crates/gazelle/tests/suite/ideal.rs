//! Sessions with the ideal protocols: masks, order, traffic and reports, before any cryptography.

use gazelle::{Plan, Suite};
use gazelle_share::MaskKind;
use gazelle_share::testing::{IdealLinear, IdealNonlinear};

use crate::networks::{evaluate, everything, inputs, tiny};
use crate::parties::{assert_traffic, run};

fn ideal() -> Suite<IdealLinear, IdealNonlinear> {
    Suite::new(IdealLinear, IdealNonlinear)
}

#[test]
fn every_kind_of_edge_computes_what_the_network_says() {
    for truncate in [0, 7] {
        let network = everything(truncate);
        let inputs = inputs(&network, 3);
        let run = run(&ideal(), &network, &inputs);
        for (input, inference) in inputs.iter().zip(&run.inferences) {
            assert_eq!(inference.values, evaluate(&network, input));
        }
    }
}

#[test]
fn traffic_is_what_the_plan_says_to_the_byte() {
    for network in [everything(0), tiny(0)] {
        let inputs = inputs(&network, 1);
        assert_traffic(&run(&ideal(), &network, &inputs));
    }
}

#[test]
fn layers_come_in_the_order_of_the_network_and_add_up() {
    let network = everything(0);
    let run = run(&ideal(), &network, &inputs(&network, 1));
    let report = &run.inferences[0].report;
    let names: Vec<&str> = report.layers.iter().map(|layer| layer.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "conv_a+conv_b",
            "conv_c",
            "relu_a",
            "relu_b",
            "conv_d",
            "relu_c",
            "conv_e",
            "conv_f",
            "max_pool",
            "fc",
            "output"
        ]
    );
    assert_eq!(report.layers.last().unwrap().kind, "output");
    let command = 13;
    let online: u64 = report.layers.iter().map(|layer| layer.online.bytes()).sum();
    assert_eq!(online + command, report.online.bytes());
    let offline: u64 = report.layers.iter().map(|layer| layer.offline.bytes()).sum();
    assert_eq!(offline + command, report.offline.bytes());
}

#[test]
fn each_root_has_one_source_of_its_mask() {
    let plan = Plan::new(everything(0).architecture().clone()).unwrap();
    let kinds: Vec<(&str, MaskKind)> =
        plan.groups().iter().map(|group| (group.name.as_str(), group.mask)).collect();
    // conv_c reads the input a second time; conv_e and conv_f read derived tensors.
    assert_eq!(
        kinds,
        [
            ("conv_a+conv_b", MaskKind::Fresh),
            ("conv_d", MaskKind::Fresh),
            ("fc", MaskKind::Fresh),
            ("conv_c", MaskKind::Given),
            ("conv_e", MaskKind::Given),
            ("conv_f", MaskKind::Given),
        ]
    );
    let revealed: Vec<bool> = plan.groups().iter().map(|group| group.revealed).collect();
    assert_eq!(revealed, [false, false, true, false, false, false]);
}
