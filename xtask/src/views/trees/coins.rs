//! Both parties' coins, random OTs and messages in one run, as one of the two sees them.

#![expect(clippy::indexing_slicing, reason = "a pair has one element per party")]

/// A party.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Client,
    Server,
}

/// Before or after the client has its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Offline,
    Online,
}

/// `ROT(sender -> receiver, w)`: strings k0, k1 at the sender; rho and k = `k_rho` at the receiver.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rot {
    sender: Side,
    width: u32,
    pub(super) k0: u64,
    pub(super) k1: u64,
    pub(super) rho: u64,
    pub(super) k: u64,
}

/// Bits sent and OTs used, `[from the client, from the server]`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Traffic {
    pub(super) offline: [u32; 2],
    pub(super) online: [u32; 2],
    pub(super) rots: [u32; 2],
}

/// One run. What the watcher holds comes from `own`, what it must not learn from `hidden`.
#[derive(Debug)]
pub(super) struct Run {
    watcher: Side,
    own: u128,
    hidden: u128,
    pub(super) own_bits: u32,
    pub(super) hidden_bits: u32,
    /// What the watcher received, first bit lowest.
    pub(super) received: u64,
    pub(super) received_bits: u32,
    pub(super) traffic: Traffic,
    /// Broken on purpose: the random OT of this number is an earlier one of its kind, used again.
    repeat: Option<u32>,
    pub(super) repeated: bool,
    /// Kept only to repeat one.
    rots: Vec<Rot>,
}

impl Run {
    pub(super) fn new(watcher: Side, own: u128, hidden: u128, repeat: Option<u32>) -> Self {
        Self {
            watcher,
            own,
            hidden,
            own_bits: 0,
            hidden_bits: 0,
            received: 0,
            received_bits: 0,
            traffic: Traffic::default(),
            repeat,
            repeated: false,
            rots: Vec::new(),
        }
    }

    /// A coin word that only `side` knows.
    pub(super) fn coins(&mut self, side: Side, width: u32) -> u64 {
        let (source, used) = if side == self.watcher {
            (self.own, &mut self.own_bits)
        } else {
            (self.hidden, &mut self.hidden_bits)
        };
        // Beyond 128 bits, where only results are looked at, the coins come again.
        let word = source.rotate_right(*used);
        *used += width;
        word as u64 & ones(width)
    }

    pub(super) fn rot(&mut self, sender: Side, width: u32) -> Rot {
        let number = self.traffic.rots.iter().sum();
        self.traffic.rots[from(sender)] += 1;
        if self.repeat == Some(number) {
            let like = |rot: &&Rot| rot.sender == sender && rot.width == width;
            if let Some(rot) = self.rots.iter().rev().find(like) {
                self.repeated = true;
                return *rot;
            }
        }
        let receiver = if sender == Side::Client { Side::Server } else { Side::Client };
        let (k0, k1, rho, k);
        if receiver == self.watcher {
            (rho, k) = (self.coins(receiver, 1), self.coins(receiver, width));
            let delta = self.coins(sender, width);
            k0 = if rho == 1 { k ^ delta } else { k };
            k1 = k0 ^ delta;
        } else {
            (k0, k1) = (self.coins(sender, width), self.coins(sender, width));
            rho = self.coins(receiver, 1);
            k = if rho == 1 { k1 } else { k0 };
        }
        let rot = Rot { sender, width, k0, k1, rho, k };
        if self.repeat.is_some() {
            self.rots.push(rot);
        }
        rot
    }

    pub(super) fn send(&mut self, sender: Side, phase: Phase, word: u64, width: u32) {
        let word = word & ones(width);
        let bits = match phase {
            Phase::Offline => &mut self.traffic.offline,
            Phase::Online => &mut self.traffic.online,
        };
        bits[from(sender)] += width;
        if sender != self.watcher {
            self.received |= word.checked_shl(self.received_bits).unwrap_or(0);
            self.received_bits += width;
        }
    }
}

impl Rot {
    /// k0 ^ k1, at the sender.
    pub(super) fn delta(&self) -> u64 {
        self.k0 ^ self.k1
    }
    /// The string selected by d, at the sender.
    pub(super) fn selected(&self, d: u64) -> u64 {
        if d == 1 { self.k1 } else { self.k0 }
    }
}

fn from(side: Side) -> usize {
    usize::from(side == Side::Server)
}

pub(super) fn ones(width: u32) -> u64 {
    (1 << width) - 1
}

pub(super) fn bit(word: u64, i: u32) -> u64 {
    word >> i & 1
}
