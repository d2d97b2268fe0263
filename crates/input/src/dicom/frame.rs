//! Pixel data as stored values: sizes are checked before anything is decoded.

use jpeg_decoder::{CodingProcess, ColorTransform, Decoder, PixelFormat};

use crate::dicom::elements::{Coding, Elements, StoredPixels};
use crate::dicom::rle;
use crate::picture::MAX_PIXELS;

/// What samples mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Photometric {
    /// Large values are dark.
    Monochrome1,
    /// Large values are bright.
    Monochrome2,
    /// Red, green, blue; of JPEG also what becomes these.
    Rgb,
}

/// One frame.
#[derive(Debug)]
pub(super) struct StoredFrame {
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) photometric: Photometric,
    /// `rows * columns` stored values, of colours three each, interleaved.
    pub(super) values: Vec<i32>,
    /// Least and largest value that the stored bits can hold.
    pub(super) ends: [i32; 2],
}

/// How a frame lies in bytes.
struct PixelForm {
    rows: usize,
    columns: usize,
    samples: usize,
    bytes_each: usize,
    bits: u32,
    signed: bool,
    planar: bool,
}

impl PixelForm {
    /// Checks everything that a header says of a frame.
    fn of(elements: &Elements) -> Result<Self, String> {
        let missing = |name: &'static str| move || format!("a DICOM file without {name}");
        let frames = elements.frames.as_deref().filter(|text| !text.is_empty()).unwrap_or("1");
        if frames != "1" {
            return Err(format!(
                "a DICOM file of {frames:?} frames; give the one that is meant, as a file of its own: \
                 dcm2pnm --frame 1 in.dcm out.png"
            ));
        }
        let rows = usize::from(elements.rows.ok_or_else(missing("rows"))?);
        let columns = usize::from(elements.columns.ok_or_else(missing("columns"))?);
        if rows == 0 || columns == 0 || (rows * columns) as u64 > MAX_PIXELS {
            return Err(format!("{columns} x {rows} pixels, not 1 to {MAX_PIXELS} in all"));
        }
        let samples = usize::from(elements.samples.unwrap_or(1));
        let allocated = elements.bits_allocated.ok_or_else(missing("bits allocated"))?;
        let bits = elements.bits_stored.unwrap_or(allocated);
        let high = elements.high_bit.unwrap_or(bits.saturating_sub(1));
        if !matches!(allocated, 8 | 16) || !(1..=allocated).contains(&bits) || high != bits - 1 {
            return Err(format!(
                "samples of {allocated} bits, {bits} of them stored up to bit {high}; samples of 8 or \
                 16 bits with the stored ones lowest can be read"
            ));
        }
        Ok(Self {
            rows,
            columns,
            samples,
            bytes_each: usize::from(allocated / 8),
            bits: u32::from(bits),
            signed: elements.signed.unwrap_or(0) == 1,
            planar: elements.planar.unwrap_or(0) == 1,
        })
    }

    fn pixels(&self) -> usize {
        self.rows * self.columns
    }

    fn bytes(&self) -> usize {
        self.pixels() * self.samples * self.bytes_each
    }
}

/// Decodes the one frame of a file.
pub(super) fn decode(elements: &Elements) -> Result<StoredFrame, String> {
    let form = PixelForm::of(elements)?;
    let photometric = photometric(elements, &form)?;
    let bytes = match (&elements.pixels, elements.coding) {
        (StoredPixels::Native(bytes), Coding::Native) => {
            // An odd length is padded.
            let len = form.bytes();
            bytes
                .get(..len)
                .filter(|_| bytes.len() <= len + 1)
                .map(<[u8]>::to_vec)
                .ok_or_else(|| format!("{} bytes of pixel data instead of {len}", bytes.len()))?
        }
        (StoredPixels::Fragments(fragments), Coding::Rle) => match fragments.as_slice() {
            [fragment] => rle(fragment, &form, elements.file_bytes)?,
            _ => return Err(format!("{} fragments of RLE data for one frame", fragments.len())),
        },
        (StoredPixels::Fragments(fragments), Coding::Jpeg) => {
            jpeg(&fragments.concat(), &form, photometric, elements)?
        }
        _ => return Err("pixel data that is not coded as the file says".into()),
    };
    let interleaved = elements.coding == Coding::Native && form.planar && form.samples == 3;
    let bytes = if interleaved { from_planes(&bytes, form.pixels()) } else { bytes };
    let shift = 32 - form.bits;
    // Bits above the stored ones may hold overlays.
    let value = |raw: u32| {
        let high = raw << shift;
        if form.signed { (high as i32) >> shift } else { (high >> shift) as i32 }
    };
    let values = if form.bytes_each == 1 {
        bytes.iter().map(|byte| value(u32::from(*byte))).collect()
    } else {
        let (pairs, _) = bytes.as_chunks::<2>();
        pairs.iter().map(|pair| value(u32::from(u16::from_le_bytes(*pair)))).collect()
    };
    let half = 1i32 << (form.bits - 1);
    let ends = if form.signed { [-half, half - 1] } else { [0, 2 * half - 1] };
    Ok(StoredFrame { rows: form.rows, columns: form.columns, photometric, values, ends })
}

/// What the samples mean; what cannot be shown is refused by name.
fn photometric(elements: &Elements, form: &PixelForm) -> Result<Photometric, String> {
    let name = elements.photometric.as_deref().ok_or("a DICOM file without an interpretation")?;
    let jpeg = elements.coding == Coding::Jpeg;
    let eight = form.samples == 3 && form.bytes_each == 1 && form.bits == 8 && !form.signed;
    match name {
        "MONOCHROME1" if form.samples == 1 => Ok(Photometric::Monochrome1),
        "MONOCHROME2" if form.samples == 1 => Ok(Photometric::Monochrome2),
        "RGB" if eight => Ok(Photometric::Rgb),
        // The JPEG decoder makes red, green and blue of these.
        "YBR_FULL" | "YBR_FULL_422" if eight && jpeg => Ok(Photometric::Rgb),
        _ => Err(format!(
            "pixels of {} samples of {} bits, {name:?}, cannot be read; convert it with dcmtk: dcm2pnm \
             in.dcm out.png",
            form.samples, form.bits
        )),
    }
}

/// Two bytes of `PackBits` become 128 at most: no more than that is reserved for.
fn rle(fragment: &[u8], form: &PixelForm, file_bytes: usize) -> Result<Vec<u8>, String> {
    if form.bytes() / 64 > file_bytes {
        return Err("RLE data too short for the frame's size".into());
    }
    rle::decode(fragment, form.pixels(), form.samples, form.bytes_each)
}

/// A JPEG that has the size that the file says.
fn jpeg(
    data: &[u8],
    form: &PixelForm,
    photometric: Photometric,
    elements: &Elements,
) -> Result<Vec<u8>, String> {
    let fail = |error: jpeg_decoder::Error| format!("a damaged JPEG inside: {error}");
    let mut decoder = Decoder::new(data);
    // Without a word of its own in the stream, its meaning is the file's.
    if photometric == Photometric::Rgb {
        let colours = elements.photometric.as_deref() == Some("RGB");
        decoder.set_color_transform(if colours {
            ColorTransform::RGB
        } else {
            ColorTransform::YCbCr
        });
    }
    decoder.set_max_decoding_buffer_size(form.bytes().saturating_add(1));
    decoder.read_info().map_err(fail)?;
    let info = decoder.info().ok_or("a JPEG inside without a frame")?;
    if info.coding_process == CodingProcess::DctProgressive {
        return Err("a progressive JPEG inside, which DICOM does not know".into());
    }
    let (samples, bytes_each) = match info.pixel_format {
        PixelFormat::L8 => (1, 1),
        PixelFormat::L16 => (1, 2),
        PixelFormat::RGB24 => (3, 1),
        PixelFormat::CMYK32 => (4, 1),
    };
    let size = (usize::from(info.height), usize::from(info.width), samples, bytes_each);
    if size != (form.rows, form.columns, form.samples, form.bytes_each) {
        return Err(format!(
            "a JPEG inside of {} x {} pixels with {samples} samples of {bytes_each} bytes; the file says \
             {} x {} with {} of {}",
            info.width, info.height, form.columns, form.rows, form.samples, form.bytes_each
        ));
    }
    let bytes = decoder.decode().map_err(fail)?;
    if bytes.len() != form.bytes() {
        return Err(format!("{} bytes of pixels instead of {}", bytes.len(), form.bytes()));
    }
    // 16-bit samples come in the machine's order.
    Ok(if bytes_each == 2 {
        let (pairs, _) = bytes.as_chunks::<2>();
        pairs.iter().flat_map(|pair| u16::from_ne_bytes(*pair).to_le_bytes()).collect()
    } else {
        bytes
    })
}

/// Three planes of bytes as interleaved pixels.
fn from_planes(bytes: &[u8], pixels: usize) -> Vec<u8> {
    let at = |place: usize| bytes.get(place).copied().unwrap_or_default();
    (0..pixels).flat_map(|i| [at(i), at(pixels + i), at(2 * pixels + i)]).collect()
}
