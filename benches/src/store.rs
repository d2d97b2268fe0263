//! Benchmarks of `gazelle-service`'s store: an entry of 64 MiB written (on disk when it ends) and read to its end, in a
//! folder for temporary files. The disk's part is in both figures; the limit is AES-256-GCM alone.

use std::io::{self, Read};
use std::time::Duration;

use gazelle_service::{SealedHeader, Store, StoreKey};

use crate::Outcome;
use crate::limits::Limit;
use crate::measure::{Bench, Measurement, repeat};

/// Bytes of an entry.
const ENTRY: usize = 64 << 20;
/// What is read at once: less than a sealed chunk.
const PIECE: usize = 16 << 10;

/// Runs the suite.
pub(crate) fn run(bench: &mut Bench) -> Outcome {
    let (write, read) = ("store/write/entry=64MiB", "store/read/entry=64MiB");
    if !bench.wants(write) && !bench.wants(read) {
        return Ok(());
    }
    let folder = std::env::temp_dir().join(format!("gazelle-bench-store-{}", std::process::id()));
    let store = Store::open(&folder, StoreKey::new([7; 32]), true)?;
    let header = SealedHeader::new("bench", "me", [1; 32], [2; 32], Duration::from_hours(1));
    let content = vec![5u8; ENTRY];
    let measured = measure(bench.seconds(), &store, &header, &content);
    // A figure is worth more than a clean folder for temporary files.
    let _ = std::fs::remove_dir_all(&folder);
    let (written, found) = measured?;
    let limit = bench.limit_ns(Limit::AesGcmBytes)?;
    for (id, seconds) in [(write, written), (read, found)] {
        let figure = Measurement::new(id, ENTRY as u64, &seconds);
        bench.record(&figure.against(Limit::AesGcmBytes, 1.0, limit))?;
    }
    Ok(())
}

/// Seconds of each writing and of each reading.
fn measure(
    budget_s: f64,
    store: &Store,
    header: &SealedHeader,
    content: &[u8],
) -> io::Result<(Vec<f64>, Vec<f64>)> {
    let mut result = Ok(());
    let written = repeat(budget_s, || {
        let put = store.put(header, true, &mut |out| out.write_all(content));
        result = std::mem::replace(&mut result, Ok(())).and(put);
    });
    let mut piece = vec![0; PIECE];
    let found = repeat(budget_s, || {
        let read = read_all(store, header, &mut piece);
        result = std::mem::replace(&mut result, Ok(())).and(read);
    });
    result.map(|()| (written, found))
}

fn read_all(store: &Store, header: &SealedHeader, piece: &mut [u8]) -> io::Result<()> {
    let found = store.find(&header.kind, &header.owner, &header.bound, &header.id)?;
    let (_, mut content) = found.ok_or(io::ErrorKind::NotFound)?;
    let mut bytes = 0;
    loop {
        match content.read(piece)? {
            0 if bytes == ENTRY => return Ok(()),
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => bytes += count,
        }
    }
}
