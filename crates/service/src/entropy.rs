//! Random bytes of the operating system.

use std::io;

use aws_lc_rs::rand::{SecureRandom, SystemRandom};

/// So many of them.
pub(crate) fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| io::Error::other("no random bytes"))?;
    Ok(bytes)
}
