//! Bytes written down by hand from docs/wire-format.md.

use gazelle_wire::packed::{pack, unpack};
use gazelle_wire::recording::{Frame, frames};
use gazelle_wire::{Bytes, Packed, PackedShape, handshake, testing};

#[test]
fn a_frame_is_kind_sequence_length_payload_in_little_endian() {
    let ((), (), recording) = testing::run_two_recorded(
        |mut channel| {
            channel.send(&Bytes(vec![0xaa, 0xbb, 0xcc]), &3).unwrap();
            let words = Packed { bits: 12, words: vec![0x123, 0x456, 0x789] };
            channel.send(&words, &PackedShape { count: 3, bits: 12 }).unwrap();
            channel.send(&Bytes(Vec::new()), &0).unwrap();
            channel.send_error();
        },
        |mut channel| {
            channel.recv::<Bytes>(&3).unwrap();
            channel.recv::<Packed>(&PackedShape { count: 3, bits: 12 }).unwrap();
            channel.recv::<Bytes>(&0).unwrap();
            channel.recv::<Bytes>(&1).unwrap_err();
        },
    );
    let expected = [
        "0100 0000 03000000 aabbcc",
        "0200 0100 05000000 2361458907",
        "0100 0200 00000000",
        "ffff 0300 00000000",
    ];
    assert_eq!(hex(&recording.sent()), expected.concat().replace(' ', ""));
    assert!(recording.received().is_empty());
}

#[test]
fn words_are_packed_from_the_low_bit_without_gaps() {
    for (bits, words, bytes) in [
        (1, vec![1, 0, 1, 1, 0, 0, 0, 0, 1], "0d01"),
        (3, vec![7, 0, 5], "4701"),
        (8, vec![1, 2, 3], "010203"),
        (37, vec![(1 << 37) - 1, 1], "ffffffff3f00000000000000"),
        (64, vec![0x0102_0304_0506_0708], "0807060504030201"),
    ] {
        let mut out = Vec::new();
        pack(&words, bits, &mut out);
        let expected = bytes.get(..2 * out.len()).unwrap();
        assert_eq!(hex(&out), expected, "width {bits}");
        assert_eq!(unpack(&out, bits, words.len()).unwrap(), words);
    }
}

#[test]
fn a_long_message_takes_a_header_per_mebibyte() {
    let mut payload = vec![0u8; (1 << 20) + 5];
    payload[1 << 20] = 9;
    let length = payload.len();
    let ((), (), recording) = testing::run_two_recorded(
        move |mut channel| {
            channel.send(&Bytes(payload), &length).unwrap();
            channel.flush().unwrap();
        },
        move |mut channel| {
            channel.recv::<Bytes>(&length).unwrap();
        },
    );
    let frames: Vec<Frame> = frames(&recording.sent());
    assert_eq!(frames.len(), 2);
    assert_eq!(hex(&frames[0].header.bytes()), "0100000000001000");
    assert_eq!(hex(&frames[1].bytes()), "01000100050000000900000000");
}

#[test]
fn the_hello_of_version_six_is_174_bytes() {
    let hello = handshake::Hello {
        caps: handshake::Caps { traffic_bytes: 1, memory_bytes: 2, features: 0 },
        model: handshake::ModelName::new("digits").unwrap(),
        pinned: Some([0x5a; 32]),
        ..handshake::Hello::default()
    };
    let ((), (), recording) = testing::run_two_recorded(
        move |mut channel| {
            handshake::request(&mut channel, &hello, &[3; 32], &mut |_| false).unwrap_err();
        },
        |mut channel| {
            handshake::greet(&mut channel).unwrap();
            handshake::refuse(&mut channel, handshake::Status::Busy).unwrap();
        },
    );
    let label = "gazelle-wire 2026 commitment to the client's nonce";
    let commitment = hex(&blake3::derive_key(label, &[3; 32]));
    let expected = [
        "1000 0000 a6000000",
        "67617a656c6c6500 0600 0600",
        "0100000000000000 0200000000000000 0000000000000000",
        "00",
        "646967697473",
        &"00".repeat(58),
        "01",
        &"5a".repeat(32),
        &commitment,
    ];
    assert_eq!(hex(&recording.sent()), expected.concat().replace(' ', ""));
    assert_eq!(
        hex(&recording.received()),
        "110000002f00000001000000000000" /* allowance: */
            .to_owned()
            + "0000000000000000"
            + &"00".repeat(32) // nonce
    );
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}
