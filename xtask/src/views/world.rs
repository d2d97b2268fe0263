//! A world in which one run of a protocol takes place: its coins, and what one party sees of it.
//!
//! Every coin is drawn either from the part that the watched party knows (`own`) or from the rest
//! (`hidden`). A random OT is two strings and a choice: the receiver knows the choice and one
//! string, the sender both strings. Drawn as (choice, known string, other string) or as
//! (string, string, choice), the triple is uniform either way.

/// Client or server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Party {
    /// C, who holds the image.
    Client,
    /// S, who holds the weights.
    Server,
}

/// What is broken on purpose, to see that the check reports it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fault {
    /// Nothing.
    None,
    /// This bit of all coins, counted in the order of drawing, is always 0: a mask is missing.
    FixedCoin(u32),
    /// The second of these random OTs is the first one again: its masks are used twice.
    SharedRot(u32, u32),
    /// This message arrives as zeros: a correction is dropped.
    LostMessage(u32),
}

/// A random OT: the sender holds `k0` and `k1`, the receiver `rho` and `k`, the string of its choice.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rot {
    pub(super) k0: u64,
    pub(super) k1: u64,
    pub(super) rho: u64,
    pub(super) k: u64,
}

impl Rot {
    /// Bit `index` of the XOR of the sender's strings.
    pub(super) fn delta(self, index: u32) -> u64 {
        bit(self.k0 ^ self.k1, index)
    }

    /// The difference of the sender's strings, `k1 - k0`, not reduced.
    pub(super) fn minus(self) -> u64 {
        self.k1.wrapping_sub(self.k0)
    }
}

/// One run, as `eyes` see it.
pub(super) struct World {
    eyes: Party,
    fault: Fault,
    own: u128,
    hidden: u128,
    /// Bits drawn so far from `own` and from `hidden`.
    pub(super) own_bits: u32,
    pub(super) hidden_bits: u32,
    /// What the watched party received, first message lowest, and its bits.
    pub(super) heard: u128,
    pub(super) heard_bits: u32,
    /// Bits of coins, messages and random OTs so far, of both parties.
    pub(super) coins: u32,
    pub(super) messages: u32,
    pub(super) rots: u32,
    kept: Option<Rot>,
}

impl World {
    /// A world watched by `eyes`, with these coins.
    pub(super) fn new(eyes: Party, fault: Fault, own: u128, hidden: u128) -> World {
        World {
            eyes,
            fault,
            own,
            hidden,
            own_bits: 0,
            hidden_bits: 0,
            heard: 0,
            heard_bits: 0,
            coins: 0,
            messages: 0,
            rots: 0,
            kept: None,
        }
    }

    /// `bits` uniform bits that `holder` alone knows.
    pub(super) fn coin(&mut self, holder: Party, bits: u32) -> u64 {
        let value = if holder == self.eyes { self.draw_own(bits) } else { self.draw_hidden(bits) };
        self.fix(value, bits)
    }

    /// A fresh random OT with strings of `bits` bits.
    pub(super) fn rot(&mut self, sender: Party, bits: u32) -> Rot {
        let (rho, k0, k1) = if sender == self.eyes {
            let (k0, k1) = (self.draw_own(bits), self.draw_own(bits));
            (self.draw_hidden(1), k0, k1)
        } else {
            let rho = self.draw_own(1);
            let (known, other) = (self.draw_own(bits), self.draw_hidden(bits));
            if rho == 0 { (rho, known, other) } else { (rho, other, known) }
        };
        let (rho, k0, k1) = (self.fix(rho, 1), self.fix(k0, bits), self.fix(k1, bits));
        let mut rot = Rot { k0, k1, rho, k: if rho == 0 { k0 } else { k1 } };
        if let Fault::SharedRot(first, second) = self.fault {
            if self.rots == first {
                self.kept = Some(rot);
            }
            if let (true, Some(Rot { k0, k1, rho, k })) = (self.rots == second, self.kept) {
                let keep = |string| reduce(string, bits);
                rot = Rot { k0: keep(k0), k1: keep(k1), rho, k: keep(k) };
            }
        }
        self.rots += 1;
        rot
    }

    /// Sends the low `bits` bits of `value`; returns what arrives.
    pub(super) fn send(&mut self, from: Party, value: u64, bits: u32) -> u64 {
        let lost = bits > 0 && self.fault == Fault::LostMessage(self.messages);
        let value = if lost { 0 } else { reduce(value, bits) };
        // A message of no bits is none.
        self.messages += u32::from(bits > 0);
        if from != self.eyes {
            self.heard |= u128::from(value) << self.heard_bits;
            self.heard_bits += bits;
        }
        value
    }

    /// Both halves of an opening of `bits` bits; returns their XOR, which both parties then know.
    pub(super) fn open(&mut self, client: u64, server: u64, bits: u32) -> u64 {
        self.send(Party::Client, client, bits) ^ self.send(Party::Server, server, bits)
    }

    fn draw_own(&mut self, bits: u32) -> u64 {
        let value = self.own >> self.own_bits;
        self.own_bits += bits;
        low(value, bits)
    }

    fn draw_hidden(&mut self, bits: u32) -> u64 {
        let value = self.hidden >> self.hidden_bits;
        self.hidden_bits += bits;
        low(value, bits)
    }

    fn fix(&mut self, value: u64, bits: u32) -> u64 {
        let first = self.coins;
        self.coins += bits;
        match self.fault {
            Fault::FixedCoin(index) if (first..self.coins).contains(&index) => {
                value & !(1 << (index - first))
            }
            _ => value,
        }
    }
}

/// The low bits of drawn coins: strings and coins have fewer than 64.
fn low(value: u128, bits: u32) -> u64 {
    u64::try_from(value & ((1 << bits) - 1)).unwrap_or_default()
}

/// `value` modulo 2^bits, `bits` below 64.
pub(super) fn reduce(value: u64, bits: u32) -> u64 {
    value & ((1 << bits) - 1)
}

/// Bit `index` of `value`.
pub(super) fn bit(value: u64, index: u32) -> u64 {
    value >> index & 1
}
