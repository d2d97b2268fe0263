use std::net::TcpListener;

use super::buckets::{ADDRESSES, BURST};
use super::*;

/// Milliseconds between two tokens: 100 a second.
const INTERVAL: u64 = 10;

fn address(last: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, last])
}

/// Connected sockets: (client's, server's).
fn pair(listener: &TcpListener) -> (TcpStream, Arc<TcpStream>) {
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (client, listener.accept().unwrap().0.into())
}

/// A throttle and connections that arrive at it; each is known by a number.
struct Door {
    throttle: Throttle<usize>,
    listener: TcpListener,
    clients: Vec<TcpStream>,
    start: Instant,
}

impl Door {
    fn new(failures_per_second: u32) -> Self {
        Self {
            throttle: Throttle::new(failures_per_second),
            listener: TcpListener::bind("127.0.0.1:0").unwrap(),
            clients: Vec::new(),
            start: Instant::now(),
        }
    }

    fn at(&self, milliseconds: u64) -> Instant {
        self.start + Duration::from_millis(milliseconds)
    }

    fn arrive(&mut self, from: IpAddr, milliseconds: u64) -> Arriving<usize> {
        let (client, server) = pair(&self.listener);
        self.clients.push(client);
        self.throttle.arrive(from, server, self.clients.len() - 1, self.at(milliseconds))
    }

    /// Whose connections fail until one is held.
    fn exhaust(&mut self, from: IpAddr) {
        for _ in 0..BURST {
            let arriving = self.arrive(from, 0);
            assert!(matches!(arriving, Arriving::LetIn(..)), "{arriving:?}");
        }
    }

    /// Who gets in, and how many are closed.
    fn sweep(&self, milliseconds: u64) -> (Vec<usize>, usize) {
        let swept = self.throttle.sweep(self.at(milliseconds)).unwrap();
        (swept.let_in.into_iter().map(|(_, number)| number).collect(), swept.closed)
    }
}

#[test]
fn adversarial_an_address_that_fails_is_held_and_let_in_at_the_rate_in_order() {
    let mut door = Door::new(100);
    door.exhaust(address(1));
    let first = door.clients.len();
    assert!(matches!(door.arrive(address(1), 0), Arriving::HeldFirst));
    assert!(matches!(door.arrive(address(1), 0), Arriving::Held));
    assert!(matches!(door.arrive(address(1), 0), Arriving::Held));
    // Others are not.
    assert!(matches!(door.arrive(address(2), 0), Arriving::LetIn(..)));
    assert_eq!(door.sweep(INTERVAL / 2), (vec![], 0));
    assert_eq!(door.sweep(INTERVAL), (vec![first], 0));
    assert_eq!(door.sweep(INTERVAL), (vec![], 0));
    // There is a token, but others came before.
    assert!(matches!(door.arrive(address(1), 2 * INTERVAL), Arriving::Held));
    assert_eq!(door.sweep(2 * INTERVAL), (vec![first + 1], 0));
    assert_eq!(door.sweep(4 * INTERVAL), (vec![first + 2, first + 4], 0));
    assert!(door.throttle.sweep(door.at(4 * INTERVAL)).is_none());
    // When the bucket is full again, it holds what it held at first.
    let later = 4 * INTERVAL + u64::from(BURST) * INTERVAL;
    for _ in 0..BURST {
        assert!(matches!(door.arrive(address(1), later), Arriving::LetIn(..)));
    }
    assert!(matches!(door.arrive(address(1), later), Arriving::HeldFirst));
}

#[test]
fn clients_that_are_known_in_the_end_are_never_held() {
    let mut door = Door::new(1);
    for _ in 0..4 * BURST {
        assert!(matches!(door.arrive(address(1), 0), Arriving::LetIn(..)));
        door.throttle.give_back(address(1), door.at(0));
    }
    // Nothing is kept of them; and nobody gets more than there was.
    assert_eq!(door.throttle.throttled().unwrap().buckets.len(), 0);
    door.throttle.give_back(address(1), door.at(0));
    door.exhaust(address(1));
    assert!(matches!(door.arrive(address(1), 0), Arriving::HeldFirst));
    // Who is known makes room for the next.
    door.throttle.give_back(address(1), door.at(0));
    assert_eq!(door.sweep(0).0.len(), 1);
}

#[test]
fn adversarial_no_more_are_held_than_may_be() {
    let mut door = Door::new(100);
    for last in 1..=3 {
        door.exhaust(address(last));
    }
    let mut held = |last: u8| {
        let arrive = |_: &usize| !matches!(door.arrive(address(last), 0), Arriving::Closed);
        (0..=EACH).filter(arrive).count()
    };
    assert_eq!((held(1), held(2), held(3)), (EACH, EACH, 0));
    assert!(matches!(door.arrive(address(4), 0), Arriving::LetIn(..)));
    assert_eq!(door.throttle.throttled().unwrap().held.len(), ALL);
    door.throttle.close();
    assert!(door.throttle.sweep(door.at(0)).is_none());
}

#[test]
fn adversarial_those_that_leave_take_nobodys_turn_and_no_connection_is_held_for_long() {
    let mut door = Door::new(1);
    door.exhaust(address(1));
    let first = door.clients.len();
    for _ in 0..3 {
        let _ = door.arrive(address(1), 0);
    }
    // What it has said does not matter.
    std::io::Write::write_all(&mut &door.clients[first], b"hello").unwrap();
    door.clients[first].shutdown(std::net::Shutdown::Both).unwrap();
    if cfg!(target_os = "linux") {
        assert_eq!(door.sweep(0), (vec![], 1));
        assert_eq!(door.sweep(1000), (vec![first + 1], 0));
    }
    let hold = HOLD.as_millis() as u64;
    assert_eq!(door.sweep(hold).1, 1);
    assert!(door.throttle.sweep(door.at(hold)).is_none());
}

#[test]
fn adversarial_the_table_is_bounded_and_keeps_those_that_failed_most() {
    let start = Instant::now();
    let mut buckets = Buckets::new(1).unwrap();
    while buckets.take(address(1), start) {}
    for number in 0..2 * ADDRESSES as u32 {
        assert!(
            buckets.take(IpAddr::from(0x0a00_0000u32.wrapping_add(number).to_be_bytes()), start)
        );
        assert!(buckets.len() <= ADDRESSES);
    }
    assert!(!buckets.take(address(1), start));
    // Buckets that are full by then are forgotten first.
    let later = start + Duration::from_secs(2);
    assert!(buckets.take(address(2), later));
    assert_eq!(buckets.len(), 2);
}

#[test]
fn a_network_of_ipv6_has_one_bucket() {
    let network = |text: &str| crate::client::network(text.parse().unwrap());
    assert_eq!(network("2001:db8:1:2::3"), network("2001:db8:1:2:ffff::1"));
    assert_ne!(network("2001:db8:1:2::3"), network("2001:db8:1:3::3"));
    assert_eq!(network("::ffff:192.0.2.1"), address(1));
    assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
}

#[test]
fn without_a_rate_nobody_is_held() {
    let mut door = Door::new(0);
    door.exhaust(address(1));
    assert!(matches!(door.arrive(address(1), 0), Arriving::LetIn(..)));
    assert!(door.throttle.sweep(door.at(0)).is_none());
}
