//! The pseudorandom generator: AES-128-CTR with a domain byte.

use std::convert::Infallible;

use getrandom::SysRng;
use rand_core::{CryptoRng, TryCryptoRng, TryRng};
use zeroize::Zeroizing;

use crate::ctr::{self, BLOCK, Cipher};
use crate::error::PrgError;
use crate::seed::{FORK_DOMAIN, Seed};

/// Blocks kept ready for small reads.
const BUFFERED: usize = 32;

/// The stream of one seed and domain: bytes of `AES_seed(domain * 2^120 + i)`, i = 0, 1, ...
///
/// A byte stream: how it is cut into reads changes nothing. Wiped on drop; never printed.
///
/// [`with_key`](Self::with_key) adds a second cipher under a key of its own, for secrets: a guess of one
/// AES-128 key could be tested against everything that a long session publishes at once.
pub struct Prg {
    cipher: Cipher,
    /// Its stream is added, if there is one.
    second: Option<Box<Cipher>>,
    domain: u8,
    /// Index of the next block that has not been produced.
    next: u128,
    buffer: [u8; BUFFERED * BLOCK],
    /// Bytes of `buffer` already handed out.
    used: usize,
}

impl Prg {
    /// The stream of `seed` for `domain` (0 to 254; 255 belongs to [`Seed::fork`]).
    pub fn new(seed: &Seed, domain: u8) -> Self {
        debug_assert_ne!(domain, FORK_DOMAIN, "domain 255 is reserved for forking");
        Self {
            cipher: Cipher::new(seed.bytes()),
            second: None,
            domain,
            next: 0,
            buffer: [0; BUFFERED * BLOCK],
            used: BUFFERED * BLOCK,
        }
    }

    /// The stream of a key of 256 bits: the XOR of the streams of its two halves.
    ///
    /// Cost: two AES calls per block.
    pub fn with_key(key: &[u8; 32], domain: u8) -> Self {
        let [low, high] = [0, 16].map(|from| {
            let mut half = Zeroizing::new([0u8; 16]);
            half.iter_mut().zip(key.iter().skip(from)).for_each(|(to, from)| *to = *from);
            Seed::from_bytes(*half)
        });
        let mut prg = Self::new(&low, domain);
        prg.second = Some(Box::new(Cipher::new(high.bytes())));
        prg
    }

    fn refill(&mut self) {
        let mut buffer = [0; BUFFERED * BLOCK];
        let (blocks, _) = buffer.as_chunks_mut::<BLOCK>();
        self.produce(blocks);
        self.buffer = buffer;
        wipe(&mut buffer);
        self.used = 0;
    }

    /// The next blocks of the stream.
    fn produce(&mut self, blocks: &mut [[u8; BLOCK]]) {
        ctr::keystream(&self.cipher, self.domain, self.next, blocks);
        if let Some(second) = &self.second {
            let mut mask = [[0; BLOCK]; BUFFERED];
            for (first, blocks) in (0u128..).zip(blocks.chunks_mut(BUFFERED)) {
                let (mask, _) = mask.split_at_mut(blocks.len());
                let first = self.next + first * BUFFERED as u128;
                ctr::keystream(second, self.domain, first, mask);
                let bytes = blocks.as_flattened_mut().iter_mut().zip(mask.as_flattened());
                bytes.for_each(|(byte, mask)| *byte ^= *mask);
            }
            wipe(mask.as_flattened_mut());
        }
        self.next += blocks.len() as u128;
    }

    /// Copies from the buffer as much as it has; returns what is left of `out`.
    fn drain<'a>(&mut self, out: &'a mut [u8]) -> &'a mut [u8] {
        let ready = self.buffer.get(self.used..).unwrap_or_default();
        let count = ready.len().min(out.len());
        let (now, later) = out.split_at_mut(count);
        if let Some(ready) = ready.get(..count) {
            now.copy_from_slice(ready);
        }
        self.used += count;
        later
    }
}

impl TryRng for Prg {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0u8; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0u8; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        let rest = self.drain(out);
        if rest.is_empty() {
            return Ok(());
        }
        // Long reads go straight to the caller's memory; a partial last block passes the buffer.
        let (blocks, tail) = rest.as_chunks_mut::<BLOCK>();
        let direct = if blocks.len() >= BUFFERED { blocks.len() } else { 0 };
        let (bulk, small) = blocks.split_at_mut(direct);
        self.produce(bulk);
        for part in [small.as_flattened_mut(), tail] {
            let mut part = part;
            while !part.is_empty() {
                if self.used == self.buffer.len() {
                    self.refill();
                }
                part = self.drain(part);
            }
        }
        Ok(())
    }
}

impl TryCryptoRng for Prg {}

impl Drop for Prg {
    fn drop(&mut self) {
        wipe(&mut self.buffer);
    }
}

/// Wide stores (`zeroize` writes byte by byte); the black box keeps them.
fn wipe(bytes: &mut [u8]) {
    bytes.fill(0);
    std::hint::black_box(bytes);
}

impl std::fmt::Debug for Prg {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Prg(..)")
    }
}

/// A generator keyed by 256 bits of fresh entropy of the operating system.
///
/// # Errors
/// [`PrgError::Entropy`] if the operating system gives none.
pub fn system_rng() -> Result<Prg, PrgError> {
    let mut key = Zeroizing::new([0u8; 32]);
    SysRng.try_fill_bytes(&mut *key)?;
    Ok(Prg::with_key(&key, 0))
}

/// A generator keyed by 256 bits of fresh entropy of the operating system and as many of `rng`: what it
/// gives does not repeat where a process was cloned or restored with the state of `rng`, and is as good as
/// the better of both.
///
/// # Errors
/// As [`system_rng`].
pub fn refreshed(rng: &mut (dyn CryptoRng + Send)) -> Result<Prg, PrgError> {
    let (mut key, mut own) = (Zeroizing::new([0u8; 32]), Zeroizing::new([0u8; 32]));
    SysRng.try_fill_bytes(&mut *key)?;
    rng.fill_bytes(&mut *own);
    key.iter_mut().zip(own.iter()).for_each(|(key, own)| *key ^= own);
    Ok(Prg::with_key(&key, 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keystream::Keystream;
    use proptest::prelude::*;

    fn seed() -> Seed {
        Seed::from_bytes(std::array::from_fn(|i| i as u8))
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
    }

    /// `head -c 80 /dev/zero | openssl enc -aes-128-ctr -K 000102..0f -iv <domain>00..00` (OpenSSL 3).
    const OPENSSL: [(u8, &str); 3] = [
        (
            0x00,
            "c6a13b37878f5b826f4f8162a1c8d8797346139595c0b41e497bbde365f42d0a49d68753999ba68ce3897a68\
             6081b09db9ad2b2e346ac238505d365e9cb7fc563063b6df0a2cdbb0851251d2c669d1bf",
        ),
        (
            0x05,
            "789dc76ccb52ce1c3db90ecb357af60e169ad311f94bb32eb766dd50d48c6c09b11f332a7b2f7b390b0ea596\
             75f327ce38a929c313b975edf92dce4f950ffffe336aa75fdaf84085970741717198a36d",
        ),
        (
            0xfe,
            "ce9f43732387c75e62c5b3bebf01f5ab3e9a32f43f45b2652b2f828a85a87a6635bb8637fdd79d079f9e575f\
             1d9160e7dd3aaf8364b5ccd9c256fc8ebf743e5ef1d942f693e3b2195c6dc67d6345c3f1",
        ),
    ];

    #[test]
    fn known_answer_streams_are_those_of_openssl() {
        for (domain, expected) in OPENSSL {
            let mut bytes = [0u8; 80];
            Prg::new(&seed(), domain).fill_bytes(&mut bytes);
            assert_eq!(hex(&bytes), expected);
        }
    }

    /// As above with `-iv 070000000000000000000000ffffffff`: the counter carries into its fifth byte.
    #[test]
    fn known_answer_the_counter_carries_beyond_32_bits() {
        let mut blocks = [[0u8; 16]; 3];
        Keystream::new(&seed(), 7).fill(0xffff_ffff, &mut blocks);
        let expected = "dbd3778844800d5261b7f8f6679d83b05e9a93d3e0d51ffa86313aeda8d2ab04\
                        f997ec56ee13bd65eff91160ec009c25";
        assert_eq!(hex(blocks.as_flattened()), expected);
    }

    /// `openssl enc -aes-128-ecb` of `ff03 000000000000 0102030405060708`.
    #[test]
    fn known_answer_forking_encrypts_domain_and_index() {
        let fork = seed().fork(3, 0x0102_0304_0506_0708);
        assert_eq!(hex(fork.bytes()), "fb1fccdc27cfe0e7361f30e6dfe92690");
    }

    #[test]
    fn properties_forks_streams_and_system_generators_differ() {
        let mut seen = std::collections::HashSet::new();
        for domain in 0..4 {
            for index in 0..4 {
                assert!(seen.insert(*seed().fork(domain, index).bytes()));
            }
            let mut first = [0; 16];
            Prg::new(&seed(), domain).fill_bytes(&mut first);
            assert!(seen.insert(first));
        }
        let (mut a, mut b) = (system_rng().unwrap(), system_rng().unwrap());
        assert_ne!(a.next_u64(), b.next_u64());
    }

    #[test]
    fn known_answer_a_stream_of_256_bits_is_the_sum_of_its_halves_streams() {
        let key: [u8; 32] = std::array::from_fn(|i| (7 * i) as u8);
        let half = |from: usize| {
            let seed = Seed::from_bytes(std::array::from_fn(|i| key[from + i]));
            let mut bytes = vec![0u8; 3000];
            Prg::new(&seed, 6).fill_bytes(&mut bytes);
            bytes
        };
        let sum: Vec<u8> = half(0).into_iter().zip(half(16)).map(|(a, b)| a ^ b).collect();
        let mut prg = Prg::with_key(&key, 6);
        let mut bytes = vec![0u8; 3000];
        for part in bytes.chunks_mut(700) {
            prg.fill_bytes(part);
        }
        assert_eq!(bytes, sum);
    }

    /// A process restored from a snapshot, or cloned, has its generator's state twice.
    #[test]
    fn properties_equal_states_give_different_refreshed_generators() {
        let draw = || refreshed(&mut Prg::new(&seed(), 1)).unwrap().next_u64();
        assert_ne!(draw(), draw());
    }

    #[test]
    fn properties_secrets_do_not_print() {
        assert_eq!(format!("{:?}", seed()), "Seed(..)");
        assert_eq!(format!("{:?}", Prg::new(&seed(), 1)), "Prg(..)");
        assert_eq!(format!("{:?}", Keystream::new(&seed(), 1)), "Keystream(..)");
    }

    proptest! {
        #[test]
        fn properties_cutting_a_stream_into_reads_changes_nothing(
            cuts in prop::collection::vec(0usize..1500, 1..12),
        ) {
            let total = cuts.iter().sum();
            let mut whole = vec![0u8; total];
            Prg::new(&seed(), 9).fill_bytes(&mut whole);
            let mut pieces = Vec::new();
            let mut prg = Prg::new(&seed(), 9);
            for cut in cuts {
                let mut piece = vec![0u8; cut];
                prg.fill_bytes(&mut piece);
                pieces.extend(piece);
            }
            prop_assert_eq!(whole, pieces);
        }

        #[test]
        fn properties_random_access_reads_the_same_stream(first in 0u64..500, count in 0usize..200) {
            let mut whole = vec![0u8; 16 * (first as usize + count)];
            Prg::new(&seed(), 2).fill_bytes(&mut whole);
            let mut blocks = vec![[0u8; 16]; count];
            Keystream::new(&seed(), 2).fill(first, &mut blocks);
            prop_assert_eq!(&whole[16 * first as usize..], blocks.as_flattened());
        }

        #[test]
        fn properties_words_are_read_little_endian_from_the_stream(skip in 0usize..40) {
            let mut bytes = vec![0u8; skip + 8];
            Prg::new(&seed(), 4).fill_bytes(&mut bytes);
            let mut prg = Prg::new(&seed(), 4);
            prg.fill_bytes(&mut bytes[..skip]);
            let expected = u64::from_le_bytes(bytes[skip..].try_into().unwrap());
            prop_assert_eq!(prg.next_u64(), expected);
        }
    }
}
