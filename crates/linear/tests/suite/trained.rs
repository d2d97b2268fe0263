//! Just enough of ONNX (protobuf) to read one trained weight tensor.

use std::path::PathBuf;

use gazelle_share::{LinearOp, LinearWeights};

/// The trained weights of the first convolution of that shape in a model of the shared data, at
/// scale `2^weight_bits`; nothing if the data is not there.
pub(crate) fn weights(model: &str, op: &LinearOp, weight_bits: u32) -> Option<LinearWeights> {
    let LinearOp::Conv(conv) = op else { return None };
    let wanted = [conv.maps, conv.input.channels, conv.kernel[0], conv.kernel[1]];
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/models");
    let bytes = std::fs::read(root.join(model).join("model.onnx")).ok()?;
    // ModelProto.graph = 7, GraphProto.initializer = 5.
    let tensors = fields(&bytes)
        .into_iter()
        .filter(|field| field.number == 7)
        .flat_map(|graph| fields(graph.bytes))
        .filter(|field| field.number == 5);
    for tensor in tensors {
        // TensorProto: dims = 1, raw_data = 9.
        let parts = fields(tensor.bytes);
        let mut dims = Vec::new();
        for part in parts.iter().filter(|part| part.number == 1) {
            let mut packed = part.bytes;
            dims.extend(part.value.map(|value| value as usize));
            while let Some(value) = varint(&mut packed) {
                dims.push(value as usize);
            }
        }
        let raw = parts.iter().find(|part| part.number == 9).map(|part| part.bytes);
        if let (true, Some(raw)) = (dims == wanted, raw) {
            let scale = f64::from(weight_bits).exp2();
            let word = |chunk: &[u8]| f32::from_le_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]);
            let integer = |w: f32| (f64::from(w) * scale).round() as i32;
            let weights = raw.chunks_exact(4).map(|chunk| integer(word(chunk))).collect();
            return Some(LinearWeights { weights, bias: Vec::new() });
        }
    }
    None
}

/// A field of a protobuf message: its bytes, or its number.
struct Field<'a> {
    number: u64,
    value: Option<u64>,
    bytes: &'a [u8],
}

fn fields(mut message: &[u8]) -> Vec<Field<'_>> {
    let mut found = Vec::new();
    while let Some(key) = varint(&mut message) {
        let mut field = Field { number: key >> 3, value: None, bytes: &[] };
        let len = match key & 7 {
            0 => {
                field.value = varint(&mut message);
                0
            }
            1 => 8,
            5 => 4,
            _ => varint(&mut message).unwrap_or(0) as usize,
        };
        let (head, tail) = message.split_at(len.min(message.len()));
        field.bytes = head;
        message = tail;
        found.push(field);
    }
    found
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
