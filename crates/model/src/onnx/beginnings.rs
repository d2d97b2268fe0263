//! What a file is that is no ONNX model, told by how it begins.

/// How a file begins, and what it is then.
const KNOWN: &[(usize, &[u8], &str)] = &[
    (
        0,
        b"gazelle model ",
        "this is a compiled model, which `gazelle serve` takes: give the ONNX file it was made from",
    ),
    (0, LFS, "this is a Git LFS pointer, not the file itself: fetch it with `git lfs pull`"),
    (
        0,
        b"PK\x03\x04",
        "this is a ZIP archive (PyTorch and Keras save such): export the network to ONNX",
    ),
    (0, b"\x89HDF", "this is an HDF5 file (Keras saves such): export the network to ONNX"),
    (4, b"TFL3", "this is a TensorFlow Lite file: convert the network to ONNX"),
    (
        4,
        b"ORTM",
        "this is a file in the format of onnxruntime: give the ONNX file it was made from",
    ),
    (0, b"\x1f\x8b", "the file is compressed with gzip: unpack it first"),
    (0, b"BZh", "the file is compressed with bzip2: unpack it first"),
    (0, b"\xfd7zXZ", "the file is compressed with xz: unpack it first"),
    (0, b"\x28\xb5\x2f\xfd", "the file is compressed with zstd: unpack it first"),
    (257, b"ustar", "this is a tar archive: unpack it first"),
    (
        0,
        b"\x89PNG",
        "this is a PNG picture, not a model: the model comes first on the command line",
    ),
    (
        0,
        b"\xff\xd8\xff",
        "this is a JPEG picture, not a model: the model comes first on the command line",
    ),
    (0, b"GIF8", "this is a GIF picture, not a model: the model comes first on the command line"),
    (
        0,
        b"\x93NUMPY",
        "this is an NPY tensor, not a model: the model comes first on the command line",
    ),
    (0, b"%PDF", "this is a PDF document, not a model"),
    (0, b"\x7fELF", "this is a program, not a model"),
    (0, b"GGUF", "this is a GGUF file of weights without a graph: export the network to ONNX"),
    (0, b"\x80\x02", "this is a Python pickle (PyTorch saves such): export the network to ONNX"),
    (0, b"\x80\x03", "this is a Python pickle (PyTorch saves such): export the network to ONNX"),
    (0, b"\x80\x04", "this is a Python pickle (PyTorch saves such): export the network to ONNX"),
    (8, b"{\"", "these are safetensors, weights without a graph: export the network to ONNX"),
    (0, b"<", "this is a web page or XML, not a model: download the file itself"),
    (0, b"{", "this is JSON, not a model"),
];

/// What a Git LFS pointer begins with.
pub(super) const LFS: &[u8] = b"version https://git-lfs.github.com/spec/";

/// Bytes that are looked at to tell text from a model.
const HEAD: usize = 256;

/// Says what a file is that cannot be an ONNX model; `None` for what may be one.
pub(super) fn known_beginning(bytes: &[u8]) -> Option<&'static str> {
    if bytes.is_empty() {
        return Some("the file is empty");
    }
    // A model begins with the tag of one of its fields and a number or a length. Few of these are
    // also how another kind of file begins.
    let begins = |(at, magic, _): &&(usize, &[u8], &str)| {
        bytes.get(*at..).is_some_and(|rest| rest.starts_with(magic))
    };
    if let Some((_, _, what)) = KNOWN.iter().find(begins) {
        return Some(what);
    }
    let head = bytes.get(..HEAD.min(bytes.len()))?;
    let text = |byte: &u8| matches!(byte, b'\t' | b'\n' | b'\r' | b' '..=b'~');
    if head.iter().all(text) {
        return Some("this is a text file, not a model");
    }
    if head.iter().all(|byte| *byte == 0) {
        return Some("the file begins with zeros: it is no model, or was not written in full");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answer_files_of_other_kinds_are_called_by_their_names() {
        for (bytes, word) in [
            (&b""[..], "empty"),
            (b"\x89PNG\r\n\x1a\n", "PNG"),
            (b"\xff\xd8\xff\xe0", "JPEG"),
            (b"\x93NUMPY\x01\0", "NPY"),
            (b"@\0\0\0\0\0\0\0{\"__metadata__\"", "safetensors"),
            (b"<!DOCTYPE html>", "web page"),
            (b"<html>", "web page"),
            (b"hello world\n", "text"),
            (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
            (b"\x80\x02}q\0.", "pickle"),
            (b"\0\0\0\0", "zeros"),
        ] {
            assert!(known_beginning(bytes).unwrap().contains(word), "{word}");
        }
        let mut tar = vec![b'a'; 600];
        tar[257..262].copy_from_slice(b"ustar");
        assert!(known_beginning(&tar).unwrap().contains("tar"));
    }

    #[test]
    fn known_answer_models_are_taken_for_models() {
        // The version, the producer, a graph, an opset: what files begin with.
        for bytes in [
            &b"\x08\x08\x12\x07pytorch"[..],
            b":\x04\n\0\x12\0",
            b"B\x04\n\0\x10\x11",
            b"\x12\x01{",
        ] {
            assert_eq!(known_beginning(bytes), None);
        }
    }
}
