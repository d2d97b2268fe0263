//! Links in memory, over TCP and with a shape: what they deliver, and how long they wait.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use gazelle_wire::tcp::{self, Exposure, Timeouts};
use gazelle_wire::testing::run_two_over;
use gazelle_wire::{Bytes, Channel, ChannelError, Link, memory};

fn ping_pong(link: (Channel, Channel), rounds: usize, length: usize) -> Duration {
    let start = Instant::now();
    let (client, server) = run_two_over(
        link,
        move |mut channel| {
            for i in 0..rounds {
                channel.send(&Bytes(vec![i as u8; length]), &length).unwrap();
                assert_eq!(channel.recv::<Bytes>(&length).unwrap().0, vec![!i as u8; length]);
            }
            channel.traffic()
        },
        move |mut channel| {
            for i in 0..rounds {
                assert_eq!(channel.recv::<Bytes>(&length).unwrap().0, vec![i as u8; length]);
                channel.send(&Bytes(vec![!i as u8; length]), &length).unwrap();
                channel.flush().unwrap();
            }
            channel.traffic()
        },
    );
    assert_eq!((client.sent, client.received), (server.received, server.sent));
    assert_eq!(client.turns, rounds as u64);
    start.elapsed()
}

fn over_tcp(timeouts: Timeouts) -> (Channel, Channel) {
    let listener = tcp::listen("127.0.0.1:0", Exposure::Loopback).unwrap();
    let client = tcp::connect(listener.local_addr().unwrap(), &timeouts).unwrap();
    let (stream, _) = listener.accept().unwrap();
    (client, tcp::channel(stream, &timeouts).unwrap())
}

#[test]
fn tcp_delivers_small_and_large_messages() {
    ping_pong(over_tcp(Timeouts::default()), 200, 10);
    ping_pong(over_tcp(Timeouts::default()), 3, 5_000_000);
}

#[test]
fn an_exchange_of_megabytes_passes_through_tcp() {
    let run = |mut channel: Channel| {
        let message = Bytes(vec![3; 6_000_000]);
        let got: Bytes = channel.exchange(&message, &6_000_000, &6_000_000).unwrap();
        assert!(got == message);
    };
    run_two_over(over_tcp(Timeouts::default()), run, run);
}

#[test]
fn a_stalled_peer_costs_the_time_out_and_no_more() {
    let timeout = Duration::from_millis(200);
    let timeouts = Timeouts { progress: timeout, ..Timeouts::default() };
    for (name, (mut channel, _stalled)) in [
        ("memory", memory::pair_with_timeout(timeout)),
        ("tcp", over_tcp(timeouts)),
        ("shaped", Link::LAN.pair(timeout)),
    ] {
        let start = Instant::now();
        assert!(matches!(channel.recv::<Bytes>(&1), Err(ChannelError::TimedOut)), "{name}");
        assert!((180..1500).contains(&start.elapsed().as_millis()), "{name}");
    }
}

#[test]
fn a_peer_that_does_not_read_costs_the_time_out_and_no_more() {
    let timeout = Duration::from_millis(200);
    let timeouts = Timeouts { progress: timeout, ..Timeouts::default() };
    for (name, (mut channel, _stalled)) in [
        ("memory", memory::pair_with_timeout(timeout)),
        ("tcp", over_tcp(timeouts)),
        ("shaped", Link::LAN.pair(timeout)),
    ] {
        let start = Instant::now();
        let error = channel.send(&Bytes(vec![0; 64 << 20]), &(64 << 20)).unwrap_err();
        assert!(matches!(error, ChannelError::TimedOut), "{name}");
        assert!(start.elapsed() < Duration::from_secs(3), "{name}");
    }
}

/// A peer's plain socket, and this party's channel with a minimum rate in bytes per second.
fn impatient(handshake_ms: u64, progress_ms: u64, minimum_rate: u64) -> (TcpStream, Channel) {
    let timeouts = Timeouts {
        handshake: Duration::from_millis(handshake_ms),
        progress: Duration::from_millis(progress_ms),
        minimum_rate,
        ..Timeouts::default()
    };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (stream, _) = listener.accept().unwrap();
    (peer, tcp::channel(stream, &timeouts).unwrap())
}

/// Sends `pieces` of an honest message of 3000 bytes, one every 20 ms.
fn trickle(mut peer: TcpStream, pieces: usize) -> std::thread::JoinHandle<()> {
    let mut message = vec![1, 0, 0, 0, 0xb8, 0x0b, 0, 0];
    message.resize(3008, 5);
    std::thread::spawn(move || {
        for piece in message.chunks(message.len() / pieces) {
            if peer.write_all(piece).is_err() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    })
}

#[test]
fn a_link_says_how_long_it_waits_and_what_moved() {
    let (mut peer, channel) = impatient(5000, 5000, 10_000);
    let pace = channel.pace().unwrap();
    assert!(pace.silent().is_none() && pace.moved() == (0, 0));
    let reader = std::thread::spawn(move || {
        let mut channel = channel;
        channel.recv::<Bytes>(&5).map(|_| channel)
    });
    std::thread::sleep(Duration::from_millis(300));
    let silent = pace.silent().unwrap();
    assert!(silent >= Duration::from_millis(150), "{silent:?}");
    peer.write_all(&[1, 0, 0, 0, 5, 0, 0, 0, 9]).unwrap();
    std::thread::sleep(Duration::from_millis(20));
    // A byte was heard: the silence begins anew.
    assert!(pace.silent().is_none_or(|again| again < silent), "{:?}", pace.silent());
    peer.write_all(&[9; 4]).unwrap();
    let mut channel = reader.join().unwrap().unwrap();
    assert!(pace.silent().is_none());
    assert_eq!(pace.moved(), (0, 13));
    channel.send(&Bytes(vec![1; 3]), &3).unwrap();
    channel.flush().unwrap();
    assert_eq!(pace.moved(), (11, 13));
}

#[test]
fn a_peer_may_take_longer_to_answer_what_takes_long_to_arrive() {
    let (peer, mut channel) = impatient(200, 200, 10_000);
    // 5000 bytes at 10,000 a second: half a second more.
    channel.pace().unwrap().allow(5000);
    let start = Instant::now();
    assert!(matches!(channel.recv::<Bytes>(&5), Err(ChannelError::TimedOut)));
    assert!((600..2000).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
    drop(peer);
}

#[test]
fn a_peer_that_trickles_is_dropped_although_bytes_move() {
    // 1 byte in 20 ms: no single read ever waits for long, all of them would take a minute.
    let (peer, mut channel) = impatient(250, 250, 10_000);
    let peer = trickle(peer, 3008);
    let start = Instant::now();
    let error = channel.recv::<Bytes>(&3000).unwrap_err();
    assert!(matches!(error, ChannelError::TimedOut), "{error}");
    assert!((200..2000).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
    drop(channel);
    peer.join().unwrap();
}

#[test]
fn a_peer_that_keeps_the_minimum_rate_may_take_longer_than_the_time_out() {
    // 50 bytes in 20 ms are five times the minimum rate, and go on for three time-outs.
    let (peer, mut channel) = impatient(400, 400, 500);
    let start = Instant::now();
    let peer = trickle(peer, 60);
    assert!(channel.recv::<Bytes>(&3000).is_ok());
    assert!(start.elapsed() > Duration::from_secs(1));
    peer.join().unwrap();
}

#[test]
fn a_phase_begins_with_a_full_purse() {
    let (_peer, mut channel) = impatient(100, 400, 10_000);
    let start = Instant::now();
    channel.begin_phase();
    assert!(matches!(channel.recv::<Bytes>(&1), Err(ChannelError::TimedOut)));
    assert!((350..2000).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
    let (_peer, mut channel) = impatient(100, 5000, 10_000);
    let start = Instant::now();
    assert!(matches!(channel.recv::<Bytes>(&1), Err(ChannelError::TimedOut)));
    assert!((80..2000).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
}

/// The answer may lie behind what this party sends.
#[test]
fn who_reads_pays_nothing_while_its_own_bytes_move() {
    let (mut peer, mut channel) = impatient(1000, 1000, 10_000);
    let start = Instant::now();
    let answers = std::thread::spawn(move || {
        let mut heard = [0; 60 * 9];
        peer.read_exact(&mut heard).unwrap();
        peer.write_all(&[1, 0, 0, 0, 1, 0, 0, 0, 9]).unwrap();
        peer
    });
    let (send, recv) = channel.halves();
    std::thread::scope(|threads| {
        threads.spawn(|| {
            for _ in 0..60 {
                send.send(&Bytes(vec![7]), &1).unwrap();
                send.flush().unwrap();
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        // Some time-outs later.
        assert_eq!(recv.recv::<Bytes>(&1).unwrap().0, [9]);
    });
    assert!(start.elapsed() > Duration::from_millis(2500), "{:?}", start.elapsed());
    drop(answers.join().unwrap());
    let (_peer, mut channel) = impatient(300, 300, 10_000);
    channel.send(&Bytes(vec![7]), &1).unwrap();
    assert!(matches!(channel.recv::<Bytes>(&1), Err(ChannelError::TimedOut)));
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[test]
fn a_peer_that_goes_away_is_noticed_at_once() {
    for (name, (mut channel, gone)) in [
        ("memory", memory::pair()),
        ("tcp", over_tcp(Timeouts::default())),
        ("shaped", Link::WAN.pair(Duration::from_mins(1))),
    ] {
        let start = Instant::now();
        drop(gone);
        assert!(matches!(channel.recv::<Bytes>(&1), Err(ChannelError::Closed)), "{name}");
        assert!(start.elapsed() < Duration::from_secs(2), "{name}");
    }
}

#[test]
fn a_stranger_on_the_port_is_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut browser = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    browser.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let (stream, _) = listener.accept().unwrap();
    let mut channel = tcp::channel(stream, &Timeouts::default()).unwrap();
    assert!(matches!(
        gazelle_wire::handshake::greet(&mut channel),
        Err(gazelle_wire::HandshakeError::Channel(ChannelError::Frame { field: "kind", .. }))
    ));
}

#[test]
fn a_listener_for_this_machine_refuses_other_addresses() {
    let error = tcp::listen("0.0.0.0:0", Exposure::Loopback).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);
    tcp::listen("0.0.0.0:0", Exposure::Network).unwrap();
    for (address, inside) in [
        ("127.0.0.1", true),
        ("127.8.8.8", true),
        ("::1", true),
        ("::ffff:127.0.0.1", true),
        ("0.0.0.0", false),
        ("::", false),
        ("192.168.1.1", false),
        ("::ffff:10.0.0.1", false),
    ] {
        assert_eq!(tcp::is_loopback(address.parse().unwrap()), inside, "{address}");
    }
}

#[test]
fn a_shaped_link_takes_its_latency_per_turn() {
    let link = Link { bits_per_second: 1_000_000_000, round_trip: Duration::from_millis(20) };
    let time = ping_pong(link.pair(Duration::from_mins(1)), 10, 100);
    assert!(time >= Duration::from_millis(200), "{time:?}");
    assert!(time < Duration::from_secs(2), "{time:?}");
}

#[test]
fn a_shaped_link_takes_its_bandwidth_and_overlaps_both_ways() {
    let link = Link { bits_per_second: 80_000_000, round_trip: Duration::from_millis(10) };
    // 4 MB at 10 MB/s each way, at the same time: 0.4 s, and 0.8 s one after the other.
    let run = |mut channel: Channel| {
        let (send, recv) = channel.halves();
        std::thread::scope(|scope| {
            scope.spawn(move || send.send(&Bytes(vec![0; 4_000_000]), &4_000_000).unwrap());
            recv.recv::<Bytes>(&4_000_000).unwrap();
        });
    };
    let start = Instant::now();
    run_two_over(link.pair(Duration::from_mins(1)), run, run);
    let time = start.elapsed();
    assert!(time >= Duration::from_millis(400), "{time:?}");
    assert!(time < Duration::from_millis(750), "{time:?}");
}

#[test]
fn links_are_named_and_predicted() {
    for (text, link) in [("memory", Link::MEMORY), ("lan", Link::LAN), ("wan", Link::WAN)] {
        assert_eq!(text.parse::<Link>().unwrap(), link);
        assert_eq!(link.to_string(), text);
    }
    assert_eq!(
        "1.5gbit, 250us".parse::<Link>().unwrap(),
        Link { bits_per_second: 1_500_000_000, round_trip: Duration::from_micros(250) }
    );
    for wrong in ["", "lan ", "3gbit", "3,4", "-1mbit,1ms", "nanmbit,1ms", "1mbit,infs", "0kbit,1s"]
    {
        wrong.parse::<Link>().unwrap_err();
    }
    let traffic = gazelle_wire::Traffic { sent: 50_000_000, received: 7, turns: 3 };
    assert_eq!(Link::WAN.time(traffic), Duration::from_millis(1120));
    assert_eq!(Link::MEMORY.time(traffic), Duration::ZERO);
}
