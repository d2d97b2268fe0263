//! Body of the fuzz target for input files: any bytes end in inputs or an error.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::{Content, Source};

/// Endings of the formats that [`Source`] knows.
const ENDINGS: [&str; 8] = [".png", ".jpg", ".npy", ".idx", "-ubyte.gz", ".bin", ".csv", ".dcm"];

/// `data` = which format, then the file.
///
/// # Panics
/// If an input is not what its sizes say: a defect of this crate.
pub fn files(data: &[u8]) {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let Some((kind, bytes)) = data.split_first() else { return };
    let ending = ENDINGS.get(usize::from(*kind) % ENDINGS.len()).copied().unwrap_or_default();
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("gazelle-fuzz-{}-{number}{ending}", std::process::id());
    let path: PathBuf = std::env::temp_dir().join(name);
    if std::fs::write(&path, bytes).is_err() {
        return;
    }
    let inputs: Vec<_> =
        Source::open(&path, 3).map_or_else(|_| Vec::new(), |source| source.inputs().collect());
    let _ = std::fs::remove_file(&path);
    assert!(inputs.len() <= 3, "no more than asked for");
    for input in inputs.into_iter().flatten() {
        match input.content {
            Content::Image(image) => {
                assert_eq!(image.bytes.len(), image.width * image.height * image.channels);
            }
            Content::Scan(scan) => {
                assert_eq!(scan.values.len(), scan.width * scan.height);
                let _ = scan.image(None);
            }
            Content::Tensor(tensor) => {
                let len: u64 = tensor.shape.iter().product();
                assert_eq!(tensor.values.len() as u64, len);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn adversarial_any_input_file_is_survived(
            kind: u8,
            head in prop::sample::select(vec![
                vec![],
                b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec(),
                b"\xff\xd8\xff\xe0\0\x10JFIF\0".to_vec(),
                b"\x93NUMPY\x01\0\x10\0{'descr': '<f4',".to_vec(),
                vec![0, 0, 8, 3, 0, 0, 0, 1],
                vec![0x1f, 0x8b, 8, 0],
                b"II\x2a\0\x08\0\0\0".to_vec(),
                b"RIFF\x20\0\0\0WEBPVP8L".to_vec(),
                b"BM\x46\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0".to_vec(),
                [vec![0; 128], b"DICM\x02\0\0\0UL\x04\0\x20\0\0\0\x02\0\x10\0UI".to_vec()].concat(),
            ]),
            tail in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            super::files(&[vec![kind], head, tail].concat());
        }
    }
}
