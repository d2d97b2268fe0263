//! Bad peers: an error, never a panic or a hang; the server serves the next client.

use std::time::{Duration, Instant};

use gazelle::{Client, Description, GazelleError, Limits, Offer, ServerLimits, Suite};
use gazelle_share::testing::{IdealLinear, IdealNonlinear, test_rng};
use gazelle_share::{LinearProtocol, Network, NonlinearProtocol};
use gazelle_wire::recording::{Mutation, frames, replay};
use gazelle_wire::testing::{Tampered, run_two_recorded, run_two_tampered};
use gazelle_wire::{Channel, ChannelError, memory};
use proptest::prelude::*;

use crate::networks::{evaluate, inputs, tiny};
use crate::parties::{Way, compile};

type Ideal = Suite<IdealLinear, IdealNonlinear>;

fn ideal() -> Ideal {
    Suite::new(IdealLinear, IdealNonlinear)
}

/// One whole session of a client.
fn session<L: LinearProtocol, N: NonlinearProtocol>(
    channel: Channel,
    suite: Suite<L, N>,
    input: &[i64],
    way: Way,
) -> Result<Vec<i64>, GazelleError> {
    let mut rng = test_rng(3);
    let offer = Offer::receive(channel, Limits::default(), None, &mut rng)?;
    let mut client: Client<L, N> = way.begin(offer, suite, None, &mut rng)?;
    let inference = way.infer(&mut client, None, input, &mut rng)?;
    client.close()?;
    Ok(inference.values)
}

/// Changes every frame of a session in every way, one at a time. Results may be `slack` units off
/// without that.
pub(crate) fn tamper_with_every_frame<L, N>(
    suite: &Suite<L, N>,
    network: &Network,
    slack: i64,
    mutations: &[Mutation],
) where
    L: LinearProtocol + Clone + 'static,
    N: NonlinearProtocol + Clone + 'static,
{
    tamper(suite, network, (slack, Way::Apart), mutations);
}

/// The same, of a session whose phases follow each other some way.
pub(crate) fn tamper<L, N>(
    suite: &Suite<L, N>,
    network: &Network,
    (slack, way): (i64, Way),
    mutations: &[Mutation],
) where
    L: LinearProtocol + Clone + 'static,
    N: NonlinearProtocol + Clone + 'static,
{
    let server = compile(suite.clone(), network.clone());
    let input = inputs(network, 1).remove(0);
    let parties = || {
        let (suite, input, server) = (suite.clone(), input.clone(), server.clone());
        (
            move |channel: Channel| session(channel, suite, &input, way),
            move |channel: Channel| {
                server.serve(channel, &ServerLimits::default(), &mut test_rng(4))
            },
        )
    };
    let (client, serve) = parties();
    let (values, served, recording) = run_two_recorded(client, serve);
    assert_close(&values.unwrap(), network, &input, slack);
    served.unwrap();
    let counts = [
        (Tampered::Client, frames(&recording.sent()).len()),
        (Tampered::Server, frames(&recording.received()).len()),
    ];
    for (who, count) in counts {
        for index in 0..count {
            for mutation in mutations {
                let (client, serve) = parties();
                let begin = Instant::now();
                let (client, served) = run_two_tampered(who, index, *mutation, client, serve);
                assert!(begin.elapsed() < Duration::from_secs(20), "{who:?} {index} took long");
                // A wrong payload may go unnoticed, and so may all that happens to a side's last
                // frame (the farewell; a repetition after the result). Nothing else may.
                let noticed = client.is_err() || served.is_err();
                let payload = match mutation {
                    Mutation::Flip { bit } => *bit >= 64,
                    Mutation::Garbage { .. } => true,
                    _ => false,
                };
                assert!(noticed || payload || index + 1 == count, "{who:?} {index} {mutation:?}");
            }
        }
    }
    let (client, serve) = parties();
    let (values, served, _) = run_two_recorded(client, serve);
    // The next client is served.
    assert_close(&values.unwrap(), network, &input, slack);
    served.unwrap();
}

fn assert_close(values: &[i64], network: &Network, input: &[i64], slack: i64) {
    let expected = evaluate(network, input);
    assert_eq!(values.len(), expected.len());
    for (got, expected) in values.iter().zip(expected) {
        assert!((got - expected).abs() <= slack, "{got} instead of {expected}");
    }
}

#[test]
fn a_changed_frame_is_an_error_or_a_wrong_result_and_the_next_client_is_served() {
    tamper_with_every_frame(&ideal(), &tiny(0), 0, &Mutation::all());
}

#[test]
fn a_client_that_says_nothing_is_noticed_within_the_time_out() {
    let server = compile(ideal(), tiny(0));
    let (_silent, end) = memory::pair_with_timeout(Duration::from_millis(200));
    let begin = Instant::now();
    let error = server.serve(end, &ServerLimits::default(), &mut test_rng(1)).unwrap_err();
    assert!(matches!(error, GazelleError::Channel(ChannelError::TimedOut)), "{error}");
    assert!(begin.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_session_of_random_bytes_is_an_error() {
    let server = compile(ideal(), tiny(0));
    proptest!(ProptestConfig::with_cases(200), |(bytes in proptest::collection::vec(any::<u8>(), 0..400))| {
        let result = server.serve(replay(bytes.clone()), &ServerLimits::default(), &mut test_rng(1));
        prop_assert!(result.is_err());
        let result = Offer::receive(replay(bytes), Limits::default(), None, &mut test_rng(1));
        prop_assert!(result.is_err());
    });
}

#[test]
fn a_description_of_random_changes_is_refused_or_valid() {
    let server = compile(ideal(), tiny(0));
    let description = server.description().to_vec();
    let count = description.len();
    proptest!(ProptestConfig::with_cases(400), |(at in 0..count, byte in b' '..=b'~')| {
        let mut bytes = description.clone();
        bytes[at] = byte;
        if let Ok(description) = Description::parse(&bytes) {
            // Planning what a stranger describes must end, whatever it says.
            let _ = gazelle::Plan::new(description.architecture);
        }
    });
}

#[test]
fn a_client_refuses_what_exceeds_its_limits() {
    let server = compile(ideal(), tiny(0));
    let limits = Limits { traffic_bytes: 1000, ..Limits::default() };
    let (result, served) = gazelle_wire::testing::run_two(
        move |channel| {
            let mut rng = test_rng(1);
            Offer::receive(channel, limits, None, &mut rng)?.accept(ideal(), &mut rng).map(drop)
        },
        move |channel| server.serve(channel, &ServerLimits::default(), &mut test_rng(2)),
    );
    let error = result.unwrap_err();
    assert!(matches!(error, GazelleError::Limit { limit: 1000, .. }), "{error}");
    assert!(served.is_err());
}

#[test]
fn a_pinned_model_that_the_server_does_not_have_is_refused() {
    let server = compile(ideal(), tiny(0));
    let (result, served) = gazelle_wire::testing::run_two(
        move |channel| {
            Offer::receive(channel, Limits::default(), Some([1; 32]), &mut test_rng(1)).map(drop)
        },
        move |channel| server.serve(channel, &ServerLimits::default(), &mut test_rng(2)),
    );
    assert!(matches!(result, Err(GazelleError::Pinned { pinned, .. }) if pinned == [1; 32]));
    assert!(served.is_err());
}

#[test]
fn material_cannot_be_used_in_another_session_and_inputs_must_fit() {
    let server = compile(ideal(), tiny(0));
    let serve = |channel: Channel| {
        let server = server.clone();
        std::thread::spawn(move || {
            server.serve(channel, &ServerLimits::default(), &mut test_rng(2))
        })
    };
    let open = || {
        let (ours, theirs) = memory::pair();
        let thread = serve(theirs);
        let mut rng = test_rng(1);
        let offer = Offer::receive(ours, Limits::default(), None, &mut rng).unwrap();
        (offer.accept(ideal(), &mut rng).unwrap(), thread)
    };
    let (mut first, first_thread) = open();
    let (mut second, second_thread) = open();
    let prepared = first.prepare(&mut test_rng(5)).unwrap();
    assert!(matches!(second.infer(prepared, &[0; 16]), Err(GazelleError::Material)));
    let prepared = second.prepare(&mut test_rng(5)).unwrap();
    assert!(matches!(second.infer(prepared, &[0; 15]), Err(GazelleError::InputLength { .. })));
    let prepared = second.prepare(&mut test_rng(5)).unwrap();
    assert!(matches!(second.infer(prepared, &[1 << 30; 16]), Err(GazelleError::InputRange { .. })));
    let prepared = second.prepare(&mut test_rng(5)).unwrap();
    second.infer(prepared, &[1; 16]).unwrap();
    first.close().unwrap();
    second.close().unwrap();
    first_thread.join().unwrap().unwrap();
    assert_eq!(second_thread.join().unwrap().unwrap().inferences.len(), 1);
}

#[test]
fn a_server_refuses_more_waiting_material_than_allowed() {
    let server = compile(ideal(), tiny(0));
    let limits = ServerLimits { prepared: 2, inferences: 10, ..ServerLimits::default() };
    let (client, served) = gazelle_wire::testing::run_two(
        |channel| {
            let mut rng = test_rng(1);
            let mut client = Offer::receive(channel, Limits::default(), None, &mut rng)?
                .accept(ideal(), &mut rng)?;
            let mut waiting = Vec::new();
            for _ in 0..3 {
                waiting.push(client.prepare(&mut rng)?);
            }
            Ok::<(), GazelleError>(())
        },
        move |channel| server.serve(channel, &limits, &mut test_rng(2)),
    );
    assert!(client.is_err());
    assert!(matches!(served, Err(GazelleError::Peer(_))));
}
