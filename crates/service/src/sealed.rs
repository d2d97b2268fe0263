//! Sealed files: only the holder of a key reads them, and a changed, shortened or exchanged one is noticed.
//!
//! `magic [16] | nonce [19] | n u32 | header [n + 16] | chunks [65,536 + 16] .. | last chunk [0 to 65,536 + 16]`:
//! STREAM over XChaCha20-Poly1305 (`aead-stream`), the header as its first segment. Written and read in chunks,
//! so that neither needs the whole content in memory.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;

use aead_stream::{DecryptorBE32, EncryptorBE32, Nonce, StreamBE32};
use chacha20poly1305::{Key, XChaCha20Poly1305};
use data_encoding::HEXLOWER;
use zeroize::{Zeroize, Zeroizing};

use crate::entropy::random;
use crate::error::ServiceError;
use crate::home::{create_private, read_private};
use crate::identity::Identity;

const MAGIC: &[u8; 16] = b"gazelle sealed 1";
/// Magic, nonce, length of the header: without the nonce the key opens nothing.
pub(crate) const BEGINNING: usize = 16 + 19 + 4;
const CHUNK: usize = 1 << 16;
const TAG: usize = 16;
/// A header's longest form.
const HEADER: usize = 4096;
/// Memory and passes of argon2id on a passphrase: 64 MiB, 3.
const ARGON: (u32, u32) = (64 * 1024, 3);

/// The key of a store.
#[derive(Clone)]
pub struct StoreKey(Zeroizing<[u8; 32]>);

impl std::fmt::Debug for StoreKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StoreKey")
    }
}

impl StoreKey {
    /// Follows from the private key of an identity: a new certificate for the same key reads what was sealed.
    pub fn of_identity(identity: &Identity) -> Self {
        Self(Zeroizing::new(blake3::derive_key(
            "gazelle 2026 store key of an identity",
            identity.key.secret_der(),
        )))
    }

    /// Follows from a passphrase by argon2id (64 MiB, 3 passes); `salt` belongs to the store.
    ///
    /// # Errors
    /// [`ServiceError::Store`] if the passphrase is too long for argon2.
    pub fn of_passphrase(passphrase: &str, salt: &[u8; 16]) -> Result<Self, ServiceError> {
        let mut key = Zeroizing::new([0; 32]);
        let derived = argon2::Params::new(ARGON.0, ARGON.1, 1, Some(32)).and_then(|params| {
            argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params)
                .hash_password_into(passphrase.as_bytes(), salt, key.as_mut())
        });
        derived.map_err(|error| ServiceError::Store(format!("the passphrase: {error}")))?;
        Ok(Self(key))
    }

    /// Random bytes in a file of the owner's, made if there is none: keeps a copy of the store from being read
    /// without that file, and no more.
    ///
    /// # Errors
    /// [`ServiceError::File`] or [`ServiceError::Identity`] if it cannot be read or written, or others can read it.
    pub fn in_file(path: &Path) -> Result<Self, ServiceError> {
        if !path.exists() {
            let bytes = Zeroizing::new(random::<32>().map_err(ServiceError::file(path))?);
            create_private(path, Zeroizing::new(HEXLOWER.encode(&*bytes)).as_bytes())?;
        }
        let text = Zeroizing::new(read_private(path)?);
        let bytes = HEXLOWER.decode(text.trim().as_bytes()).ok().map(Zeroizing::new);
        let bytes = bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes.as_slice()).ok());
        bytes.map(Self::new).ok_or_else(|| ServiceError::identity(path, "not a key of a store"))
    }

    /// These bytes; they are to be as secret as what is sealed.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// What a file of this name is called in a store: tells nothing without the key.
    pub(crate) fn name(&self, parts: &[&[u8]]) -> String {
        let key = Zeroizing::new(blake3::derive_key("gazelle 2026 names in a store", &*self.0));
        let mut hasher = blake3::Hasher::new_keyed(&key);
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
        }
        let name = hasher.finalize().to_hex().chars().take(32).collect();
        hasher.zeroize();
        name
    }

    fn cipher(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(blake3::derive_key("gazelle 2026 sealed files", &*self.0))
    }
}

fn changed() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "it was changed, cut off, or sealed with another key",
    )
}

/// Writes a sealed file; without [`finish`](Self::finish) it is none.
pub(crate) struct SealedWriter<W> {
    out: W,
    seal: EncryptorBE32<XChaCha20Poly1305>,
    chunk: Zeroizing<Vec<u8>>,
}

impl<W: Write> SealedWriter<W> {
    /// Begins with a header of at most 4 KiB.
    pub(crate) fn new(mut out: W, key: &StoreKey, header: &[u8]) -> io::Result<Self> {
        if header.len() > HEADER {
            return Err(io::Error::other("a header of more than 4 KiB"));
        }
        let nonce: [u8; 19] = random()?;
        let mut seal = EncryptorBE32::new(&Key::from(*key.cipher()), &nonce_of(nonce));
        out.write_all(MAGIC)?;
        out.write_all(&nonce)?;
        out.write_all(&(header.len() as u32).to_le_bytes())?;
        out.write_all(&seal.encrypt_next(header).map_err(|_| changed())?)?;
        let chunk = Zeroizing::new(Vec::with_capacity(CHUNK + TAG));
        Ok(Self { out, seal, chunk })
    }

    /// Seals the end; what is written to.
    pub(crate) fn finish(self) -> io::Result<W> {
        let Self { mut out, seal, mut chunk } = self;
        seal.encrypt_last_in_place(b"", &mut *chunk).map_err(|_| changed())?;
        out.write_all(&chunk)?;
        Ok(out)
    }
}

impl<W: Write> Write for SealedWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.chunk.len() == CHUNK {
            self.seal.encrypt_next_in_place(b"", &mut *self.chunk).map_err(|_| changed())?;
            self.out.write_all(&self.chunk)?;
            self.chunk.clear();
        }
        let taken = bytes.len().min(CHUNK - self.chunk.len());
        self.chunk.extend_from_slice(bytes.get(..taken).unwrap_or(bytes));
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        // A chunk is sealed when it is full, or the last one.
        Ok(())
    }
}

/// Reads a sealed file.
pub(crate) struct SealedReader<R> {
    input: BufReader<R>,
    seal: Option<DecryptorBE32<XChaCha20Poly1305>>,
    chunk: Zeroizing<Vec<u8>>,
    /// Bytes of the chunk that have been read.
    read: usize,
}

impl<R: Read> SealedReader<R> {
    /// The header, and a reader of what follows it.
    pub(crate) fn new(input: R, key: &StoreKey) -> io::Result<(Vec<u8>, Self)> {
        let mut input = BufReader::with_capacity(CHUNK + TAG, input);
        let mut begin = [0; BEGINNING];
        input.read_exact(&mut begin).map_err(|_| changed())?;
        let (magic, rest) = begin.split_at(16);
        let (nonce, length) = rest.split_at(19);
        let (Ok(nonce), Ok(length)) = (<[u8; 19]>::try_from(nonce), <[u8; 4]>::try_from(length))
        else {
            return Err(changed());
        };
        let length = u32::from_le_bytes(length) as usize;
        if magic != MAGIC || length > HEADER {
            return Err(changed());
        }
        let mut seal = DecryptorBE32::new(&Key::from(*key.cipher()), &nonce_of(nonce));
        let mut header = vec![0; length + TAG];
        input.read_exact(&mut header).map_err(|_| changed())?;
        seal.decrypt_next_in_place(b"", &mut header).map_err(|_| changed())?;
        let chunk = Zeroizing::new(Vec::with_capacity(CHUNK + TAG));
        Ok((header, Self { input, seal: Some(seal), chunk, read: 0 }))
    }

    /// The next chunk; whether there was one.
    fn next(&mut self) -> io::Result<bool> {
        let Some(mut seal) = self.seal.take() else { return Ok(false) };
        self.chunk.clear();
        self.read = 0;
        let whole = (CHUNK + TAG) as u64;
        self.input.by_ref().take(whole).read_to_end(&mut self.chunk)?;
        let last = self.input.fill_buf()?.is_empty();
        if last {
            seal.decrypt_last_in_place(b"", &mut *self.chunk).map_err(|_| changed())?;
        } else {
            seal.decrypt_next_in_place(b"", &mut *self.chunk).map_err(|_| changed())?;
            self.seal = Some(seal);
        }
        Ok(true)
    }
}

impl<R: Read> Read for SealedReader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.read == self.chunk.len() {
            if !self.next()? {
                return Ok(0);
            }
        }
        let rest = self.chunk.get(self.read..).unwrap_or_default();
        let count = rest.len().min(out.len());
        out.iter_mut().zip(rest).for_each(|(out, byte)| *out = *byte);
        self.read += count;
        Ok(count)
    }
}

fn nonce_of(bytes: [u8; 19]) -> Nonce<XChaCha20Poly1305, StreamBE32<XChaCha20Poly1305>> {
    bytes.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal(key: &StoreKey, header: &[u8], body: &[u8]) -> Vec<u8> {
        let mut writer = SealedWriter::new(Vec::new(), key, header).unwrap();
        writer.write_all(body).unwrap();
        writer.finish().unwrap()
    }

    fn open(key: &StoreKey, bytes: &[u8]) -> io::Result<(Vec<u8>, Vec<u8>)> {
        let (header, mut reader) = SealedReader::new(bytes, key)?;
        let mut body = Vec::new();
        reader.read_to_end(&mut body)?;
        Ok((header, body))
    }

    #[test]
    fn properties_what_was_sealed_comes_back_at_every_edge_of_a_chunk() {
        let key = StoreKey::new([7; 32]);
        for length in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 5] {
            let body: Vec<u8> = (0..length).map(|i| ((i * 31) >> 3) as u8).collect();
            let sealed = seal(&key, b"header", &body);
            assert_eq!(open(&key, &sealed).unwrap(), (b"header".to_vec(), body.clone()));
            assert_ne!(sealed, seal(&key, b"header", &body), "a nonce of its own");
        }
    }

    #[test]
    fn adversarial_a_flip_a_cut_an_exchange_and_another_key_are_noticed() {
        let key = StoreKey::new([7; 32]);
        let body = vec![9; 2 * CHUNK + 100];
        let sealed = seal(&key, b"header", &body);
        for at in [0, 16, 30, 36, 40, 50, 60, 70, CHUNK, sealed.len() - 1] {
            let mut flipped = sealed.clone();
            flipped[at] ^= 1;
            assert!(open(&key, &flipped).is_err(), "byte {at}");
        }
        let first = 16 + 19 + 4 + 6 + TAG;
        for length in [0, 10, 39, first, first + CHUNK + TAG, first + 2 * (CHUNK + TAG)] {
            assert!(open(&key, &sealed[..length]).is_err(), "{length} bytes");
        }
        let mut exchanged = sealed.clone();
        let (one, two) = exchanged[first..].split_at_mut(CHUNK + TAG);
        one.swap_with_slice(&mut two[..CHUNK + TAG]);
        assert!(open(&key, &exchanged).is_err());
        let mut longer = sealed.clone();
        longer.push(0);
        assert!(open(&key, &longer).is_err());
        assert!(open(&StoreKey::new([8; 32]), &sealed).is_err());
        assert!(open(&key, &sealed).is_ok());
    }

    #[test]
    fn keys_of_passphrases_depend_on_the_salt() {
        let key = |passphrase, salt| *StoreKey::of_passphrase(passphrase, &salt).unwrap().0;
        assert_eq!(key("correct horse", [1; 16]), key("correct horse", [1; 16]));
        assert_ne!(key("correct horse", [1; 16]), key("correct horse", [2; 16]));
        assert_ne!(key("correct horse", [1; 16]), key("battery staple", [1; 16]));
    }
}
