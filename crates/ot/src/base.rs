//! Base OTs over public functions that can be programmed at one place, the form of "endemic" OT (Masny and Rindal, CCS
//! 2019) of `McQuoid`, Rosulek and Roy (CCS 2020, ASIACRYPT 2021), over Ristretto255 and ML-KEM-512. Two OTs are made of
//! one of four keys.
//!
//! ```text
//! sender: send                                 receiver, choices c_0, c_1 of a pair: receive
//!                                              a key pair, public A; c = 2 c_0 + c_1
//!                                              (s, T) with F(s, T)(c) = A     (popf)
//!                                       ◄──    s, T
//! A_x = F(s, T)(x), x = 0 .. 3
//! key b; B                              ──►
//! ML-KEM: four ciphertexts              ──►
//! K_x agreed with A_x                          K agreed with A
//! L_x = KDF(session, what for, pair, x, all that was said, all K_x)
//! differences of the L_x's halves       ──►                                   (pair)
//! strings of both OTs: halves of L_x           one of each
//! ```
//!
//! - `ristretto`: A = 2 a G, B = 2 b G, K = 4 a b G.
//! - `ml_kem`: A an encapsulation key: a hash is added to its vector mod 3329, and to
//!   its seed by XOR; K is encapsulated.
//!
//! [`BaseOt::Hybrid`] runs both under the same choices and hashes both keys: **the strings** are safe as
//! long as one of the two problems is hard, so a recording made today does not open when a quantum
//! computer comes. **The choices** are hidden unconditionally in the Ristretto messages, and by module LWE
//! in the ML-KEM ones (a key must look like a random one). No hybrid does better for both; this system's
//! linear layers rest on ring LWE anyway.
//!
//! A party that cheats gains a say in its *own* random strings ("endemic"), which the layers above allow for: of a
//! function's four values the receiver can choose one. A sender may also have what an OT's receiver gets depend on its
//! choice in the other OT of a pair: behind an extension's checks that is a guess of bits of Delta, as a wrong message of
//! the extension is (docs/protocol.md, 7.1). Who uses these OTs without an extension should know; an odd one out has no
//! neighbour. The KDF binds all that was said before the differences to the session ([`Channel::binding`]), the
//! purpose, pair and place. The sender speaks after the receiver: a key b chosen by what s and T are is a say in its
//! own strings. Two flights, the second of which what follows rides on.
//!
//! Security: gap Diffie-Hellman in Ristretto255 (the receiver may have programmed any key: what it asks the KDF must be
//! recognised), module LWE (ML-KEM-512), random oracles.

mod ml_kem;
mod pair;
mod popf;
mod ristretto;

pub use ml_kem::LatticeKeysMessage;
use pair::PairKey;
pub use ristretto::{PointFunctionsMessage, PointsMessage};

use gazelle_prg::Seed;
use gazelle_wire::Channel;
use rand_core::CryptoRng;
use zeroize::{Zeroize, Zeroizing};

use crate::error::OtError;
use crate::traffic::OtTraffic;

/// Label of the derivation; a change of the protocol changes it.
const LABEL: &str = "gazelle-ot 2026 base OT v5";
/// Label of what the hashes into both groups are bound to.
const RUN: &str = "gazelle-ot 2026 base OT run v2";

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
    /// Ristretto255 and ML-KEM-512 together: strings stay secret from quantum computers. 2.0 kB per OT.
    #[default]
    Hybrid,
    /// Ristretto255 alone: 72 bytes per OT.
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

impl BaseSender for BaseOt {
    /// Makes `count` random OTs as the sender: both strings of each.
    ///
    /// - `purpose`: what they are for; both parties give the same.
    ///
    /// Cost: [`traffic`](BaseOt::traffic); two products of received points and two encapsulations per OT,
    /// on all cores.
    ///
    /// # Errors
    /// [`OtError::InvalidPoint`] with the index of a pair, if its point does not decode or is the identity,
    /// [`OtError::Channel`].
    fn send(
        &mut self,
        count: usize,
        purpose: &str,
        ch: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Vec<[Seed; 2]>, OtError> {
        let pairs = pair::pairs(count);
        let points = ch.recv::<PointFunctionsMessage>(&pairs)?;
        let functions = match self {
            Self::Hybrid => Some(ch.recv::<LatticeKeysMessage>(&pairs)?),
            Self::Classic => None,
        };
        let own = ristretto::SenderKey::new(rng);
        ch.send(&own.message(), &1)?;
        let run = run_binding(ch, purpose);
        let mut kdf = BaseKdf::new(*self, purpose, ch, &own.message(), &points);
        let mut keys = Zeroizing::new(own.agree(&run, &points)?);
        let mut lattice = Zeroizing::new(Vec::new());
        if let Some(functions) = functions {
            let (ciphertexts, shared) = ml_kem::encapsulate(&run, &functions, rng);
            ch.send(&ciphertexts, &pairs)?;
            kdf.lattice(&functions, &ciphertexts);
            *lattice = shared;
        }
        for (index, keys) in keys.iter_mut().enumerate() {
            for (x, key) in (0..pair::PLACES).zip(keys) {
                let shared = lattice.get(index).and_then(|keys| keys.get(usize::from(x)));
                kdf.extract(index, x, key, shared);
            }
        }
        let (differences, strings): (_, Vec<_>) = keys.iter().map(pair::split).unzip();
        let strings = Zeroizing::new(strings);
        ch.send(&pair::DifferencesMessage(differences), &pairs)?;
        ch.flush()?;
        let strings = strings.as_flattened().iter().take(count);
        Ok(strings.map(|strings| strings.map(Seed::from_bytes)).collect())
    }
}

impl BaseReceiver for BaseOt {
    /// Makes one random OT per choice as the receiver: the chosen string of each.
    ///
    /// Cost: [`traffic`](BaseOt::traffic); a product of a tabled and one of a received point, a key pair and a
    /// decapsulation per two OTs, on all cores.
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
        let (count, pairs) = (choices.len(), pair::pairs(choices.len()));
        let mut both = Zeroizing::new(vec![[0u8; 2]; pairs]);
        both.as_flattened_mut().iter_mut().zip(choices).for_each(|(slot, c)| *slot = (*c).into());
        let run = run_binding(ch, purpose);
        let own = ristretto::ReceiverKeys::new(&both, &run, rng);
        ch.send(own.message(), &pairs)?;
        let mut lattice_keys = None;
        if *self == Self::Hybrid {
            let made = ml_kem::KeyPairs::new(&both, &run, rng);
            ch.send(made.message(), &pairs)?;
            lattice_keys = Some(made);
        }
        ch.flush()?;
        let sender = ch.recv::<PointsMessage>(&1)?;
        let mut keys = Zeroizing::new(own.agree(&sender)?);
        let mut kdf = BaseKdf::new(*self, purpose, ch, &sender, own.message());
        let mut lattice = Zeroizing::new(Vec::new());
        if let Some(made) = lattice_keys {
            let ciphertexts = ch.recv::<ml_kem::LatticeCiphertextsMessage>(&pairs)?;
            *lattice = made.decapsulate(&both, &ciphertexts);
            kdf.lattice(made.message(), &ciphertexts);
        }
        let differences = ch.recv::<pair::DifferencesMessage>(&pairs)?;
        let mut strings = Zeroizing::new(Vec::with_capacity(pairs));
        let all = keys.iter_mut().zip(&*both).zip(&differences.0).enumerate();
        for (index, ((key, choices), differences)) in all {
            let [c0, c1] = *choices;
            kdf.extract(index, 2 * c0 + c1, key, lattice.get(index));
            strings.push(pair::join(key, differences, *choices));
        }
        let strings = strings.as_flattened().iter().take(count);
        Ok(strings.map(|string| Seed::from_bytes(*string)).collect())
    }
}

impl BaseOt {
    /// Exact bytes of `count` base OTs; "sender" and "receiver" are those of the base OTs.
    pub fn traffic(self, count: usize) -> OtTraffic {
        let pairs = pair::pairs(count);
        let classic = ristretto::traffic(pairs) + pair::traffic(pairs);
        match self {
            Self::Classic => classic,
            Self::Hybrid => classic + ml_kem::traffic(pairs),
        }
    }
}

/// The random oracle of one run: everything that was said before the differences goes in before any key comes out.
struct BaseKdf(blake3::Hasher);

impl BaseKdf {
    fn new(
        kind: BaseOt,
        purpose: &str,
        ch: &Channel,
        sender: &PointsMessage,
        receiver: &PointFunctionsMessage,
    ) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(LABEL);
        hasher.update(ch.binding());
        hasher.update(&(purpose.len() as u64).to_le_bytes()).update(purpose.as_bytes());
        hasher.update(&[u8::from(kind == BaseOt::Hybrid)]);
        for point in &sender.0 {
            hasher.update(point.as_bytes());
        }
        hasher.update(receiver.0.as_flattened());
        Self(hasher)
    }

    fn lattice(
        &mut self,
        functions: &LatticeKeysMessage,
        ciphertexts: &ml_kem::LatticeCiphertextsMessage,
    ) {
        self.0.update(functions.0.as_flattened()).update(ciphertexts.0.as_flattened());
    }

    /// Replaces the key agreed for a place of a pair by `L_x`. The place is hashed, never branched on.
    fn extract(&self, index: usize, x: u8, key: &mut PairKey, lattice: Option<&PairKey>) {
        let mut hasher = self.0.clone();
        hasher.update(&(index as u64).to_le_bytes()).update(&[x]).update(key);
        if let Some(lattice) = lattice {
            hasher.update(lattice);
        }
        let mut stream = hasher.finalize_xof();
        stream.fill(key);
        stream.zeroize();
        hasher.zeroize();
    }
}

/// What the functions of one run are bound to: the session and what the OTs are for.
fn run_binding(ch: &Channel, purpose: &str) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key(RUN);
    hasher.update(ch.binding()).update(purpose.as_bytes());
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_equal_keys_of_other_pairs_and_places_give_other_strings() {
        let kdf = BaseKdf(blake3::Hasher::new_derive_key(LABEL));
        let extract = |index, x, lattice: Option<&PairKey>| {
            let mut key = [9; 32];
            kdf.extract(index, x, &mut key, lattice);
            key
        };
        let all = [
            extract(0, 0, None),
            extract(1, 0, None),
            extract(0, 1, None),
            extract(0, 0, Some(&[9; 32])),
            extract(0, 0, Some(&[8; 32])),
        ];
        for (at, one) in all.iter().enumerate() {
            assert!(all.iter().skip(at + 1).all(|other| other != one), "{at}");
        }
        assert_eq!(extract(0, 0, None), all[0]);
    }
}
