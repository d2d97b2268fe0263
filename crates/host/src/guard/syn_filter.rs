//! Every second request to connect of an address that floods is dropped by the system, before anybody is woken for
//! it: `connect` tries again after a second, so that who comes once waits a little and who comes thousands of times
//! waits for most of it.
//!
//! A classic BPF program on the listening socket. Accepted sockets inherit it; it looks at SYNs alone, so that it lets
//! all through there.

use std::io;
use std::net::{IpAddr, TcpListener};

use socket2::{SockFilter, SockRef};

/// Addresses that are looked at, at most.
const MOST: usize = 16;

/// An instruction: code, jump if true, jump if false, operand (linux/filter.h).
type Instruction = (u16, u8, u8, u32);

/// Loads a byte and a word of the packet, the TCP header being its beginning.
const LOAD_BYTE: u16 = 0x30;
const LOAD_WORD: u16 = 0x20;
const AND: u16 = 0x54;
const SHIFT_RIGHT: u16 = 0x74;
const JUMP_IF_EQUAL: u16 = 0x15;
const JUMP: u16 = 0x05;
const RETURN: u16 = 0x06;
/// Where the IP header begins.
const NETWORK: u32 = 0xfff0_0000;
/// A random word.
const RANDOM: u32 = 0xffff_f000 + 56;
/// All of the packet.
const PASS: Instruction = (RETURN, 0, 0, u32::MAX);

/// A listening socket's filter; taken off on drop.
#[derive(Debug)]
pub(super) struct SynFilter {
    listener: TcpListener,
    /// Those whose SYNs it drops.
    addresses: Vec<IpAddr>,
}

impl SynFilter {
    /// Of this socket; nothing is dropped yet.
    pub(super) fn new(listener: &TcpListener) -> io::Result<Self> {
        Ok(Self { listener: listener.try_clone()?, addresses: Vec::new() })
    }

    /// Drops every second SYN of these addresses from now on, [`MOST`] of them; of IPv6 of their networks of 64 bits.
    pub(super) fn set(&mut self, addresses: &[IpAddr]) -> io::Result<()> {
        if addresses == self.addresses {
            return Ok(());
        }
        let socket = SockRef::from(&self.listener);
        if addresses.is_empty() {
            socket.detach_filter()?;
        } else {
            let compiled: Vec<SockFilter> = program(addresses)
                .into_iter()
                .map(|(code, yes, no, operand)| SockFilter::new(code, yes, no, operand))
                .collect();
            socket.attach_filter(&compiled)?;
        }
        self.addresses = addresses.to_vec();
        Ok(())
    }
}

impl Drop for SynFilter {
    fn drop(&mut self) {
        // Who listens on has it no longer.
        let _ = self.set(&[]);
    }
}

fn program(addresses: &[IpAddr]) -> Vec<Instruction> {
    let mut program = vec![
        // Of the flags SYN and ACK, SYN alone.
        (LOAD_BYTE, 0, 0, 13),
        (AND, 0, 0, 0x12),
        (JUMP_IF_EQUAL, 1, 0, 0x02),
        PASS,
        // One of two.
        (LOAD_WORD, 0, 0, RANDOM),
        (AND, 0, 0, 1),
        (JUMP_IF_EQUAL, 0, 1, 0),
        PASS,
        (LOAD_BYTE, 0, 0, NETWORK),
        (SHIFT_RIGHT, 0, 0, 4),
    ];
    let (mut old, mut new) = (Vec::new(), Vec::new());
    for address in addresses.iter().take(MOST) {
        match address {
            IpAddr::V4(address) => {
                old.push((JUMP_IF_EQUAL, 0, 1, address.to_bits()));
                old.push((RETURN, 0, 0, 0));
            }
            IpAddr::V6(address) => {
                let [high, low] = [96, 64].map(|bits| (address.to_bits() >> bits) as u32);
                new.extend([
                    (LOAD_WORD, 0, 0, NETWORK + 8),
                    (JUMP_IF_EQUAL, 0, 3, high),
                    (LOAD_WORD, 0, 0, NETWORK + 12),
                    (JUMP_IF_EQUAL, 0, 1, low),
                    (RETURN, 0, 0, 0),
                ]);
            }
        }
    }
    program.push((JUMP_IF_EQUAL, 1, 0, 4));
    // The load, the addresses, and what follows them, of version 4.
    program.push((JUMP, 0, 0, old.len() as u32 + 2));
    program.push((LOAD_WORD, 0, 0, NETWORK + 12));
    program.extend(old);
    program.push(PASS);
    program.extend(new);
    program.push(PASS);
    program
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv6Addr, SocketAddr, TcpStream};
    use std::time::Duration;

    /// What the system makes of a packet; `random` is what it draws.
    fn passes(program: &[Instruction], network: &[u8], flags: u8, random: u32) -> bool {
        let word = |bytes: &[u8]| u32::from_be_bytes(bytes.try_into().unwrap());
        let (mut at, mut value) = (0, 0);
        loop {
            let (code, yes, no, operand) = program[at];
            at += 1;
            match (code, operand) {
                (LOAD_BYTE, 13) => value = flags.into(),
                (LOAD_WORD, RANDOM) => value = random,
                (LOAD_BYTE, _) => value = network[(operand - NETWORK) as usize].into(),
                (LOAD_WORD, _) => {
                    let from = (operand - NETWORK) as usize;
                    value = word(&network[from..from + 4]);
                }
                (AND, _) => value &= operand,
                (SHIFT_RIGHT, _) => value >>= operand,
                (JUMP, _) => at += operand as usize,
                (JUMP_IF_EQUAL, _) => at += usize::from(if value == operand { yes } else { no }),
                (RETURN, _) => return operand != 0,
                _ => panic!("{code}"),
            }
        }
    }

    fn header(from: IpAddr) -> Vec<u8> {
        let mut header = vec![0; 40];
        match from {
            IpAddr::V4(from) => {
                header[0] = 0x45;
                header[12..16].copy_from_slice(&from.octets());
            }
            IpAddr::V6(from) => {
                header[0] = 0x60;
                header[8..24].copy_from_slice(&from.octets());
            }
        }
        header
    }

    #[test]
    fn rules_every_second_syn_of_these_addresses_is_dropped_and_nothing_else() {
        const SYN: u8 = 0x02;
        const DATA: u8 = 0x18;
        const ANSWER: u8 = 0x12;
        let floods: Vec<IpAddr> = ["10.1.2.3", "2001:db8:1:2::", "10.1.2.4", "2001:db8:1:3::"]
            .map(|a| a.parse().unwrap())
            .into();
        for listed in [&floods[..], &floods[..1], &floods[1..2]] {
            let program = program(listed);
            let others = ["10.1.2.5", "2001:db8:1:4::7", "2001:db8:2:2::1", "0.0.0.0"];
            for other in others.map(|address| address.parse().unwrap()) {
                for random in 0..4 {
                    assert!(passes(&program, &header(other), SYN, random), "{other}");
                }
            }
            for flood in listed {
                let from = match flood {
                    IpAddr::V6(network) => Ipv6Addr::from_bits(network.to_bits() | 0x4d).into(),
                    address @ IpAddr::V4(_) => *address,
                };
                let passed: Vec<bool> =
                    (0..4).map(|random| passes(&program, &header(from), SYN, random)).collect();
                assert_eq!(passed.iter().filter(|passed| **passed).count(), 2, "{from}");
                for flags in [DATA, ANSWER, 0x10, 0x11, 0x04] {
                    assert!((0..4).all(|random| passes(&program, &header(from), flags, random)));
                }
            }
        }
        let many: Vec<IpAddr> = (0..40u32).map(|i| IpAddr::V4(i.into())).collect();
        assert!(passes(&program(&many), &header(many[MOST]), SYN, 1));
        assert!(!(0..2).all(|random| passes(
            &program(&many),
            &header(many[MOST - 1]),
            SYN,
            random
        )));
    }

    /// By the system itself.
    #[test]
    fn who_floods_connects_half_of_the_time_and_others_always() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = listener.local_addr().unwrap();
        let mut filter = SynFilter::new(&listener).unwrap();
        let connects = |from: &str| -> usize {
            let from: SocketAddr = format!("{from}:0").parse().unwrap();
            let one = |_| {
                let socket =
                    socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)
                        .unwrap();
                socket.bind(&from.into()).unwrap();
                let connected =
                    socket.connect_timeout(&server.into(), Duration::from_millis(100)).is_ok();
                if connected {
                    drop(listener.accept().unwrap());
                }
                drop(TcpStream::from(socket));
                usize::from(connected)
            };
            (0..40).map(one).sum()
        };
        filter.set(&["127.0.0.77".parse().unwrap()]).unwrap();
        // 5 of 40 or fewer, or 35 and more, come once in 700,000 times.
        assert!((6..=34).contains(&connects("127.0.0.77")));
        assert_eq!(connects("127.0.0.78"), 40);
        filter.set(&[]).unwrap();
        assert_eq!(connects("127.0.0.77"), 40);
        filter.set(&["127.0.0.77".parse().unwrap()]).unwrap();
        drop(filter);
        assert_eq!(connects("127.0.0.77"), 40);
    }
}
