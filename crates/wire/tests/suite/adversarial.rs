//! Every changed frame is an error or another value, promptly; never a panic or a hang.

use std::time::{Duration, Instant};

use gazelle_wire::recording::{self, Mutation, frames, mutated, replay};
use gazelle_wire::testing::{Tampered, fuzz, run_two_recorded, run_two_tampered};
use gazelle_wire::{Bytes, Channel, ChannelError, Packed, PackedShape, handshake};
use proptest::prelude::*;

const SHAPE: PackedShape = PackedShape { count: 1000, bits: 37 };

type Outcome = Result<(Vec<u8>, Vec<u64>, Vec<u8>), ChannelError>;

fn words() -> Packed {
    Packed { bits: 37, words: (0..1000).map(|i| i * 12_345_678 % (1 << 37)).collect() }
}

/// A small protocol with each way to send in it.
fn client(mut channel: Channel) -> Outcome {
    channel.send(&words(), &SHAPE)?;
    channel.send(&Bytes(vec![3; 20]), &20)?;
    let reply: Bytes = channel.recv(&30)?;
    let swapped: Packed = channel.exchange(&Bytes(vec![9; 50]), &50, &SHAPE)?;
    let last: Bytes = channel.recv(&1)?;
    Ok((reply.0, swapped.words, last.0))
}

fn server(mut channel: Channel) -> Outcome {
    let got: Packed = channel.recv(&SHAPE)?;
    let short: Bytes = channel.recv(&20)?;
    channel.send(&Bytes(vec![4; 30]), &30)?;
    let swapped: Bytes = channel.exchange(&words(), &SHAPE, &50)?;
    channel.send(&Bytes(vec![1]), &1)?;
    channel.flush()?;
    Ok((short.0, got.words, swapped.0))
}

#[test]
fn replayed_and_changed_transcripts_end_in_an_error_or_another_value() {
    let (a, b, recording) = run_two_recorded(client, server);
    let honest = (a.unwrap(), b.unwrap());
    for (bytes, party, honest) in [
        (recording.received(), client as fn(Channel) -> Outcome, &honest.0),
        (recording.sent(), server as fn(Channel) -> Outcome, &honest.1),
    ] {
        let frames = frames(&bytes);
        assert_eq!(&party(replay(bytes.clone())).unwrap(), honest);
        for index in 0..frames.len() {
            for mutation in Mutation::all() {
                if let Ok(got) = party(replay(mutated(&frames, index, mutation))) {
                    // A duplicate of the last frame is read by no one.
                    let last = index + 1 == frames.len() && mutation == Mutation::Replay;
                    assert!(last || &got != honest, "frame {index}, {mutation:?}");
                }
            }
        }
        for cut in 0..bytes.len() {
            let error = party(replay(bytes[..cut].to_vec())).unwrap_err();
            assert!(matches!(error, ChannelError::Closed), "cut at {cut}: {error}");
        }
    }
}

#[test]
fn a_changed_live_run_ends_promptly_for_both() {
    for tampered in [Tampered::Client, Tampered::Server] {
        for index in 0..3 {
            for mutation in Mutation::all() {
                let start = Instant::now();
                let (a, b) = run_two_tampered(tampered, index, mutation, client, server);
                assert!(start.elapsed() < Duration::from_secs(5));
                drop((a, b));
            }
        }
    }
}

#[test]
fn the_error_names_the_first_field_that_is_wrong() {
    let frame = |kind: u16, sequence: u16, length: u32| {
        let mut bytes = recording::Frame {
            header: gazelle_wire::frame::Header { kind, sequence, length },
            payload: vec![0; 4],
        }
        .bytes();
        bytes.extend([0; 64]);
        replay(bytes)
    };
    let error = |mut channel: Channel| channel.recv::<Bytes>(&4).unwrap_err();
    for (channel, field) in [
        (frame(2, 0, 4), "kind"),
        (frame(1, 1, 4), "sequence"),
        (frame(1, 0, 5), "length"),
        (frame(1, 0, u32::MAX), "length"),
    ] {
        match error(channel) {
            ChannelError::Frame { field: got, .. } => assert_eq!(got, field),
            other => panic!("{other}"),
        }
    }
    assert!(matches!(error(frame(0xffff, 7, 7)), ChannelError::PeerFailed));
    assert!(frame(1, 0, 4).recv::<Bytes>(&4).is_ok());
}

#[test]
fn a_dead_half_stays_dead() {
    let mut channel = replay(vec![0xff; 100]);
    assert!(matches!(channel.recv::<Bytes>(&4), Err(ChannelError::PeerFailed)));
    assert!(matches!(channel.recv::<Bytes>(&4), Err(ChannelError::Dead)));
    channel.send_error();
    assert!(matches!(channel.flush(), Err(ChannelError::Dead)));
}

#[test]
fn a_promise_of_a_gigabyte_allocates_what_came() {
    // 1 GiB is agreed, one frame's header and 3 bytes come.
    let mut bytes = vec![1, 0, 0, 0, 0, 0, 16, 0];
    bytes.extend([5; 3]);
    let error = replay(bytes).recv::<Bytes>(&(1 << 30)).unwrap_err();
    assert!(matches!(error, ChannelError::Closed));
    // The peak of this whole test binary, where the system tells.
    if let Ok(status) = std::fs::read_to_string("/proc/self/status") {
        let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
        let kilobytes: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        assert!(kilobytes < 900 << 10, "{line}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = client(replay(bytes.clone()));
        let _ = server(replay(bytes.clone()));
        fuzz::frames(&bytes);
        fuzz::handshakes(&bytes);
        fuzz::unpack(&bytes);
    }

    #[test]
    fn any_description_length_is_survived(
        status in 0u8..5, version: u16, length: u32, kind: u16, tail in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let mut bytes = vec![0x11, 0, 0, 0, 7, 0, 0, 0, status];
        bytes.extend(version.to_le_bytes());
        bytes.extend(length.to_le_bytes());
        bytes.extend(kind.to_le_bytes());
        bytes.extend(tail);
        prop_assert!(handshake::request(&mut replay(bytes), &handshake::Hello::default(), &[1; 32], &mut |_| true).is_err());
    }
}
