//! Places, the line, and who gives way.

use std::net::TcpListener;

use gazelle::wire::tcp::{self, Timeouts};

use super::*;

const SHORT: Duration = Duration::from_millis(30);
const LONG: Duration = Duration::from_secs(20);
const MUCH: u64 = 1 << 40;

fn client(address: [u8; 4]) -> ServedClient {
    ServedClient::Address(address.into())
}

fn here() -> ServedClient {
    client([127, 0, 0, 1])
}

/// A visitor whose link waits for nothing.
fn visitor() -> Visitor {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    Visitor { stream: stream.into(), pace: None, stage: SessionStage::default() }
}

fn take(places: &Arc<Places>, client: &ServedClient) -> Option<SessionPlace> {
    places.ticket(client, 1).take(visitor(), SHORT)
}

/// Waits until so many stand in line, however busy the machine is.
fn in_line(places: &Arc<Places>, count: usize) {
    let begin = Instant::now();
    while places.count().1 != count {
        assert!(begin.elapsed() < 10 * LONG, "{:?}", places.count());
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn room(places: &Arc<Places>, client: &ServedClient) -> bool {
    places.ticket(client, 1).turn(SHORT, &mut |_| true)
}

#[test]
fn places_are_bounded_and_come_free_again() {
    let places = Places::new(2, MUCH);
    let first = take(&places, &here()).unwrap();
    let second = take(&places, &here());
    assert!(second.is_some() && take(&places, &here()).is_none());
    assert!(!room(&places, &client([192, 0, 2, 1])));
    let again = Arc::clone(&places);
    let waiter =
        std::thread::spawn(move || again.ticket(&here(), 1).take(visitor(), LONG).is_some());
    in_line(&places, 1);
    assert!(!first.gave_way());
    assert_eq!(places.count(), (2, 1, 2));
    drop(first);
    assert!(waiter.join().unwrap());
}

#[test]
fn memory_is_bounded_and_one_session_always_fits() {
    let places = Places::new(8, 100);
    let big = places.ticket(&here(), 1000).take(visitor(), SHORT);
    assert!(big.is_some() && !room(&places, &here()));
    drop(big);
    let _first = places.ticket(&here(), 60).take(visitor(), SHORT).unwrap();
    assert!(places.ticket(&here(), 60).take(visitor(), SHORT).is_none());
    assert!(places.ticket(&here(), 40).take(visitor(), SHORT).is_some());
}

#[test]
fn the_line_is_kept_whoever_stands_up_first() {
    let places = Places::new(1, MUCH);
    let held = take(&places, &here()).unwrap();
    let order = Arc::new(Mutex::new(Vec::new()));
    let tickets: Vec<Ticket> = (0..3).map(|_| places.ticket(&here(), 1)).collect();
    let stand = |(index, ticket): (usize, Ticket)| {
        let order = Arc::clone(&order);
        let thread = std::thread::spawn(move || {
            let place = ticket.take(visitor(), LONG).unwrap();
            order.lock().unwrap().push(index);
            drop(place);
        });
        // The last ticket stands in line first, and lets the others pass.
        in_line(&places, 3 - index);
        thread
    };
    let waiters: Vec<_> = tickets.into_iter().enumerate().rev().map(stand).collect();
    assert_eq!(places.count().1, 3);
    drop(held);
    for waiter in waiters {
        waiter.join().unwrap();
    }
    assert_eq!(*order.lock().unwrap(), [0, 1, 2]);
}

#[test]
fn who_waits_is_told_the_place_and_may_leave() {
    let places = Places::new(1, MUCH);
    let _held = take(&places, &here()).unwrap();
    let (first, second) = (places.ticket(&here(), 1), places.ticket(&here(), 1));
    let thread = std::thread::spawn(move || first.turn(100 * SHORT, &mut |_| true));
    in_line(&places, 1);
    let mut seen = Vec::new();
    let turn = second.turn(LONG, &mut |place| {
        seen.push(place);
        place != 1
    });
    assert!(!turn && !thread.join().unwrap());
    // The same again and again while it waits.
    seen.dedup();
    assert_eq!(seen, [2, 1]);
    assert_eq!(places.count().1, 0);
}

#[test]
fn a_place_is_kept_for_whoever_was_told_to_come_in() {
    let places = Places::new(2, 100);
    let tickets = [60, 40, 1].map(|bytes| places.ticket(&here(), bytes));
    let invited = tickets.each_ref().map(|ticket| ticket.turn(SHORT, &mut |_| true));
    assert_eq!(invited, [true, true, false]);
    // No later client finds one either, and none is lost to those who have theirs.
    assert!(take(&places, &client([192, 0, 2, 1])).is_none());
    let [first, second, third] = tickets;
    let long = first.take(visitor(), Duration::ZERO).unwrap();
    assert!(!third.turn(SHORT, &mut |_| true), "the second is still on its way");
    // It leaves before it has come in.
    drop(second);
    assert!(third.turn(SHORT, &mut |_| true));
    // It takes its time, and its place is another's; it waits for the next one.
    places.crowd().invited.iter_mut().for_each(|kept| kept.until = Instant::now());
    let other = take(&places, &here()).unwrap();
    let waiter = std::thread::spawn(move || third.take(visitor(), LONG).is_some());
    in_line(&places, 1);
    drop(other);
    assert!(waiter.join().unwrap());
    drop(long);
    assert!(places.crowd().invited.is_empty() && places.crowd().sessions.is_empty());
}

#[test]
fn a_kept_place_is_not_lost_to_one_with_an_earlier_ticket() {
    let places = Places::new(1, MUCH);
    let (earlier, later) = (places.ticket(&here(), 1), places.ticket(&here(), 1));
    assert!(later.turn(SHORT, &mut |_| true));
    let waiter = std::thread::spawn(move || earlier.take(visitor(), LONG).is_some());
    in_line(&places, 1);
    let place = later.take(visitor(), Duration::ZERO);
    assert!(place.is_some());
    drop(place);
    assert!(waiter.join().unwrap());
}

#[test]
fn adversarial_one_client_that_never_comes_in_is_kept_no_more_than_its_share() {
    let places = Places::new(3, MUCH);
    let (greedy, other) = (client([192, 0, 2, 1]), client([192, 0, 2, 2]));
    let tickets = [(); 3].map(|()| places.ticket(&greedy, 1));
    let invited = tickets.each_ref().map(|ticket| ticket.turn(SHORT, &mut |_| true));
    assert_eq!(invited, [true, true, false]);
    assert!(take(&places, &other).is_some());
}

#[test]
fn who_has_its_share_does_not_hold_up_those_behind() {
    let places = Places::new(2, MUCH);
    let (greedy, other) = (client([192, 0, 2, 1]), client([192, 0, 2, 2]));
    let _held = take(&places, &greedy).unwrap();
    let waiting = places.ticket(&greedy, 1);
    let behind = places.ticket(&other, 1);
    let thread = std::thread::spawn(move || waiting.turn(100 * SHORT, &mut |_| true));
    in_line(&places, 1);
    assert!(behind.take(visitor(), SHORT).is_some());
    assert!(!thread.join().unwrap());
}

#[test]
fn adversarial_one_client_cannot_take_every_place_nor_the_whole_line() {
    let places = Places::new(3, MUCH);
    let (greedy, other) = (client([192, 0, 2, 1]), client([192, 0, 2, 2]));
    let held = [1, 2].map(|_| take(&places, &greedy).unwrap());
    assert!(take(&places, &greedy).is_none());
    assert!(take(&places, &other).is_some());
    // With one place only there is nothing to share.
    assert!(take(&Places::new(1, MUCH), &greedy).is_some());
    let tickets: Vec<_> = (0..=LINE_EACH).map(|_| places.ticket(&greedy, 1)).collect();
    let mut crowd = places.crowd();
    let queued = tickets.iter().filter(|ticket| crowd.queue(ticket)).count();
    assert_eq!(queued, LINE_EACH);
    drop((crowd, held));
}

#[test]
fn a_server_that_stops_sends_the_line_away_and_ends_what_is_between_two_inferences() {
    let places = Places::new(1, MUCH);
    let place = take(&places, &here()).unwrap();
    let ticket = places.ticket(&here(), 1);
    let waiter = std::thread::spawn(move || ticket.turn(LONG, &mut |_| true));
    in_line(&places, 1);
    assert_eq!(places.close(), 1);
    assert!(!waiter.join().unwrap() && place.gave_way());
    drop(place);
    assert_eq!(places.close(), 0);
    assert!(!room(&places, &here()));
}

#[test]
fn adversarial_a_session_that_asks_for_nothing_gives_way() {
    let places = Places::new(1, MUCH);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let stream = Arc::new(listener.accept().unwrap().0);
    let copy = Arc::clone(&stream);
    let channel = tcp::channel(stream, &Timeouts::default()).unwrap();
    let silent = Visitor { stream: copy, pace: channel.pace(), stage: SessionStage::default() };
    let place = places.ticket(&here(), 1).take(silent, SHORT).unwrap();
    // The session's thread: waits for the peer, in the setup.
    let session = std::thread::spawn(move || {
        let mut channel = channel;
        let result = channel.recv_half().and_then(|half| half.recv::<gazelle::wire::Bytes>(&1));
        (result.is_err(), place.gave_way())
    });
    let begin = Instant::now();
    assert!(!room(&places, &here()), "it has its time");
    assert!(places.ticket(&here(), 1).take(visitor(), 3 * SETUP).is_some());
    assert!(begin.elapsed() >= SETUP / 2);
    assert_eq!(session.join().unwrap(), (true, true));
    drop(peer);
}
