//! Base OTs: "endemic" OT of Masny and Rindal (CCS 2019), over Ristretto255 and, in the form of `McQuoid`,
//! Rosulek and Roy (CCS 2020), over ML-KEM-512.
//!
//! ```text
//! sender: send                                 receiver, choices c: receive
//!                                              per OT: a key pair, public A
//!                                              r_{1-c} random, r_c = A - H_c(r_{1-c})
//!                                       ◄──    r_0, r_1
//! A_j = r_j + H_j(r_{1-j}), j = 0, 1
//! key b; B                              ──►
//! ML-KEM: ciphertexts, differences      ──►
//! K_j agreed with A_j                          K agreed with A
//! k_j = KDF(session, what for, i, j, B, r_0, r_1, all K_j)
//! ```
//!
//! - `ristretto`: A = 2 a G, B = 2 b G, K = 4 a b G.
//! - `ml_kem`: A an encapsulation key: a hash is added to its vector mod 3329, and to
//!   its seed by XOR; K is encapsulated. Keys and ciphertexts are large: two OTs are made of one of four
//!   strings, whose receiver says one element and 48 bytes, which give all four keys (`ml_kem` has how).
//!
//! [`BaseOt::Hybrid`] runs both under the same choices and hashes both keys: **the strings** are safe as
//! long as one of the two problems is hard, so a recording made today does not open when a quantum
//! computer comes. **The choices** are hidden unconditionally in the Ristretto messages, and by module LWE
//! in the ML-KEM ones (a key must look like a random one). No hybrid does better for both; this system's
//! linear layers rest on ring LWE anyway.
//!
//! A party that cheats gains a say in its *own* random strings ("endemic"), which the layers above allow for: of `r_0` and `r_1` the receiver can have a key pair for one only, because each
//! hashes into the other (of a lattice function's four values it can choose one). With [`BaseOt::Hybrid`] a sender may also
//! have what an OT's receiver gets depend on its choice in the other OT of a lattice pair: behind an extension's checks
//! that is a guess of bits of Delta, as a wrong message of the extension is (docs/protocol.md, 7.1). Who uses these OTs
//! without an extension should know; an odd one out has no neighbour. The KDF binds both messages
//! to the session ([`Channel::binding`]), the purpose, index, and role. The sender speaks after the receiver:
//! a key b chosen by what `r_0` and `r_1` are is a say in its own strings. Two flights, the second of which
//! what follows rides on.
//!
//! Security: computational Diffie-Hellman in Ristretto255, module LWE (ML-KEM-512), random oracles.

mod ml_kem;
mod ristretto;

pub use ml_kem::LatticeKeysMessage;
pub use ristretto::PointsMessage;

use gazelle_prg::Seed;
use gazelle_wire::Channel;
use rand_core::CryptoRng;
use zeroize::Zeroize;

use crate::error::OtError;
use crate::traffic::OtTraffic;

/// Label of the derivation; a change of the protocol changes it.
const LABEL: &str = "gazelle-ot 2026 base OT v4";
/// Label of what the hashes into both groups are bound to.
const RUN: &str = "gazelle-ot 2026 base OT run v1";

/// Base OTs from the side that gets both strings.
pub trait BaseSender {
    /// Both strings of `count` OTs; `purpose` as the receiver's.
    ///
    /// # Errors
    /// [`OtError`] if the link fails or the peer's messages are malformed.
    fn send(
        &mut self,
        count: usize,
        purpose: &str,
        ch: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Vec<[Seed; 2]>, OtError>;
}

/// Base OTs from the side that chooses.
pub trait BaseReceiver {
    /// The chosen string of each OT; `purpose` as the sender's.
    ///
    /// # Errors
    /// As [`BaseSender::send`].
    fn receive(
        &mut self,
        choices: &[bool],
        purpose: &str,
        ch: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Vec<Seed>, OtError>;
}

/// Which public-key problems the base OTs rest on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BaseOt {
    /// Ristretto255 and ML-KEM-512 together: strings stay secret from quantum computers. 2.1 kB per OT.
    #[default]
    Hybrid,
    /// Ristretto255 alone: 64 bytes per OT.
    Classic,
}

/// As a suffix of an extension's name: nothing for the default.
impl std::fmt::Display for BaseOt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Hybrid => "",
            Self::Classic => ", classic base OTs",
        })
    }
}

/// A key of one agreement, to be hashed.
type Key = [u8; 32];

impl BaseSender for BaseOt {
    /// Makes `count` random OTs as the sender: both strings of each.
    ///
    /// - `purpose`: what they are for; both parties give the same.
    ///
    /// Cost: [`traffic`](BaseOt::traffic); two products of received points and two encapsulations per OT,
    /// on all cores.
    ///
    /// # Errors
    /// [`OtError::InvalidPoint`] if a point does not decode or is the identity, [`OtError::Channel`].
    fn send(
        &mut self,
        count: usize,
        purpose: &str,
        ch: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Vec<[Seed; 2]>, OtError> {
        let points = ch.recv::<ristretto::PointsMessage>(&(2 * count))?;
        let functions = match self {
            Self::Hybrid => Some(ch.recv::<ml_kem::LatticeKeysMessage>(&ml_kem::pairs(count))?),
            Self::Classic => None,
        };
        let point = ristretto::SenderKey::new(rng);
        ch.send(&point.message(), &1)?;
        let mut kdf = BaseKdf::new(*self, purpose, ch, &point.message());
        let run = run_binding(ch, purpose);
        let mut keys = point.agree(&run, &points)?;
        kdf.both(&points.0);
        let mut lattice = Vec::new();
        if let Some(functions) = functions {
            let (answers, shared) = ml_kem::encapsulate(&run, &functions, rng);
            ch.send(&answers, &ml_kem::pairs(count))?;
            kdf.lattice(&functions, &answers);
            lattice = shared;
        }
        ch.flush()?;
        let strings = (0..count).map(|i| {
            [0, 1].map(|j| {
                let own = 2 * i + j;
                kdf.string(i, j == 1, keys.get(own), lattice.get(own))
            })
        });
        let strings = strings.collect();
        keys.zeroize();
        lattice.zeroize();
        Ok(strings)
    }
}

impl BaseReceiver for BaseOt {
    /// Makes one random OT per choice as the receiver: the chosen string of each.
    ///
    /// Cost: [`traffic`](BaseOt::traffic); a product of a tabled and one of a received point per OT, a key pair and a
    /// decapsulation per two, on all cores.
    ///
    /// # Errors
    /// As [`BaseSender::send`].
    fn receive(
        &mut self,
        choices: &[bool],
        purpose: &str,
        ch: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Vec<Seed>, OtError> {
        let run = run_binding(ch, purpose);
        let own = ristretto::ReceiverKeys::new(choices, &run, rng);
        let count = 2 * choices.len();
        ch.send(own.message(), &count)?;
        let mut pairs = None;
        if *self == Self::Hybrid {
            let made = ml_kem::KeyPairs::new(choices, &run, rng);
            ch.send(made.message(), &ml_kem::pairs(choices.len()))?;
            pairs = Some(made);
        }
        ch.flush()?;
        let sender = ch.recv::<ristretto::PointsMessage>(&1)?;
        let mut keys = own.agree(&sender)?;
        let mut kdf = BaseKdf::new(*self, purpose, ch, &sender);
        kdf.both(&own.message().0);
        let mut lattice = Vec::new();
        if let Some(pairs) = pairs {
            let answers =
                ch.recv::<ml_kem::LatticeAnswersMessage>(&ml_kem::pairs(choices.len()))?;
            lattice = pairs.decapsulate(&answers);
            kdf.lattice(pairs.message(), &answers);
        }
        let strings = choices.iter().enumerate();
        let strings = strings.map(|(i, &c)| kdf.string(i, c, keys.get(i), lattice.get(i)));
        let strings = strings.collect();
        keys.zeroize();
        lattice.zeroize();
        Ok(strings)
    }
}

impl BaseOt {
    /// Exact bytes of `count` base OTs; "sender" and "receiver" are those of the base OTs.
    pub fn traffic(self, count: usize) -> OtTraffic {
        let classic = ristretto::traffic(count);
        match self {
            Self::Classic => classic,
            Self::Hybrid => classic + ml_kem::traffic(count),
        }
    }
}

/// The random oracle of one run: everything that was said goes in before any string comes out.
struct BaseKdf(blake3::Hasher);

impl BaseKdf {
    fn new(kind: BaseOt, purpose: &str, ch: &Channel, sender: &ristretto::PointsMessage) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(LABEL);
        hasher.update(ch.binding());
        hasher.update(&(purpose.len() as u64).to_le_bytes()).update(purpose.as_bytes());
        hasher.update(&[u8::from(kind == BaseOt::Hybrid)]);
        let mut kdf = Self(hasher);
        kdf.both(&sender.0);
        kdf
    }

    fn both(&mut self, points: &[curve25519_dalek::ristretto::CompressedRistretto]) {
        for point in points {
            self.0.update(point.as_bytes());
        }
    }

    fn lattice(
        &mut self,
        functions: &ml_kem::LatticeKeysMessage,
        answers: &ml_kem::LatticeAnswersMessage,
    ) {
        self.0.update(functions.0.as_flattened()).update(answers.0.as_flattened());
    }

    /// String `choice` of OT `index`. The choice is hashed, never branched on.
    fn string(
        &self,
        index: usize,
        choice: bool,
        point: Option<&Key>,
        lattice: Option<&ml_kem::LatticeString>,
    ) -> Seed {
        let mut hasher = self.0.clone();
        hasher.update(&(index as u64).to_le_bytes()).update(&[u8::from(choice)]);
        for key in [point.map(|key| &key[..]), lattice.map(|key| &key[..])].into_iter().flatten() {
            hasher.update(key);
        }
        let mut bytes = [0u8; 16];
        hasher.finalize_xof().fill(&mut bytes);
        hasher.zeroize();
        let seed = Seed::from_bytes(bytes);
        bytes.zeroize();
        seed
    }
}

/// What `H_0` and `H_1` of one run are bound to: the session and what the OTs are for.
fn run_binding(ch: &Channel, purpose: &str) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key(RUN);
    hasher.update(ch.binding()).update(purpose.as_bytes());
    *hasher.finalize().as_bytes()
}

/// A stream for hashing `message` into a group: `H_choice` of OT (or pair of OTs) `index`.
fn oracle(
    label: &str,
    binding: &[u8; 32],
    index: usize,
    choice: u8,
    message: &[u8],
) -> blake3::OutputReader {
    let mut hasher = blake3::Hasher::new_derive_key(label);
    hasher.update(binding).update(&(index as u64).to_le_bytes());
    hasher.update(&[choice]).update(message);
    hasher.finalize_xof()
}
