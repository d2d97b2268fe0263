//! Exact bytes and turns.

use gazelle_wire::recording::frames;
use gazelle_wire::traffic::{FRAME_BYTES, framed_len};
use gazelle_wire::{Bytes, Channel, testing};

#[test]
fn a_turn_is_a_receive_after_a_send() {
    fn message() -> Bytes {
        Bytes(vec![1; 10])
    }
    let (client, server) = testing::run_two(
        |mut channel: Channel| {
            channel.send(&message(), &10).unwrap();
            channel.send(&message(), &10).unwrap();
            channel.recv::<Bytes>(&10).unwrap();
            channel.recv::<Bytes>(&10).unwrap();
            assert_eq!(channel.traffic().turns, 1);
            channel.exchange::<_, Bytes>(&message(), &10, &10).unwrap();
            assert_eq!(channel.traffic().turns, 2);
            channel.send_half().send(&message(), &10).unwrap();
            channel.recv_half().unwrap().recv::<Bytes>(&10).unwrap();
            assert_eq!(channel.traffic().turns, 3);
            channel.traffic()
        },
        |mut channel: Channel| {
            channel.recv::<Bytes>(&10).unwrap();
            channel.recv::<Bytes>(&10).unwrap();
            assert_eq!(channel.traffic().turns, 0);
            channel.send(&message(), &10).unwrap();
            channel.send(&message(), &10).unwrap();
            channel.exchange::<_, Bytes>(&message(), &10, &10).unwrap();
            channel.recv::<Bytes>(&10).unwrap();
            channel.send(&message(), &10).unwrap();
            channel.flush().unwrap();
            channel.traffic()
        },
    );
    assert_eq!((client.sent, client.received), (4 * 18, 4 * 18));
    assert_eq!((server.sent, server.received), (4 * 18, 4 * 18));
    assert_eq!((client.turns, server.turns), (3, 1));
}

#[test]
fn trips_in_pieces_count_the_turns_of_whole_trips() {
    // The server's trip, the client's, the server's, the client's; two pieces each.
    let party = |own: [bool; 4]| {
        move |mut channel: Channel| {
            let (send, recv) = channel.trips(own).unwrap();
            std::thread::scope(|scope| {
                scope.spawn(move || {
                    for _ in 0..4 {
                        send.send(&Bytes(vec![1; 10]), &10).unwrap();
                    }
                    send.flush().unwrap();
                });
                for _ in 0..4 {
                    recv.recv::<Bytes>(&10).unwrap();
                }
            });
            let turns = channel.traffic().turns;
            // The client has said the last trip: what it hears next is a turn.
            channel.trips([own[0]]).unwrap();
            (turns, channel.traffic().turns)
        }
    };
    let (client, server) =
        testing::run_two(party([false, true, false, true]), party([true, false, true, false]));
    assert_eq!((client, server), ((1, 2), (2, 2)));
}

#[test]
fn framed_len_counts_what_is_recorded() {
    for length in [0, 1, 65_528, 65_529, FRAME_BYTES, FRAME_BYTES + 1, 3 * FRAME_BYTES] {
        let ((), received, recording) = testing::run_two_recorded(
            move |mut channel| {
                channel.send(&Bytes(vec![7; length]), &length).unwrap();
                channel.flush().unwrap();
            },
            move |mut channel| {
                channel.recv::<Bytes>(&length).unwrap();
                channel.traffic().received
            },
        );
        let bytes = recording.sent();
        assert_eq!(bytes.len() as u64, framed_len(length));
        assert_eq!(received, framed_len(length));
        assert_eq!(frames(&bytes).len(), length.div_ceil(FRAME_BYTES).max(1));
    }
}

#[test]
fn a_message_that_breaks_its_shape_is_not_sent() {
    let (mut client, mut server) = gazelle_wire::memory::pair();
    for length in [5, 100_000] {
        let error = client.send(&Bytes(vec![1; 4]), &length).unwrap_err();
        assert!(matches!(error, gazelle_wire::ChannelError::Shape { got: 4, .. }));
    }
    assert_eq!(client.traffic().sent, 0);
    client.send(&Bytes(vec![1; 4]), &4).unwrap();
    client.flush().unwrap();
    assert_eq!(server.recv::<Bytes>(&4).unwrap().0, [1; 4]);
}
