//! The check that an extension's receiver used the same choices in all rows: a universal hash of each
//! row, drawn after the corrections are fixed. For IKNP and SoftSpokenOT alike.
//!
//! With rows `t_j` (receiver) and `q_j = t_j ^ Delta_j b` (sender) as vectors of pieces in GF(2^128), the
//! last piece random and never handed out:
//!
//! ```text
//! sender (Delta)                               receiver
//! per chunk:
//!                                       ◄──    corrections
//! c = H(all corrections so far)                c = H(all corrections so far)
//! Q_j += sum_i c^{i+1} q_j[i]                  T_j += sum_i c^{i+1} t_j[i]
//! at the end of a call:
//!                                       ◄──    x = T_0 (row 0 is b), h = H(T_1 .. T_127)
//! h = H(Q_1 ^ Delta_1 x ..)?                    (both h bound to all corrections so far)
//! ```
//!
//! - A receiver whose row j has an error `e_j`, not the same in all rows, passes only if the hash of the
//!   last chunk with an error cancels the rest: at most 2^-121 per challenge tried (64 pieces to a
//!   chunk, challenges from a random oracle), or if it guesses the bits of Delta that the error meets:
//!   every bit halves its chance, and a failure ends the session (base OTs that depend on their neighbour, see there, let
//!   it guess a set of two bits' values). That leakage is in the functionality
//!   of Roy 2022 and harmless.
//! - x is covered by the last piece, 128 random choices; h follows from it, Delta and the sender's view.
//!
//! Challenges by hashing cost no message and no turn: the response rides behind the corrections.
//!
//! Source: Roy, "SoftSpokenOT" (CRYPTO 2022), section 5; Keller, Orsini, Scholl, ePrint 2015/546 (the
//! revised check, by rows); Fiat-Shamir challenges.

use gazelle_block::{Block, Delta, gf128};
use gazelle_wire::traffic::framed_len;
use gazelle_wire::{DecodeError, Message, Reader};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::error::OtError;
use crate::rows::{CHUNK, ROW_UNIT};

/// Labels of the challenges and of the response's digest; a change of the protocol changes them.
const CHALLENGE: &str = "gazelle-ot 2026 consistency challenge v3";
const RESPONSE: &str = "gazelle-ot 2026 consistency response v2";
/// Rows of a matrix.
const ROWS: usize = 128;
/// The check's name in errors.
pub(crate) const NAME: &str = "the consistency check of the OT extension";

/// Cuts the blocks wanted into chunks, each with the pieces of its rows: one more than the blocks take
/// in the last chunk of a call, which is the check's mask.
pub(crate) fn chunks(out: &mut [Block], last: bool) -> impl Iterator<Item = (usize, &mut [Block])> {
    let count = out.len().div_ceil(CHUNK);
    out.chunks_mut(CHUNK).enumerate().map(move |(at, chunk)| {
        let mask = usize::from(last && at + 1 == count);
        (chunk.len() / ROW_UNIT + mask, chunk)
    })
}

/// Whether a party ends the session when a check fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Checks {
    /// It does.
    #[default]
    Enforced,
    /// It does not: for tests that show what the check is there for.
    #[cfg(test)]
    Ignored,
}

impl Checks {
    /// # Errors
    /// [`OtError::Misbehaved`] unless `passed`.
    pub(crate) fn require(self, passed: bool, check: &'static str) -> Result<(), OtError> {
        if self == Self::Enforced && !passed {
            return Err(OtError::Misbehaved { check });
        }
        Ok(())
    }
}

/// Challenges of a session, one after another; both parties' advance alike.
pub(crate) struct CheckTranscript(blake3::Hasher);

impl CheckTranscript {
    /// - `what`: which protocol.
    /// - `binding`: what the channel is bound to.
    /// - `seed`: a public value of this session alone, if it has one: directions differ in it.
    pub(crate) fn new(what: &str, binding: &[u8; 32], seed: &[Block]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(CHALLENGE);
        hasher.update(binding).update(&(what.len() as u64).to_le_bytes()).update(what.as_bytes());
        for block in seed {
            hasher.update(&block.to_bytes());
        }
        Self(hasher)
    }

    /// A challenge that depends on everything said so far and on `bytes`.
    pub(crate) fn challenge(&mut self, bytes: &[u8]) -> Block {
        // By their digest: whole messages are hashed in parallel.
        self.0.update(&(bytes.len() as u64).to_le_bytes()).update(blake3::hash(bytes).as_bytes());
        let mut challenge = [0; 16];
        self.0.finalize_xof().fill(&mut challenge);
        Block::from_bytes(challenge)
    }

    /// What an answer is hashed with: it belongs to all that was said so far.
    pub(crate) fn context(&self) -> [u8; 32] {
        *self.0.finalize().as_bytes()
    }
}

/// The hashes of all rows in one call. Wiped on drop.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct RowHashes {
    sums: Vec<Block>,
}

impl Default for RowHashes {
    fn default() -> Self {
        Self { sums: vec![Block::ZERO; ROWS] }
    }
}

impl RowHashes {
    /// Takes in a chunk: `rows` of `width` pieces each, after its corrections.
    pub(crate) fn absorb(
        &mut self,
        transcript: &mut CheckTranscript,
        corrections: &[[u8; 16]],
        rows: &[[u8; 16]],
        width: usize,
    ) {
        let challenge = transcript.challenge(corrections.as_flattened());
        let powers = gf128::powers(challenge, width);
        gf128::add_row_products(&mut self.sums, rows, width, &powers);
    }

    /// The receiver's answer for this call.
    pub(crate) fn response(&self, transcript: &CheckTranscript) -> CheckResponse {
        let choices = self.sums.first().copied().unwrap_or_default();
        CheckResponse { choices, digest: self.digest(transcript, Block::ZERO, Block::ZERO) }
    }

    /// Whether the receiver's answer fits what the sender has.
    pub(crate) fn accept(
        &self,
        transcript: &CheckTranscript,
        delta: &Delta,
        response: &CheckResponse,
    ) -> bool {
        let digest = self.digest(transcript, delta.block(), response.choices);
        bool::from(digest.ct_eq(&response.digest))
    }

    /// `H(T_j ^ delta_j x)` over j = 1 to 127.
    fn digest(&self, transcript: &CheckTranscript, delta: Block, x: Block) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key(RESPONSE);
        hasher.update(&transcript.context());
        for (row, sum) in (0..).zip(&self.sums).skip(1) {
            let mut bytes = (*sum ^ x.select(delta.bit(row))).to_bytes();
            hasher.update(&bytes);
            bytes.zeroize();
        }
        let digest = *hasher.finalize().as_bytes();
        hasher.zeroize();
        digest
    }
}

/// What the receiver sends at the end of a call: 48 bytes.
pub(crate) struct CheckResponse {
    /// The hash of its choices.
    choices: Block,
    /// The digest of the other rows' hashes.
    digest: [u8; 32],
}

/// Exact bytes of a [`CheckResponse`].
pub(crate) fn response_bytes() -> u64 {
    framed_len(48)
}

impl Message for CheckResponse {
    type Shape = ();
    const KIND: u16 = 0x0303;
    const NAME: &'static str = "consistency check of an OT extension";

    fn encoded_len((): &()) -> usize {
        48
    }
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.choices.to_bytes());
        out.extend_from_slice(&self.digest);
    }
    fn decode(input: &mut Reader<'_>, (): &()) -> Result<Self, DecodeError> {
        Ok(Self { choices: Block::from_bytes(input.array()?), digest: input.array()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gazelle_prg::{Prg, Seed};

    /// Matrices of both parties with errors `errors` (row, piece, value) in the receiver's choices.
    fn run(errors: &[(usize, usize, u128)]) -> (bool, Delta) {
        let mut rng = Prg::new(&Seed::from_bytes([31; 16]), 1);
        let delta = Delta::random(&mut rng);
        let (mut sent, mut received) = (RowHashes::default(), RowHashes::default());
        let [mut one, mut two] = [(); 2].map(|()| CheckTranscript::new("test", &[5; 32], &[]));
        for width in [64usize, 3, 65] {
            let mut t = vec![Block::ZERO; ROWS * width];
            Block::fill_random(&mut t, &mut rng);
            let b = t[..width].to_vec();
            let mut q = t.clone();
            for (at, q) in q.iter_mut().enumerate() {
                let (row, piece) = (at / width, at % width);
                let error = errors.iter().filter(|e| (e.0, e.1) == (row, piece));
                let error = error.fold(Block::ZERO, |sum, e| sum ^ Block(e.2));
                *q ^= (b[piece] ^ error).select(delta.block().bit(row as u32));
            }
            let bytes = |rows: &[Block]| rows.iter().map(|b| b.to_bytes()).collect::<Vec<_>>();
            let corrections = vec![[width as u8; 16]; 3];
            sent.absorb(&mut one, &corrections, &bytes(&q), width);
            received.absorb(&mut two, &corrections, &bytes(&t), width);
        }
        (sent.accept(&one, &delta, &received.response(&two)), delta)
    }

    #[test]
    fn properties_honest_rows_pass_and_errors_are_seen_where_delta_has_a_one() {
        assert!(run(&[]).0);
        let delta = run(&[]).1;
        for row in 1..ROWS {
            let (passed, _) = run(&[(row, 2, 1 << 77)]);
            assert_eq!(passed, !delta.block().bit(row as u32), "row {row}");
        }
        let all: Vec<(usize, usize, u128)> = (0..ROWS).map(|row| (row, 1, 9)).collect();
        assert!(!run(&all).0, "the choices of row 0 are those that count");
    }

    #[test]
    fn properties_challenges_depend_on_all_that_was_said() {
        let challenge = |what: &str, seed: u128, parts: &[&[u8]]| {
            let mut transcript = CheckTranscript::new(what, &[5; 32], &[Block(seed)]);
            parts.iter().map(|part| transcript.challenge(part).0).last()
        };
        let all = [
            challenge("a", 1, &[b"x"]),
            challenge("b", 1, &[b"x"]),
            challenge("a", 2, &[b"x"]),
            challenge("a", 1, &[b"x", b""]),
            challenge("a", 1, &[b"", b"x"]),
            challenge("a", 1, &[b"y", b""]),
        ];
        assert!(all.iter().enumerate().all(|(i, a)| all[..i].iter().all(|b| a != b)));
    }
}
