//! Steps side by side: their trips are shared, and each says what it says alone.

#![expect(clippy::unwrap_used, reason = "a test: failing loudly is its job")]

use std::sync::Arc;

use gazelle_garble::HalfGates;
use gazelle_nonlinear::{PerLayer, Price, StepChoice};
use gazelle_ot::IdealOt;
use gazelle_share::step::StepFunction;
use gazelle_share::testing::test_rng;
use gazelle_share::{
    Misuse, NonlinearClient, NonlinearProtocol, NonlinearServer, OnlineSteps, Output, Pads,
    ProtocolError, Rounding, Shares, Step, Window,
};
use gazelle_wire::recording::{Recording, frames, pair_for_one_thread};
use gazelle_wire::testing::{run_two, run_two_over, run_two_recorded};
use gazelle_wire::{Channel, Traffic};

use super::common::{Case, step};

/// The kind of a message of halves.
const HALVES: u16 = 0x0610;

/// Steps that do not depend on each other: of two pieces and of one, with many trips and few, one whose first trip is
/// the client's, and what may be garbled.
fn steps() -> Vec<Step> {
    let window = Window { kernel: [3; 2], stride: [2; 2], pads: Pads::default() };
    let exact = Rounding::Exact { guard_bits: 0 };
    let relu = |elements| step(StepFunction::Relu, [elements, 1, 1], [6, 4, 10, 12]);
    vec![
        Step { rounding: exact, ..relu(5 * 4096) },
        step(StepFunction::MaxPool { window, relu: true }, [2, 7, 7], [6, 0, 10, 12]),
        step(StepFunction::Rescale, [40, 1, 1], [6, 0, 12, 12]),
        step(StepFunction::Relu, [100, 1, 1], [6, 0, 10, 12]),
        step(StepFunction::Relu, [30, 1, 1], [7, 0, 11, 12]),
    ]
}

fn cases() -> Vec<(Case, Vec<i64>)> {
    let seeds = 31..;
    let all = steps().into_iter().zip(seeds).map(|(step, seed)| Case::random(step, seed));
    all.map(|(case, exact)| {
        let half = (1 << case.step.truncate_bits) >> 1;
        let rounded: Vec<i64> =
            exact.iter().map(|x| (x + half) >> case.step.truncate_bits).collect();
        let expected = case.step.apply(&rounded);
        (case, expected)
    })
    .collect()
}

fn protocol(choices: &[StepChoice]) -> PerLayer<IdealOt, HalfGates> {
    PerLayer { ot: IdealOt, scheme: HalfGates::default(), choices: choices.into() }
}

/// What a party did online: each step's result with its cost, and all that moved.
type Online<R> = (OnlineSteps<Option<R>>, Traffic);

/// The client's online phase, in waves of these sizes.
fn client(choices: &[StepChoice], waves: &[usize], mut channel: Channel) -> Online<Vec<i64>> {
    let (mut rng, protocol) = (test_rng(101), protocol(choices));
    let compiled = Arc::new(protocol.compile(steps().into()).unwrap());
    let mut client = protocol.client(compiled, &mut channel, &mut rng).unwrap();
    let mut prepared = Vec::new();
    for (index, (case, _)) in cases().iter().enumerate() {
        let output = case.mask.as_ref().map_or(Output::Reveal, Output::Masked);
        let material = client.offline(index, &case.client, output, &mut channel, &mut rng).unwrap();
        prepared.push((index, material));
    }
    channel.flush().unwrap();
    let (before, mut all) = (channel.traffic(), Vec::new());
    for size in waves {
        let wave = prepared.drain(..size).collect();
        all.extend(client.online_wave(wave, &mut channel).unwrap());
    }
    channel.flush().unwrap();
    (all, channel.traffic() - before)
}

fn server(choices: &[StepChoice], waves: &[usize], mut channel: Channel) -> Online<Shares> {
    let (mut rng, protocol) = (test_rng(102), protocol(choices));
    let compiled = Arc::new(protocol.compile(steps().into()).unwrap());
    let mut server = protocol.server(compiled, &mut channel, &mut rng).unwrap();
    let mut prepared = Vec::new();
    for (index, (case, _)) in cases().into_iter().enumerate() {
        let material = server.offline(index, &mut channel, &mut rng).unwrap();
        prepared.push((index, material, case.server));
    }
    channel.flush().unwrap();
    let (before, mut all) = (channel.traffic(), Vec::new());
    for size in waves {
        let wave = prepared.drain(..size).collect();
        all.extend(server.online_wave(wave, &mut channel).unwrap());
    }
    channel.flush().unwrap();
    (all, channel.traffic() - before)
}

/// Runs both parties in waves of these sizes, and checks; the server's traffic, and what the link carried.
fn run(choices: &'static [StepChoice], waves: &'static [usize]) -> (Traffic, Recording) {
    let (client, server, recording) = run_two_recorded(
        move |channel| client(choices, waves, channel),
        move |channel| server(choices, waves, channel),
    );
    (check(choices, client, server), recording)
}

/// Checks all results and each step's bytes.
fn check(choices: &[StepChoice], client: Online<Vec<i64>>, server: Online<Shares>) -> Traffic {
    let protocol = protocol(choices);
    let planned = protocol.traffic(&protocol.compile(steps().into()).unwrap(), 0).online;
    let mut seconds = 0.0;
    let parties = client.0.into_iter().zip(server.0);
    for ((((values, up), (share, down)), planned), (case, expected)) in
        parties.zip(planned).zip(cases())
    {
        let bytes = [(up.sent, up.received), (down.received, down.sent)];
        assert_eq!(bytes, [(planned.client_to_server, planned.server_to_client); 2]);
        assert_eq!(case.results(values, share), expected, "{:?}", case.step);
        seconds += down.seconds;
    }
    assert!(seconds > 0.0);
    server.1
}

/// By OT, with few bits.
const GMW: &[StepChoice] = &[StepChoice::Gmw; 5];
/// The last two are garbled.
const MIXED: &[StepChoice] = &[
    StepChoice::Gmw,
    StepChoice::Gmw,
    StepChoice::GmwFewTrips,
    StepChoice::Garbled,
    StepChoice::Garbled,
];
const APART: &[usize] = &[1; 5];
const TOGETHER: &[usize] = &[5];

fn prices(choices: &[StepChoice]) -> Vec<Price> {
    let protocol = protocol(choices);
    steps()
        .iter()
        .zip(choices)
        .map(|(step, choice)| protocol.prices(step, *choice).unwrap())
        .collect()
}

#[test]
fn transcript_a_wave_takes_its_longest_steps_trips_and_every_message_is_its_steps() {
    let prices = prices(GMW);
    let (one, all) =
        (prices.iter().map(|price| price.trips).sum::<usize>(), Price::together(&prices));
    assert_eq!(prices.iter().filter(|price| price.client_first).count(), 1);
    // 6, 22, 1, 6 and 6 trips; the max-pool's are the wave's.
    assert_eq!((one, all.trips), (41, 22));
    let (apart, said_apart) = run(GMW, APART);
    let (together, said) = run(GMW, TOGETHER);
    // The server speaks first and hears last: a turn per round trip, and none between two messages of the client's.
    assert_eq!((apart.turns, together.turns), (20, 11));
    assert_eq!((apart.sent, apart.received), (together.sent, together.received));
    let halves = |bytes: Vec<u8>| {
        let frames = frames(&bytes).into_iter().filter(|frame| frame.header.kind == HALVES);
        let mut all: Vec<Vec<u8>> = frames.map(|frame| frame.payload).collect();
        all.sort();
        all
    };
    assert!(halves(said.sent()).len() > 20);
    assert_eq!(halves(said.sent()), halves(said_apart.sent()));
    assert_eq!(halves(said.received()), halves(said_apart.received()));
}

#[test]
fn conformance_waves_with_garbled_steps_and_of_any_size_give_what_steps_give() {
    for waves in [&[2, 3][..], &[1, 4], &[3, 1, 1], TOGETHER, APART] {
        run(MIXED, waves);
        run(GMW, waves);
    }
}

#[test]
fn transcript_a_wave_of_one_thread_says_what_threads_say() {
    let (_, threads) = run(GMW, TOGETHER);
    let (a, b, alone) = pair_for_one_thread();
    let (client, server) = run_two_over(
        (a, b),
        |channel| client(GMW, TOGETHER, channel),
        |channel| server(GMW, TOGETHER, channel),
    );
    check(GMW, client, server);
    let halves = |bytes: Vec<u8>| {
        let frames = frames(&bytes).into_iter().filter(|frame| frame.header.kind == HALVES);
        frames.map(|frame| frame.payload).collect::<Vec<_>>()
    };
    assert_eq!(halves(alone.sent()), halves(threads.sent()));
    assert_eq!(halves(alone.received()), halves(threads.received()));
}

#[test]
fn adversarial_a_wave_with_the_wrong_material_or_share_says_nothing() {
    let (client, server) = run_two(
        |mut channel| {
            let (mut rng, protocol) = (test_rng(101), protocol(GMW));
            let compiled = Arc::new(protocol.compile(steps().into()).unwrap());
            let mut client = protocol.client(compiled, &mut channel, &mut rng).unwrap();
            let mut prepared = Vec::new();
            for (index, (case, _)) in cases().iter().enumerate().take(2) {
                let output = case.mask.as_ref().map_or(Output::Reveal, Output::Masked);
                let made =
                    client.offline(index, &case.client, output, &mut channel, &mut rng).unwrap();
                // The other one's.
                prepared.push((1 - index, made));
            }
            channel.flush().unwrap();
            let before = channel.traffic().sent;
            let result = client.online_wave(prepared, &mut channel);
            (
                matches!(result, Err(ProtocolError::Caller(Misuse::Material))),
                channel.traffic().sent == before,
            )
        },
        |mut channel| {
            let (mut rng, protocol) = (test_rng(102), protocol(GMW));
            let compiled = Arc::new(protocol.compile(steps().into()).unwrap());
            let mut server = protocol.server(compiled, &mut channel, &mut rng).unwrap();
            let mut prepared = Vec::new();
            for index in 0..2 {
                let made = server.offline(index, &mut channel, &mut rng).unwrap();
                let share =
                    if index == 0 { cases()[0].0.server.clone() } else { Shares::zero(10, 5) };
                prepared.push((index, made, share));
            }
            channel.flush().unwrap();
            let before = channel.traffic().sent;
            let result = server.online_wave(prepared, &mut channel);
            (
                matches!(result, Err(ProtocolError::Caller(Misuse::Shares { .. }))),
                channel.traffic().sent == before,
            )
        },
    );
    assert_eq!((client, server), ((true, true), (true, true)));
}
