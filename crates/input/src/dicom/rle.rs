//! RLE lossless (DICOM PS3.5, annex G): one segment of `PackBits` for each byte of each sample, most
//! significant byte first.

/// The frame of a fragment: `pixels * samples` values of `bytes_each` bytes, little-endian, samples
/// interleaved. Nothing is reserved beyond that.
pub(super) fn decode(
    fragment: &[u8],
    pixels: usize,
    samples: usize,
    bytes_each: usize,
) -> Result<Vec<u8>, String> {
    let planes = samples * bytes_each;
    let word = |index: usize| {
        let bytes = fragment.get(4 * index..4 * index + 4)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?) as usize)
    };
    if word(0) != Some(planes) {
        return Err(format!("RLE data that has not {planes} segments"));
    }
    let mut frame = vec![0u8; pixels * planes];
    for plane in 0..planes {
        let start = word(1 + plane).filter(|start| *start >= 64);
        let end = if plane + 1 < planes { word(2 + plane) } else { Some(fragment.len()) };
        let segment = start.zip(end).and_then(|(start, end)| fragment.get(start..end));
        let segment = segment.ok_or("an RLE segment beyond its fragment")?;
        let bytes = unpack(segment, pixels)?;
        // The first segment of a sample is its most significant byte.
        let place = plane / bytes_each * bytes_each + (bytes_each - 1 - plane % bytes_each);
        let places = frame.iter_mut().skip(place).step_by(planes);
        places.zip(bytes).for_each(|(to, byte)| *to = byte);
    }
    Ok(frame)
}

/// The first `len` bytes of a segment; the rest is padding.
fn unpack(segment: &[u8], len: usize) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(len);
    let mut rest = segment;
    while bytes.len() < len {
        let Some((head, tail)) = rest.split_first() else {
            return Err("an RLE segment that ends early".into());
        };
        rest = match *head {
            128 => tail,
            head @ 0..128 => {
                let count = usize::from(head) + 1;
                let (run, tail) = tail.split_at_checked(count).ok_or("a cut run of RLE data")?;
                bytes.extend(run.iter().take(len - bytes.len()));
                tail
            }
            head => {
                let count = 257 - usize::from(head);
                let (byte, tail) = tail.split_first().ok_or("a cut run of RLE data")?;
                bytes.resize(len.min(bytes.len() + count), *byte);
                tail
            }
        };
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answer_packbits_of_the_standard() {
        // The example of Apple's Technical Note 1023.
        let packed = [
            0xfe, 0xaa, 0x02, 0x80, 0x00, 0x2a, 0xfd, 0xaa, 0x03, 0x80, 0x00, 0x2a, 0x22, 0xf7,
            0xaa,
        ];
        let plain = [
            0xaa, 0xaa, 0xaa, 0x80, 0x00, 0x2a, 0xaa, 0xaa, 0xaa, 0xaa, 0x80, 0x00, 0x2a, 0x22,
            0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa,
        ];
        assert_eq!(unpack(&packed, 24).unwrap(), plain);
        assert_eq!(unpack(&packed, 5).unwrap(), plain[..5]);
        assert!(unpack(&packed, 25).is_err() && unpack(&packed[..1], 2).is_err());
        assert!(unpack(&[5, 1, 2], 2).is_err());
    }
}
