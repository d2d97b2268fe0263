//! Laws.

use gazelle_wire::packed::{pack, unpack};
use gazelle_wire::traffic::framed_len;
use gazelle_wire::{Bytes, Link, PackedShape, testing};
use proptest::prelude::*;

/// Lengths around every boundary of frames and exchange turns.
const EDGES: [usize; 13] = [
    0,
    1,
    (64 << 10) - 9,
    (64 << 10) - 8,
    (64 << 10) - 7,
    64 << 10,
    (128 << 10) - 8,
    (1 << 20) - 8,
    (1 << 20) - 1,
    1 << 20,
    (1 << 20) + 1,
    (1 << 20) + (64 << 10) - 15,
    (2 << 20) + 77,
];

/// One bit after the other: the definition.
fn pack_bit_by_bit(words: &[u64], bits: u32) -> Vec<u8> {
    let mut out = vec![0u8; (words.len() * bits as usize).div_ceil(8)];
    for (i, word) in words.iter().enumerate() {
        for j in 0..bits as usize {
            let position = i * bits as usize + j;
            out[position / 8] |= ((word >> j & 1) as u8) << (position % 8);
        }
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn packing_agrees_with_its_definition_and_inverts(
        bits in 1u32..=64,
        words in prop::collection::vec(any::<u64>(), 0..200),
    ) {
        let mut packed = vec![0xee];
        pack(&words, bits, &mut packed);
        prop_assert_eq!(packed[0], 0xee);
        prop_assert_eq!(packed[1..].to_vec(), pack_bit_by_bit(&words, bits));
        let mask = u64::MAX >> (64 - bits);
        let expected: Vec<u64> = words.iter().map(|word| word & mask).collect();
        prop_assert_eq!(unpack(&packed[1..], bits, words.len()).unwrap(), expected);
    }

    #[test]
    fn unpacking_accepts_exactly_what_packing_makes(
        bytes in prop::collection::vec(any::<u8>(), 0..64),
        bits in 0u32..=70,
        count in 0usize..100,
    ) {
        if let Ok(words) = unpack(&bytes, bits, count) {
            let mut again = Vec::new();
            pack(&words, bits, &mut again);
            prop_assert_eq!(again, bytes);
        }
    }

    #[test]
    fn links_print_as_they_parse(kbits in 1u64..1_000_000_000, us in 0u64..3_000_000_000) {
        let link = Link {
            bits_per_second: kbits * 1000,
            round_trip: std::time::Duration::from_micros(us),
        };
        prop_assert_eq!(link.to_string().parse::<Link>().unwrap(), link);
    }
}

#[test]
fn every_width_and_short_count_is_packed_like_the_definition() {
    for bits in 1..=64 {
        for count in 0..40usize {
            let words: Vec<u64> = (0..count as u64)
                .map(|i| (i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - bits))
                .collect();
            let mut packed = Vec::new();
            pack(&words, bits, &mut packed);
            assert_eq!(packed, pack_bit_by_bit(&words, bits));
            assert_eq!(packed.len(), PackedShape { count, bits }.bytes());
            assert_eq!(unpack(&packed, bits, count).unwrap(), words);
        }
    }
}

#[test]
fn exchanges_of_any_two_lengths_end_and_deliver() {
    let run = |mine: usize, theirs: usize| {
        move |mut channel: gazelle_wire::Channel| {
            for round in 0..2u8 {
                let message = Bytes((0..mine).map(|i| i as u8 ^ round).collect());
                let got: Bytes = channel.exchange(&message, &mine, &theirs).unwrap();
                assert!(got.0.len() == theirs);
                assert!(got.0.iter().enumerate().all(|(i, byte)| *byte == i as u8 ^ round));
            }
            channel.traffic()
        }
    };
    for a in EDGES {
        for b in EDGES {
            let (client, server) = testing::run_two(run(a, b), run(b, a));
            assert_eq!(client.sent, 2 * framed_len(a));
            assert_eq!(client.received, 2 * framed_len(b));
            assert_eq!((client.sent, client.received), (server.received, server.sent));
            assert_eq!((client.turns, server.turns), (2, 2));
        }
    }
}

#[test]
fn both_halves_stream_more_than_the_pipe_holds() {
    let run = |mut channel: gazelle_wire::Channel| {
        let (send, recv) = channel.halves();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for i in 0..40u8 {
                    send.send(&Bytes(vec![i; 100_000]), &100_000).unwrap();
                }
                send.flush().unwrap();
            });
            for i in 0..40u8 {
                assert_eq!(recv.recv::<Bytes>(&100_000).unwrap().0, vec![i; 100_000]);
            }
        });
        channel.traffic()
    };
    let (client, server) = testing::run_two(run, run);
    assert_eq!(client.sent, 40 * framed_len(100_000));
    assert_eq!(client, server);
    assert_eq!(client.turns, 1);
}

#[test]
fn the_sequence_wraps_after_65536_frames() {
    let (sent, ()) = testing::run_two(
        |mut channel| {
            for i in 0..70_000u32 {
                channel.send(&Bytes(i.to_le_bytes().to_vec()), &4).unwrap();
            }
            channel.flush().unwrap();
            channel.traffic().sent
        },
        |mut channel| {
            for i in 0..70_000u32 {
                assert_eq!(channel.recv::<Bytes>(&4).unwrap().0, i.to_le_bytes());
            }
        },
    );
    assert_eq!(sent, 70_000 * 12);
}
