//! Sealed files: only the holder of a key reads them, and a changed, shortened or exchanged one is noticed.
//!
//! `magic [16] | salt [32] | n u32 | header [n + 16] | chunks [65,536 + 16] .. | last chunk [0 to 65,536 + 16]`
//!
//! STREAM (Hoang, Reyhanitabar, Rogaway, Vizár 2015) over AES-256-GCM (AWS-LC), the header as its first segment.
//! Each file has a key of its own, BLAKE3 of its random salt under the store's key, so that a nonce need only be
//! new within a file: zero [7], number of the segment u32, big-endian, whether it is the last [1]. Written and read
//! in chunks, so that neither needs the whole content in memory.

use std::io::{self, Read, Write};
use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use data_encoding::HEXLOWER;
use zeroize::{Zeroize, Zeroizing};

use crate::entropy::random;
use crate::error::ServiceError;
use crate::home::{create_private, read_private};
use crate::identity::Identity;

/// What all versions of the format begin with; its number follows.
const NAME: &[u8; 15] = b"gazelle sealed ";
/// 1 was XChaCha20-Poly1305 under the store's key.
const VERSION: u8 = b'2';
const SALT: usize = 32;
/// Magic, salt, length of the header: without the salt the key opens nothing.
pub(crate) const BEGINNING: usize = 16 + SALT + 4;
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

    /// Of the file with this salt.
    fn stream(&self, salt: &[u8; SALT]) -> io::Result<SegmentKey> {
        let key = Zeroizing::new(blake3::derive_key("gazelle 2026 keys of sealed files", &*self.0));
        let mut hasher = blake3::Hasher::new_keyed(&key);
        hasher.update(salt);
        let key = Zeroizing::new(*hasher.finalize().as_bytes());
        hasher.zeroize();
        let key = UnboundKey::new(&AES_256_GCM, &*key).map_err(io::Error::other)?;
        Ok(SegmentKey { key: LessSafeKey::new(key), next: 0 })
    }
}

/// Seals or opens the segments of one file, in order.
struct SegmentKey {
    key: LessSafeKey,
    next: u32,
}

impl SegmentKey {
    fn nonce(&mut self, last: bool) -> io::Result<Nonce> {
        let number = self.next;
        self.next = number.checked_add(1).ok_or_else(|| io::Error::other("too long a file"))?;
        let ([a, b, c, d], last) = (number.to_be_bytes(), u8::from(last));
        Ok(Nonce::assume_unique_for_key([0, 0, 0, 0, 0, 0, 0, a, b, c, d, last]))
    }

    /// Appends the tag.
    fn seal(&mut self, segment: &mut Vec<u8>, last: bool) -> io::Result<()> {
        let nonce = self.nonce(last)?;
        self.key.seal_in_place_append_tag(nonce, Aad::empty(), segment).map_err(io::Error::other)
    }

    /// Bytes of what was sealed, which takes the place of the segment's beginning.
    fn open(&mut self, segment: &mut [u8], last: bool) -> io::Result<usize> {
        let nonce = self.nonce(last)?;
        let opened = self.key.open_in_place(nonce, Aad::empty(), segment);
        opened.map(|content| content.len()).map_err(|_| changed())
    }
}

fn invalid(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.into())
}

fn changed() -> io::Error {
    invalid("it was changed, cut off, or sealed with another key")
}

/// Writes a sealed file; without [`finish`](Self::finish) it is none.
pub(crate) struct SealedWriter<W> {
    out: W,
    key: SegmentKey,
    chunk: Zeroizing<Vec<u8>>,
}

impl<W: Write> SealedWriter<W> {
    /// Begins with a header of at most 4 KiB.
    pub(crate) fn new(mut out: W, key: &StoreKey, header: &[u8]) -> io::Result<Self> {
        if header.len() > HEADER {
            return Err(io::Error::other("a header of more than 4 KiB"));
        }
        let salt = random::<SALT>()?;
        let mut key = key.stream(&salt)?;
        let mut begin = Vec::with_capacity(BEGINNING);
        begin.extend_from_slice(NAME);
        begin.push(VERSION);
        begin.extend_from_slice(&salt);
        begin.extend_from_slice(&(header.len() as u32).to_le_bytes());
        out.write_all(&begin)?;
        let mut header = header.to_vec();
        key.seal(&mut header, false)?;
        out.write_all(&header)?;
        let chunk = Zeroizing::new(Vec::with_capacity(CHUNK + TAG));
        Ok(Self { out, key, chunk })
    }

    /// Seals the end; what is written to.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.seal(true)?;
        Ok(self.out)
    }

    fn seal(&mut self, last: bool) -> io::Result<()> {
        self.key.seal(&mut self.chunk, last)?;
        self.out.write_all(&self.chunk)?;
        self.chunk.clear();
        Ok(())
    }
}

impl<W: Write> Write for SealedWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.chunk.len() == CHUNK {
            self.seal(false)?;
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
    input: R,
    /// None behind the last chunk.
    key: Option<SegmentKey>,
    /// A sealed chunk and the first byte of the next; once it is opened, content and what is left.
    buffer: Zeroizing<Vec<u8>>,
    /// Whether that first byte is there.
    ahead: bool,
    /// Bytes of content in the buffer, and how many of them have been read.
    content: usize,
    read: usize,
}

impl<R: Read> SealedReader<R> {
    /// The header, and a reader of what follows it.
    pub(crate) fn new(mut input: R, key: &StoreKey) -> io::Result<(Vec<u8>, Self)> {
        let mut begin = [0; BEGINNING];
        input.read_exact(&mut begin).map_err(|_| changed())?;
        let (magic, rest) = begin.split_at(16);
        let (salt, length) = rest.split_at(SALT);
        let (Ok(salt), Ok(length)) = (<[u8; SALT]>::try_from(salt), <[u8; 4]>::try_from(length))
        else {
            return Err(changed());
        };
        match magic.split_last() {
            Some((&VERSION, name)) if name == NAME => {}
            Some((version, name)) if name == NAME && version.is_ascii_digit() => {
                let version = char::from(*version);
                return Err(invalid(format!(
                    "it was sealed by another version of this program (format {version}, this one reads {})",
                    char::from(VERSION)
                )));
            }
            _ => return Err(changed()),
        }
        let length = u32::from_le_bytes(length) as usize;
        if length > HEADER {
            return Err(changed());
        }
        let mut key = key.stream(&salt)?;
        let mut header = vec![0; length + TAG];
        input.read_exact(&mut header).map_err(|_| changed())?;
        let length = key.open(&mut header, false)?;
        header.truncate(length);
        let buffer = Zeroizing::new(vec![0; CHUNK + TAG + 1]);
        Ok((header, Self { input, key: Some(key), buffer, ahead: false, content: 0, read: 0 }))
    }

    /// Opens the next chunk; whether there was one.
    fn next(&mut self) -> io::Result<bool> {
        let Some(mut key) = self.key.take() else { return Ok(false) };
        (self.content, self.read) = (0, 0);
        let mut filled = usize::from(self.ahead);
        self.buffer.swap(0, CHUNK + TAG);
        while filled < self.buffer.len() {
            let (_, room) = self.buffer.split_at_mut(filled);
            match self.input.read(room) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        // One more byte came: another chunk follows.
        self.ahead = filled > CHUNK + TAG;
        let (chunk, _) = self.buffer.split_at_mut(filled.min(CHUNK + TAG));
        self.content = key.open(chunk, !self.ahead)?;
        if self.ahead {
            self.key = Some(key);
        }
        Ok(true)
    }
}

impl<R: Read> Read for SealedReader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.read == self.content {
            if !self.next()? {
                return Ok(0);
            }
        }
        let rest = self.buffer.get(self.read..self.content).unwrap_or_default();
        let count = rest.len().min(out.len());
        let (out, (rest, _)) = (out.split_at_mut(count).0, rest.split_at(count));
        out.copy_from_slice(rest);
        self.read += count;
        Ok(count)
    }
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
            assert_ne!(sealed, seal(&key, b"header", &body), "a salt of its own");
        }
    }

    #[test]
    fn adversarial_a_flip_a_cut_an_exchange_and_another_key_are_noticed() {
        let key = StoreKey::new([7; 32]);
        let body = vec![9; 2 * CHUNK + 100];
        let sealed = seal(&key, b"header", &body);
        for at in [0, 15, 16, 30, 47, 48, 52, 60, 70, CHUNK, sealed.len() - 1] {
            let mut flipped = sealed.clone();
            flipped[at] ^= 1;
            assert!(open(&key, &flipped).is_err(), "byte {at}");
        }
        let first = BEGINNING + 6 + TAG;
        for length in
            [0, 10, BEGINNING, first, first + 5, first + CHUNK + TAG, first + 2 * (CHUNK + TAG)]
        {
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
    fn known_answer_chunks_are_aes_gcm_under_a_key_and_nonces_that_are_said_above() {
        let key = StoreKey::new([7; 32]);
        let body = vec![9; CHUNK + 100];
        let sealed = seal(&key, b"header", &body);
        let (begin, rest) = sealed.split_at(BEGINNING);
        assert_eq!(begin[..16], *b"gazelle sealed 2");
        assert_eq!(begin[48..], [6, 0, 0, 0]);
        let store = blake3::derive_key("gazelle 2026 keys of sealed files", &[7; 32]);
        let file = blake3::keyed_hash(&store, &begin[16..48]);
        let file = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, file.as_bytes()).unwrap());
        let (header, rest) = rest.split_at(6 + TAG);
        let (first, last) = rest.split_at(CHUNK + TAG);
        let segments = [
            (header, 0, 0, &b"header"[..]),
            (first, 1, 0, &body[..CHUNK]),
            (last, 2, 1, &body[CHUNK..]),
        ];
        for (segment, number, last, content) in segments {
            let nonce = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, number, last];
            let mut segment = segment.to_vec();
            let nonce = Nonce::assume_unique_for_key(nonce);
            assert_eq!(file.open_in_place(nonce, Aad::empty(), &mut segment).unwrap(), content);
        }
    }

    #[test]
    fn a_file_of_another_version_is_told_apart_from_a_changed_one() {
        let key = StoreKey::new([7; 32]);
        let mut sealed = seal(&key, b"header", b"body");
        sealed[15] = b'1';
        let error = open(&key, &sealed).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(error.to_string().contains("format 1, this one reads 2"), "{error}");
    }

    /// Gives a few bytes at a time, as a pipe may.
    struct Slow<'a>(&'a [u8]);

    impl Read for Slow<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let some = out.len().min(40_000);
            self.0.read(&mut out[..some])
        }
    }

    #[test]
    fn a_file_that_comes_in_pieces_is_read_to_its_end() {
        let key = StoreKey::new([7; 32]);
        let body: Vec<u8> = (0..3 * CHUNK).map(|i| (i >> 5) as u8).collect();
        let sealed = seal(&key, b"header", &body);
        let (_, mut reader) = SealedReader::new(Slow(&sealed), &key).unwrap();
        let mut read = Vec::new();
        reader.read_to_end(&mut read).unwrap();
        assert_eq!(read, body);
    }

    #[test]
    fn keys_of_passphrases_depend_on_the_salt() {
        let key = |passphrase, salt| *StoreKey::of_passphrase(passphrase, &salt).unwrap().0;
        assert_eq!(key("correct horse", [1; 16]), key("correct horse", [1; 16]));
        assert_ne!(key("correct horse", [1; 16]), key("correct horse", [2; 16]));
        assert_ne!(key("correct horse", [1; 16]), key("battery staple", [1; 16]));
    }
}
