//! Processes that were cloned, or restored from a snapshot: generators in the same state.

use std::collections::BTreeMap;

use gazelle::backend::{Choice, StepProtocol};
use gazelle::{Limits, Offer, ServerLimits};
use gazelle_share::testing::test_rng;
use gazelle_wire::recording::frames;
use gazelle_wire::testing::run_two_recorded;

use crate::networks::{exactly, inputs, tiny};
use crate::parties::compile;

/// Handshake (hello, answer, confirmation), base OTs (point, functions of points, lattice keys, ciphertexts,
/// differences), session nonces, commitments to leaves, requests.
const DRAWN: [u16; 11] =
    [0x0010, 0x0011, 0x0013, 0x0300, 0x0307, 0x0305, 0x0306, 0x0308, 0x0302, 0x0304, 0x0202];

/// What both parties say that they have drawn, by kind, from generators that always begin alike.
fn said(backend: StepProtocol) -> BTreeMap<u16, Vec<Vec<u8>>> {
    let network = exactly(&tiny(10));
    let choice = Choice::uniform(network.architecture(), backend).unwrap();
    let suite = choice.suite(network.architecture().nodes().len());
    let input = inputs(&network, 1).remove(0);
    let server = compile(suite.clone(), network);
    let (client, served, recording) = run_two_recorded(
        move |channel| {
            let mut rng = test_rng(1);
            let offer = Offer::receive(channel, Limits::default(), None, &mut rng)?;
            let mut client = offer.accept(suite, &mut rng)?;
            let prepared = client.prepare(&mut rng)?;
            client.infer(prepared, &input)?;
            client.close()
        },
        move |channel| server.serve(channel, &ServerLimits::default(), &mut test_rng(2)),
    );
    client.unwrap();
    served.unwrap();
    let mut said = BTreeMap::<u16, Vec<Vec<u8>>>::new();
    for frame in frames(&recording.sent()).into_iter().chain(frames(&recording.received())) {
        if DRAWN.contains(&frame.header.kind) {
            said.entry(frame.header.kind).or_default().push(frame.payload);
        }
    }
    said
}

#[test]
fn adversarial_parties_in_the_same_state_draw_other_nonces_keys_and_requests() {
    for backend in [StepProtocol::Gmw, StepProtocol::Garbled] {
        let (first, second) = (said(backend), said(backend));
        assert!(first.len() >= 7, "{:x?}", first.keys());
        assert!(first.keys().eq(second.keys()));
        for (kind, first) in &first {
            let second = &second[kind];
            assert_eq!(first.len(), second.len());
            for (index, payload) in first.iter().enumerate() {
                assert!(!second.contains(payload), "kind {kind:#06x}, message {index}");
            }
        }
    }
}
