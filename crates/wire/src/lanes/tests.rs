use std::time::{Duration, Instant};

use super::*;
use crate::memory;
use crate::packed::Bytes;
use crate::recording::{self, frames};
use crate::traffic::framed_len;

/// More than all that is said on the second lane, whenever it is taken.
const ENOUGH: LaneLimits = LaneLimits { first: LaneLimits::FIRST, second: 8 << 20 };

fn bytes(count: usize, seed: usize) -> Bytes {
    Bytes((0..count).map(|i| (i * 7 + seed) as u8).collect())
}

/// One party: messages of these lengths on either lane, both ways at once; checks what the peer says, which is alike.
fn talk(channel: &mut Channel, lengths: [&[usize]; 2]) -> Result<(), ChannelError> {
    let (lanes, [mut one, mut other]) = channel.lanes(ENOUGH)?;
    let speak = |channel: &mut Channel, lengths: &[usize], seed: usize| {
        let (send, recv) = channel.halves();
        std::thread::scope(|threads| {
            let sends = threads.spawn(|| -> Result<(), ChannelError> {
                for (index, length) in lengths.iter().enumerate() {
                    send.send(&bytes(*length, seed + index), length)?;
                    if index % 3 == 0 {
                        send.flush()?;
                    }
                }
                send.flush()
            });
            for (index, length) in lengths.iter().enumerate() {
                let came: Bytes = recv.recv(length)?;
                assert_eq!(came.0, bytes(*length, seed + index).0);
            }
            sends.join().unwrap()
        })
    };
    let result = std::thread::scope(|threads| {
        let first = threads.spawn(|| speak(&mut one, lengths[0], 1));
        let second = speak(&mut other, lengths[1], 100);
        first.join().unwrap().and(second)
    });
    result?;
    lanes.join([one, other])
}

#[test]
fn each_lane_says_what_it_would_alone_and_the_link_goes_on_behind_them() {
    let many: Vec<usize> = (0..60).map(|i| (i * i * 37) % 70_000).collect();
    let large = [3 << 20, 0, 1, 200_000, 65_528, 65_536];
    let (mut a, mut b, recording) = recording::pair(Duration::from_secs(20));
    a.bind([7; 32]);
    std::thread::scope(|threads| {
        let peer = threads.spawn(|| {
            talk(&mut b, [&large, &many]).unwrap();
            talk(&mut b, [&many, &[5]]).unwrap();
            b.recv::<Bytes>(&3).unwrap()
        });
        talk(&mut a, [&large, &many]).unwrap();
        talk(&mut a, [&many, &[5]]).unwrap();
        a.send(&bytes(3, 9), &3).unwrap();
        a.flush().unwrap();
        assert_eq!(peer.join().unwrap().0, bytes(3, 9).0);
    });
    // No byte is added, and each lane counts its own frames.
    let all = large.iter().chain(&many).chain(&many).chain(&[5, 3]);
    let sent: u64 = all.map(|length| framed_len(*length)).sum();
    assert_eq!(a.traffic().sent, sent);
    assert_eq!(recording.sent().len() as u64, sent);
    let mut next = [0u16; 2];
    let frames = frames(&recording.sent());
    for frame in frames.iter().take(8 + 60) {
        let lane = usize::from(frame.header.kind & SECOND != 0);
        assert_eq!(frame.header.sequence, next[lane]);
        next[lane] += 1;
    }
    assert_eq!(b.traffic().received, sent);
}

#[test]
fn lanes_are_bound_as_their_channel_is() {
    let (mut a, _b) = memory::pair();
    a.bind([7; 32]);
    let (_, lanes) = a.lanes(ENOUGH).unwrap();
    assert!(lanes.iter().all(|lane| *lane.binding() == [7; 32]));
}

#[test]
fn who_gives_up_ends_both_lanes_at_both_parties() {
    let (mut a, mut b) = memory::pair();
    let begin = Instant::now();
    std::thread::scope(|threads| {
        let peer = threads.spawn(move || {
            let (_lanes, [mut one, mut other]) = b.lanes(ENOUGH).unwrap();
            std::thread::scope(|threads| {
                let first = threads.spawn(move || one.recv::<Bytes>(&1).map(drop));
                let second = threads.spawn(move || other.recv::<Bytes>(&1).map(drop));
                [first.join().unwrap(), second.join().unwrap()]
            })
        });
        let (lanes, [mut one, mut other]) = a.lanes(ENOUGH).unwrap();
        let handle = lanes.handle();
        let waits = threads.spawn(move || one.recv::<Bytes>(&1).map(drop));
        std::thread::sleep(Duration::from_millis(50));
        handle.give_up();
        for result in peer.join().unwrap() {
            assert!(matches!(result, Err(ChannelError::PeerFailed)), "{result:?}");
        }
        assert!(matches!(other.recv::<Bytes>(&1), Err(ChannelError::Closed)));
        assert!(other.send(&bytes(1, 1), &1).and_then(|()| other.flush()).is_err());
        // The peer is gone.
        assert!(waits.join().unwrap().is_err());
    });
    assert!(begin.elapsed() < Duration::from_secs(10));
}

#[test]
fn adversarial_a_peer_that_floods_the_second_lane_is_cut_off() {
    let (mut a, mut b) = memory::pair();
    std::thread::scope(|threads| {
        let floods = threads.spawn(move || {
            let (_lanes, [_one, mut other]) = b.lanes(ENOUGH).unwrap();
            (0..1000).find(|_| {
                let sent = other.send(&bytes(60_000, 1), &60_000);
                sent.and_then(|()| other.flush()).is_err()
            })
        });
        // Nobody takes what comes on the second lane.
        let hears = move || {
            let (_lanes, [mut one, _other]) =
                a.lanes(LaneLimits { second: 300_000, ..ENOUGH }).unwrap();
            one.recv::<Bytes>(&1).unwrap_err()
        };
        let error = threads.spawn(hears).join().unwrap();
        assert!(matches!(error, ChannelError::Overrun), "{error}");
        assert!(floods.join().unwrap().is_some_and(|sent| sent < 20));
    });
}

#[test]
fn adversarial_what_is_left_over_is_an_error() {
    let (mut a, mut b) = memory::pair();
    let (lanes, [mut one, mut other]) = a.lanes(ENOUGH).unwrap();
    let (theirs, [mut first, mut second]) = b.lanes(ENOUGH).unwrap();
    for count in [10, 20] {
        second.send(&bytes(count, 0), &count).unwrap();
        second.flush().unwrap();
    }
    first.send(&bytes(1, 0), &1).unwrap();
    first.flush().unwrap();
    one.recv::<Bytes>(&1).unwrap();
    other.recv::<Bytes>(&10).unwrap();
    let error = lanes.join([one, other]).unwrap_err();
    assert!(matches!(error, ChannelError::Overrun), "{error}");
    drop(theirs);
}

#[test]
fn a_busy_first_lane_keeps_so_much_and_no_more() {
    let (mut a, mut b) = memory::pair();
    std::thread::scope(|threads| {
        let sends = threads.spawn(move || {
            let (lanes, [mut one, mut other]) = b.lanes(ENOUGH).unwrap();
            for _ in 0..100 {
                one.send(&bytes(60_000, 1), &60_000).unwrap();
            }
            one.flush().unwrap();
            other.send(&bytes(1, 1), &1).unwrap();
            other.flush().unwrap();
            lanes.join([one, other]).unwrap();
        });
        let (lanes, [mut one, mut other]) = a.lanes(ENOUGH).unwrap();
        let shared = Arc::clone(&lanes.shared);
        // The second lane's message lies behind 6 MB of the first one's.
        let late = threads.spawn(move || {
            other.recv::<Bytes>(&1).unwrap();
            other
        });
        std::thread::sleep(Duration::from_millis(100));
        assert!(lock(&shared.reading).kept[0].len() < LaneLimits::FIRST + 2 * PIECE);
        for _ in 0..100 {
            one.recv::<Bytes>(&60_000).unwrap();
        }
        let other = late.join().unwrap();
        drop(shared);
        lanes.join([one, other]).unwrap();
        sends.join().unwrap();
    });
}

/// Who takes the first lane only when something has come on the second says so: all of it is kept, and nobody waits for
/// the other. From then on less is.
#[test]
fn what_lies_behind_a_first_lane_that_waits_for_it_comes_where_all_of_that_is_kept() {
    let (mut a, mut b) = memory::pair();
    let all = LaneLimits { first: 7 << 20, ..ENOUGH };
    std::thread::scope(|threads| {
        let sends = threads.spawn(move || {
            let (lanes, [mut one, mut other]) = b.lanes(ENOUGH).unwrap();
            for _ in 0..100 {
                one.send(&bytes(60_000, 1), &60_000).unwrap();
            }
            one.flush().unwrap();
            other.send(&bytes(1, 1), &1).unwrap();
            other.flush().unwrap();
            one.send(&bytes(60_000, 1), &60_000).unwrap();
            lanes.join([one, other]).unwrap();
        });
        let (lanes, [mut one, mut other]) = a.lanes(all).unwrap();
        other.recv::<Bytes>(&1).unwrap();
        assert!(lock(&lanes.shared.reading).kept[0].len() >= 6_000_000);
        lanes.handle().limit(ENOUGH);
        for _ in 0..101 {
            one.recv::<Bytes>(&60_000).unwrap();
        }
        lanes.join([one, other]).unwrap();
        sends.join().unwrap();
    });
}

#[test]
fn adversarial_who_says_more_on_a_lane_that_is_through_is_noticed_at_once() {
    let (mut a, mut b) = memory::pair();
    let (lanes, [_one, mut other]) = a.lanes(ENOUGH).unwrap();
    let (_theirs, [mut first, _second]) = b.lanes(ENOUGH).unwrap();
    lanes.first_is_through();
    first.send(&bytes(1, 0), &1).unwrap();
    first.flush().unwrap();
    assert!(matches!(other.recv::<Bytes>(&1), Err(ChannelError::Overrun)));
}

/// The error frame comes behind the frame that is under way, and the channel is dead for good.
#[test]
fn who_gives_up_waits_for_the_end_of_a_frame() {
    let (mut a, mut b) = memory::pair();
    let length = 900_000;
    std::thread::scope(|threads| {
        let (lanes, [mut one, _other]) = a.lanes(ENOUGH).unwrap();
        let handle = lanes.handle();
        let shared = Arc::clone(&lanes.shared);
        let sends = threads.spawn(move || {
            let sent = one.send(&bytes(length, 3), &length);
            sent.and_then(|()| one.flush())
        });
        // The pipe takes 256 KiB: the frame is begun and not through.
        while lock(&shared.writing).holder.is_none() {
            std::thread::yield_now();
        }
        let gives_up = threads.spawn(move || handle.give_up());
        while !lock(&shared.writing).ending {
            std::thread::yield_now();
        }
        let (_theirs, [mut first, mut second]) = b.lanes(ENOUGH).unwrap();
        assert_eq!(first.recv::<Bytes>(&length).unwrap().0, bytes(length, 3).0);
        assert!(matches!(second.recv::<Bytes>(&1), Err(ChannelError::PeerFailed)));
        sends.join().unwrap().unwrap();
        gives_up.join().unwrap();
    });
    assert!(matches!(a.recv::<Bytes>(&1), Err(ChannelError::Dead)));
}

/// A lane that always has more to send lets the other one in between: at the next frame's end.
#[test]
fn lanes_take_turns_frame_by_frame() {
    const LARGE: usize = 2 << 20;
    let (mut a, mut b, recording) = recording::pair(Duration::from_secs(20));
    std::thread::scope(|threads| {
        let (lanes, [mut one, mut other]) = a.lanes(ENOUGH).unwrap();
        let shared = Arc::clone(&lanes.shared);
        let busy = threads.spawn(move || {
            for _ in 0..20 {
                one.send(&bytes(LARGE, 1), &LARGE).unwrap();
            }
            one.flush().unwrap();
        });
        // The pipe is full within the first frame: nobody reads yet.
        while lock(&shared.writing).holder.is_none() {
            std::thread::yield_now();
        }
        let waits = threads.spawn(move || {
            other.send(&bytes(1, 1), &1).unwrap();
            other.flush().unwrap();
        });
        while !lock(&shared.writing).waits[1] {
            std::thread::yield_now();
        }
        let (_theirs, [mut first, mut second]) = b.lanes(ENOUGH).unwrap();
        for _ in 0..20 {
            first.recv::<Bytes>(&LARGE).unwrap();
        }
        second.recv::<Bytes>(&1).unwrap();
        busy.join().unwrap();
        waits.join().unwrap();
    });
    let frames = frames(&recording.sent());
    let place = frames.iter().position(|frame| frame.header.kind & SECOND != 0).unwrap();
    // Messages of two frames: in between them too.
    assert_eq!(place, 1);
}

#[test]
fn adversarial_what_lies_behind_the_end_of_the_first_lane_keeps_nobody_waiting() {
    let (mut a, mut b) = memory::pair();
    std::thread::scope(|threads| {
        let floods = threads.spawn(move || {
            let (_theirs, [mut first, _second]) = b.lanes(ENOUGH).unwrap();
            let sent = first.send(&bytes(2 << 20, 1), &(2 << 20));
            // The other party does not take it all.
            let _ = sent.and_then(|()| first.flush());
        });
        let hears = move || {
            let (lanes, [_one, mut other]) = a.lanes(ENOUGH).unwrap();
            let shared = Arc::clone(&lanes.shared);
            std::thread::scope(|threads| {
                let late = threads.spawn(move || other.recv::<Bytes>(&1).map(drop));
                while lock(&shared.reading).kept[0].len() < LaneLimits::FIRST {
                    std::thread::yield_now();
                }
                lanes.first_is_through();
                late.join().unwrap()
            })
        };
        let result = threads.spawn(hears).join().unwrap();
        assert!(matches!(result, Err(ChannelError::Overrun)), "{result:?}");
        floods.join().unwrap();
    });
}
