//! Two strangers agree, or part with a reason.

use std::sync::{Arc, Mutex};

use gazelle_wire::Channel;
use gazelle_wire::handshake::{
    Caps, DESCRIPTION_BYTES, HandshakeError, Hello, ModelName, Status, VERSIONS, Versions, greet,
    hold, offer, offer_catalogue, refuse, refuse_exhausted, request, request_catalogue,
};
use gazelle_wire::testing::run_two;

fn serve(
    description: Vec<u8>,
    suite: &'static [u8],
) -> impl FnOnce(Channel) -> Result<Hello, HandshakeError> + Send + 'static {
    move |mut channel| {
        let hello = greet(&mut channel)?;
        offer(&mut channel, &hello, 7, [9; 32], &description)?.confirm(&mut channel, suite)?;
        Ok(hello)
    }
}

fn visit(
    hello: Hello,
    suite: &'static [u8],
) -> impl FnOnce(Channel) -> Result<Vec<u8>, HandshakeError> + Send + 'static {
    move |mut channel| {
        let offer = request(&mut channel, &hello, &[5; 32], &mut |_| false)?;
        let description = offer.description().to_vec();
        assert_eq!((offer.version(), offer.allowance()), (6, 7));
        offer.accept(&mut channel, suite)?;
        Ok(description)
    }
}

#[test]
fn both_end_with_the_same_description() {
    for length in [0, 1, 5000, DESCRIPTION_BYTES] {
        let description = vec![7u8; length];
        let hello = Hello {
            caps: Caps { traffic_bytes: 1 << 40, memory_bytes: 3, features: 0 },
            model: ModelName::new("digits, größer").unwrap(),
            pinned: Some(*blake3::hash(&description).as_bytes()),
            ..Hello::default()
        };
        let (client, server) = run_two(visit(hello, b"s"), serve(description.clone(), b"s"));
        assert_eq!(client.unwrap(), description);
        let served = server.unwrap();
        assert_ne!(served.commitment, [0; 32]);
        assert_eq!(Hello { commitment: [0; 32], ..served }, hello);
    }
}

#[test]
fn both_end_with_the_same_coin_that_depends_on_both_nonces() {
    let toss = |client: u8, server: u8| {
        let (at_client, at_server) = run_two(
            move |mut channel| {
                let hello = Hello::default();
                let offer = request(&mut channel, &hello, &[client; 32], &mut |_| false).unwrap();
                offer.accept(&mut channel, b"s").unwrap()
            },
            move |mut channel| {
                let hello = greet(&mut channel).unwrap();
                let offered = offer(&mut channel, &hello, 7, [server; 32], b"x").unwrap();
                offered.confirm(&mut channel, b"s").unwrap()
            },
        );
        assert_eq!(at_client, at_server);
        at_client
    };
    let coin = toss(1, 2);
    assert!(toss(3, 2) != coin && toss(1, 3) != coin && toss(2, 1) != coin);
}

#[test]
fn adversarial_a_client_that_opens_another_nonce_is_caught() {
    let (_, server) = run_two(visit(Hello::default(), b""), |mut channel| {
        // As if the hello had committed to another one.
        let hello = Hello { commitment: [7; 32], ..greet(&mut channel)? };
        offer(&mut channel, &hello, 7, [9; 32], b"x")?.confirm(&mut channel, b"")
    });
    assert!(matches!(server, Err(HandshakeError::Commitment)));
}

#[test]
fn another_suite_fails_at_the_server() {
    let (client, server) = run_two(visit(Hello::default(), b"a"), serve(vec![1], b"b"));
    client.unwrap();
    assert!(matches!(server, Err(HandshakeError::Confirmation)));
}

#[test]
fn another_version_is_told_to_both() {
    for (lowest, highest) in [(1, 5), (7, 9)] {
        let hello = Hello { versions: Versions { lowest, highest }, ..Hello::default() };
        let (client, server) = run_two(visit(hello, b""), serve(vec![1], b""));
        let (client, server) = (client.unwrap_err(), server.unwrap_err());
        assert!(matches!(client, HandshakeError::Version { ours, theirs }
            if ours == hello.versions && theirs == Some(VERSIONS)));
        assert!(matches!(server, HandshakeError::Version { ours, theirs }
            if ours == VERSIONS && theirs == Some(hello.versions)));
        let wanted = format!(
            "the other party speaks version {lowest} to {highest} of the protocol, this program 6"
        );
        assert_eq!(server.to_string(), wanted);
    }
}

/// A channel whose peer says these bytes, and what is said to it.
fn scripted(bytes: Vec<u8>) -> (Channel, Arc<Mutex<Vec<u8>>>) {
    struct Said(Arc<Mutex<Vec<u8>>>);
    impl std::io::Write for Said {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let said = Arc::default();
    let writer = Said(Arc::clone(&said));
    (Channel::new(Box::new(std::io::Cursor::new(bytes)), Box::new(writer)), said)
}

#[test]
fn known_answer_a_client_of_version_2_is_told_the_version_of_this_server() {
    // Header, magic, versions; the rest of a version that this server does not know.
    let mut hello = vec![0x10, 0, 0, 0, 166, 0, 0, 0];
    hello.extend(b"gazelle\0\x02\0\x02\0");
    hello.extend([0xee; 166 - 12]);
    let (mut channel, said) = scripted(hello);
    let error = greet(&mut channel).unwrap_err();
    let wanted = "the other party speaks version 2 of the protocol, this program 6";
    assert_eq!(error.to_string(), wanted);
    // Header, status, highest, lowest, nothing more.
    let mut answer = vec![0x11, 0, 0, 0, 47, 0, 0, 0, 2, 6, 0, 6, 0, 0, 0];
    answer.extend([0; 40]);
    assert_eq!(*said.lock().unwrap(), answer);
}

#[test]
fn known_answer_a_server_of_version_2_is_understood_as_an_older_one() {
    let mut answer = vec![0x11, 0, 0, 0, 47, 0, 0, 0, 2];
    answer.extend([0; 46]);
    let (mut channel, said) = scripted(answer);
    let error = request(&mut channel, &Hello::default(), &[5; 32], &mut |_| false).unwrap_err();
    let wanted = "the other party speaks an older version of the protocol, this program 6";
    assert_eq!(error.to_string(), wanted);
    let said = said.lock().unwrap();
    assert_eq!(said[..20], *b"\x10\0\0\0\xa6\0\0\0gazelle\0\x06\0\x06\0");
    assert_eq!(said.len(), 8 + 166);
}

#[test]
fn another_model_than_the_pinned_one_is_refused() {
    let hello = Hello { pinned: Some([1; 32]), ..Hello::default() };
    let (client, server) = run_two(visit(hello, b""), serve(vec![1], b""));
    let digest = *blake3::hash(&[1]).as_bytes();
    for error in [client.unwrap_err(), server.unwrap_err()] {
        assert!(matches!(error, HandshakeError::Pinned { served, pinned }
            if served == digest && pinned == [1; 32]));
        let text = error.to_string();
        assert!(text.contains(&"01".repeat(32)), "{text}");
        assert!(text.contains(&blake3::hash(&[1]).to_hex().to_string()), "{text}");
    }
}

#[test]
fn a_server_that_ignores_the_pin_is_caught_by_the_client() {
    let hello = Hello { pinned: Some([1; 32]), ..Hello::default() };
    let (client, _) = run_two(visit(hello, b""), |mut channel| {
        let hello = Hello { pinned: None, ..greet(&mut channel)? };
        offer(&mut channel, &hello, 7, [9; 32], b"other")?.confirm(&mut channel, b"")
    });
    assert!(matches!(client, Err(HandshakeError::Pinned { .. })));
}

#[test]
fn adversarial_a_server_that_speaks_of_a_pin_that_was_not_set_is_refused() {
    let (client, _) = run_two(visit(Hello::default(), b""), |mut channel| {
        let hello = Hello { pinned: Some([1; 32]), ..greet(&mut channel)? };
        offer(&mut channel, &hello, 7, [9; 32], b"other")?.confirm(&mut channel, b"")
    });
    assert!(matches!(client, Err(HandshakeError::Refused)));
}

#[test]
fn a_busy_server_says_so() {
    let (client, server) = run_two(visit(Hello::default(), b""), |mut channel| {
        greet(&mut channel).unwrap();
        refuse(&mut channel, Status::Busy)
    });
    assert!(matches!(client, Err(HandshakeError::Busy)));
    server.unwrap();
}

#[test]
fn a_full_server_tells_the_place_in_line_until_it_is_the_clients_turn() {
    let (client, server) = run_two(
        |mut channel| {
            let mut places = Vec::new();
            let offer = request(&mut channel, &Hello::default(), &[5; 32], &mut |place| {
                places.push(place);
                true
            })?;
            offer.accept(&mut channel, b"")?;
            Ok::<_, HandshakeError>(places)
        },
        |mut channel| {
            let hello = greet(&mut channel)?;
            for place in [3, 2, 2, 1] {
                hold(&mut channel, place)?;
            }
            offer(&mut channel, &hello, u64::MAX, [9; 32], b"x")?.confirm(&mut channel, b"")
        },
    );
    server.unwrap();
    assert_eq!(client.unwrap(), [3, 2, 2, 1]);
}

#[test]
fn a_client_that_does_not_want_to_wait_takes_it_for_busy() {
    let (client, _) = run_two(visit(Hello::default(), b""), |mut channel| {
        greet(&mut channel).unwrap();
        hold(&mut channel, 1)
    });
    assert!(matches!(client, Err(HandshakeError::Busy)));
}

#[test]
fn refusals_say_when_there_is_more_and_whether_there_is_such_a_model() {
    for wanted in [None, Some(1), Some(86_400)] {
        let (client, _) = run_two(visit(Hello::default(), b""), move |mut channel| {
            greet(&mut channel).unwrap();
            refuse_exhausted(&mut channel, wanted)
        });
        assert!(matches!(client, Err(HandshakeError::Exhausted { seconds }) if seconds == wanted));
    }
    let (client, _) = run_two(visit(Hello::default(), b""), |mut channel| {
        greet(&mut channel).unwrap();
        refuse(&mut channel, Status::Model)
    });
    assert!(matches!(client, Err(HandshakeError::Model)));
}

#[test]
fn the_catalogue_is_given_to_those_who_ask_for_it() {
    let (client, asked) = run_two(
        |mut channel| request_catalogue(&mut channel),
        |mut channel| {
            let hello = greet(&mut channel).unwrap();
            offer_catalogue(&mut channel, b"[]").unwrap();
            hello.catalogue
        },
    );
    assert_eq!(client.unwrap(), b"[]");
    assert!(asked);
}

#[test]
fn names_of_models_are_short_text() {
    assert_eq!(ModelName::new("").unwrap(), ModelName::default());
    assert_eq!(ModelName::new(&"x".repeat(64)).unwrap().as_str(), "x".repeat(64));
    assert!(ModelName::new(&"x".repeat(65)).is_none() && ModelName::new("a\0b").is_none());
}

#[test]
fn a_description_beyond_the_limit_is_not_offered() {
    let (mut channel, _peer) = gazelle_wire::memory::pair();
    let description = vec![0; DESCRIPTION_BYTES + 1];
    let error = offer(&mut channel, &Hello::default(), 0, [9; 32], &description).unwrap_err();
    assert!(matches!(error, HandshakeError::Description { got } if got == DESCRIPTION_BYTES + 1));
    assert_eq!(channel.traffic().sent, 0);
}

#[test]
fn the_newest_common_version_is_chosen() {
    let versions = |lowest, highest| Versions { lowest, highest };
    assert_eq!(versions(1, 4).common(versions(2, 3)), Some(3));
    assert_eq!(versions(1, 2).common(versions(2, 9)), Some(2));
    assert_eq!(versions(1, 2).common(versions(3, 9)), None);
    assert_eq!(versions(5, 4).common(versions(1, 9)), None);
}
