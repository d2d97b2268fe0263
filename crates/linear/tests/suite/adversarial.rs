//! Bad plans and bad messages: an error or a wrong result, never a panic or a hang.

use gazelle_linear::PublicCoin;
use gazelle_share::testing::test_rng;
use gazelle_share::{LinearOp, LinearProtocol, MaskKind};
use gazelle_wire::recording::Mutation;
use gazelle_wire::testing::{Tampered, run_two_tampered};
use proptest::prelude::*;
use rand_core::Rng;

use crate::networks::{conv, group, weights};
use crate::session::Setting;

fn small() -> Setting {
    let mut given = group(22, 10, vec![LinearOp::FullyConnected { inputs: 40, outputs: 6 }]);
    given.mask = MaskKind::Given;
    let mut last = group(24, 8, vec![LinearOp::FullyConnected { inputs: 30, outputs: 5 }]);
    last.revealed = true;
    let groups =
        vec![group(23, 10, vec![conv(3, 9, 4, 3, 2, 1), conv(3, 9, 5, 1, 2, 0)]), given, last];
    let mut rng = test_rng(4);
    let weights = groups
        .iter()
        .map(|group| group.ops.iter().map(|op| weights(op, 10, &mut rng)).collect())
        .collect();
    Setting::new(PublicCoin::default(), groups, weights)
}

#[test]
fn every_frame_flipped_truncated_replayed_or_left_out_ends_the_session_cleanly() {
    let setting = small();
    // Client: three requests. Server: two hints, nonces, fresh hints.
    for (party, frames) in [(Tampered::Client, 3), (Tampered::Server, 6)] {
        for index in 0..frames {
            for mutation in [
                Mutation::Flip { bit: 0 },
                Mutation::Flip { bit: 40 },
                Mutation::Truncate { keep: 11 },
                Mutation::Replay,
                Mutation::Drop,
            ] {
                let (client, server) = (setting.clone(), setting.clone());
                let (client, server) = run_two_tampered(
                    party,
                    index,
                    mutation,
                    move |mut channel| client.client(1, &mut channel, 1).map(|_| ()),
                    move |mut channel| server.server(1, &mut channel, 2).map(|_| ()),
                );
                // A frame after which nothing is read may be repeated unnoticed.
                let last = matches!(mutation, Mutation::Replay) && index + 1 == frames;
                assert!(
                    last || client.is_err() || server.is_err(),
                    "{party:?} frame {index} {mutation:?} went unnoticed"
                );
            }
        }
    }
}

#[test]
fn payloads_of_the_right_length_never_panic() {
    let setting = small();
    for (party, frames) in [(Tampered::Client, 3), (Tampered::Server, 6)] {
        for index in 0..frames {
            for mutation in
                [Mutation::Garbage { seed: index as u64 }, Mutation::Flip { bit: 64 + 37 * index }]
            {
                let (client, server) = (setting.clone(), setting.clone());
                let (client, server) = run_two_tampered(
                    party,
                    index,
                    mutation,
                    move |mut channel| client.client(1, &mut channel, 1).map(|run| run.len()),
                    move |mut channel| server.server(1, &mut channel, 2).map(|run| run.len()),
                );
                for result in [client, server].into_iter().flatten() {
                    assert_eq!(result, 1);
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn a_plan_with_any_number_changed_is_refused_or_harmless(
        packing in 0usize..4,
        field in 0usize..8,
        value in prop_oneof![0u32..40, Just(u32::MAX), Just(1 << 31), any::<u32>()],
    ) {
        let setting = small();
        let mut plan = (*setting.plan).clone();
        let mut packings: Vec<_> =
            plan.groups.iter_mut().flat_map(|group| &mut group.packings).collect();
        let count = packings.len();
        let changed = &mut *packings[packing % count];
        match field {
            0 => changed.phase[0] = value,
            1 => changed.phase[1] = value,
            2 => changed.tile[0] = value,
            3 => changed.tile[1] = value,
            4 => changed.channels = value,
            5 => changed.maps[0] = value,
            6 => changed.ops[0] = value,
            _ => changed.maps.push(value),
        }
        if setting.protocol.validate(&setting.groups, &plan).is_ok() {
            // A legal plan: its traffic is finite and its messages can be made.
            let traffic = setting.protocol.traffic(&setting.groups, &plan);
            prop_assert_eq!(traffic.offline.len(), setting.groups.len());
            prop_assert!(traffic.setup.total() < 1 << 30);
        }
    }
}

#[test]
fn plans_that_promise_too_little_or_too_much_are_refused() {
    let setting = small();
    let refused = |change: &dyn Fn(&mut gazelle_linear::LinearPlan)| {
        let mut plan = (*setting.plan).clone();
        change(&mut plan);
        assert!(setting.protocol.validate(&setting.groups, &plan).is_err());
    };
    refused(&|plan| {
        plan.groups.pop();
    });
    refused(&|plan| plan.groups[0].packings.clear());
    // Weights that large drown the result in noise.
    refused(&|plan| plan.groups[0].norm_quarter_bits[0] = 240);
    refused(&|plan| {
        plan.groups[0].norm_quarter_bits.pop();
    });
    refused(&|plan| plan.groups[0].parameters = plan.groups[1].parameters);
    // The revealed layer sends all of low.
    refused(&|plan| {
        let p = plan.groups[2].parameters;
        plan.groups[2].parameters = gazelle_he::public_coin::Parameters::new(
            p.degree(),
            p.ring_bits(),
            p.noise_bits(),
            p.noise_bits() - 1,
            p.dropped_bits(),
        )
        .unwrap();
    });
    // No scheme is asked to pack nothing.
    refused(&|plan| {
        let mut nothing = plan.groups[0].packings[0].clone();
        nothing.ops.clear();
        nothing.maps.clear();
        plan.groups[0].packings.push(nothing);
    });
    refused(&|plan| {
        let again = plan.groups[0].packings[0].clone();
        plan.groups[0].packings.push(again);
    });
}

#[test]
fn operators_of_any_size_are_refused_without_overflow() {
    let setting = small();
    let mut rng = test_rng(8);
    for _ in 0..2000 {
        let mut groups = setting.groups.to_vec();
        let LinearOp::Conv(conv) = &mut groups[0].ops[0] else { panic!("a convolution") };
        let large = [0, 1, 3, 1 << 20, 1 << 31, usize::MAX / 2, usize::MAX];
        let value = large[rng.next_u64() as usize % large.len()];
        match rng.next_u64() % 12 {
            0 => conv.input.channels = value,
            1 => conv.input.height = value,
            2 => conv.input.width = value,
            3 => conv.maps = value,
            4 => conv.kernel[0] = value,
            5 => conv.kernel[1] = value,
            6 => conv.stride[0] = value,
            7 => conv.dilation[1] = value,
            8 => conv.pads.top = value,
            9 => conv.pads.right = value,
            10 => conv.groups = value,
            _ => groups[1].ops[0] = LinearOp::FullyConnected { inputs: value, outputs: value },
        }
        // Refused, or still a layer that the plan computes.
        let _ = setting.protocol.validate(&groups, &setting.plan);
        let traffic = setting.protocol.traffic(&groups, &setting.plan);
        assert!(traffic.offline.len() <= groups.len());
    }
}
