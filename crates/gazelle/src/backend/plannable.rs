//! Quantisation that ends in a network whose linear layers have parameters.

use gazelle_linear::PublicCoin;
use gazelle_model::{Graph, ModelError, Options, Quantised};
use gazelle_share::Network;

use crate::error::GazelleError;
use crate::plan::Plan;
use crate::session::server::plan_linear;

/// Quantises as [`gazelle_model::quantise`] does; again with [narrow weights](Options::narrow_weights) if the
/// linear layers could not be planned. What cannot be planned either way comes back as it was found first, and is
/// refused by the layer's name when it is compiled.
///
/// Cost: networks with [wide weights](Quantised::has_wide_weights) are planned once; a second quantisation
/// where that fails.
///
/// # Errors
/// As `gazelle_model::quantise`.
pub fn quantise(graph: &Graph, options: &Options) -> Result<Quantised, ModelError> {
    quantise_for(graph, options, |network| plan(network).is_ok())
}

/// As [`quantise`], for a planner that says which networks it can plan.
fn quantise_for(
    graph: &Graph,
    options: &Options,
    can_plan: impl Fn(&Network) -> bool,
) -> Result<Quantised, ModelError> {
    let found = gazelle_model::quantise(graph, options)?;
    if !found.has_wide_weights() || can_plan(&found.network) {
        return Ok(found);
    }
    let narrow = Options { narrow_weights: true, ..options.clone() };
    // optional: a network that needs wide weights has no narrow ones that meet the error bounds
    let narrow = gazelle_model::quantise(graph, &narrow).ok();
    match narrow.filter(|narrow| can_plan(&narrow.network)) {
        Some(narrow) => Ok(narrow),
        None => Ok(found),
    }
}

/// Plans the linear layers, and forgets the plan.
fn plan(network: &Network) -> Result<(), GazelleError> {
    let plan = Plan::new(network.architecture().clone())?;
    plan_linear(&PublicCoin::default(), &plan, network).map(drop)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use gazelle_model::{import, samples};

    use super::*;

    fn largest(network: &Network) -> u32 {
        let weights = network.layers().flat_map(|(_, layer)| &layer.weights);
        weights.map(|weight| weight.unsigned_abs()).fold(0, u32::max)
    }

    #[test]
    fn properties_weights_are_narrowed_where_that_makes_a_plan_and_only_there() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"));
        let path = path.join("../../models/mnist_c_chameleon/model.onnx");
        let graph = import(&std::fs::read(&path).unwrap()).unwrap();
        let calibration = samples::beside(&path, &graph, 4);
        // Finer than anybody needs: norms beyond 2^16.
        let options = Options { calibration, weight_bits: 20, ..Options::default() };
        let wide = gazelle_model::quantise(&graph, &options).unwrap().network;
        let others = |network: &Network| largest(network) < largest(&wide);
        let check = |can_plan: &dyn Fn(&Network) -> bool, stays_wide: bool| {
            let found = quantise_for(&graph, &options, can_plan).unwrap();
            assert!(found.report.good);
            assert_eq!(found.has_wide_weights(), stays_wide);
        };
        check(&|_| true, true);
        check(&|_| false, true);
        check(&others, false);
        let found = quantise(&graph, &options).unwrap();
        plan(&found.network).unwrap();
    }
}
