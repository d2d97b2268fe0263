//! The data elements that a picture needs, found by walking a file's tokens: a value is read only if it is
//! wanted, and never reserved by the length that the file announces. Nested data sets are passed over.

use std::io::Cursor;

use dicom_core::Tag;
use dicom_encoding::TransferSyntax;
use dicom_parser::StatefulDecode;
use dicom_parser::dataset::LazyDataToken;
use dicom_parser::dataset::lazy_read::LazyDataSetReader;
use dicom_transfer_syntax_registry::entries;

/// Bytes of one text or number at most.
const MAX_VALUE: u32 = 4096;
/// Data sets in data sets at most.
const MAX_DEPTH: usize = 64;
/// Fragments of the pixel data at most.
const MAX_FRAGMENTS: usize = 1 << 16;

/// Where the file meta information begins: behind the preamble and `DICM`.
const META: usize = 132;
const PIXEL_DATA: Tag = Tag(0x7fe0, 0x0010);

/// The pixel data as it lies in the file.
#[derive(Debug)]
pub(super) enum StoredPixels {
    /// Values one after another.
    Native(Vec<u8>),
    /// Compressed: fragments, without the table of offsets.
    Fragments(Vec<Vec<u8>>),
}

/// How the pixel data is coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Native,
    Rle,
    Jpeg,
}

/// What a file holds, not yet understood.
#[derive(Debug)]
pub(super) struct Elements {
    pub(super) coding: Coding,
    pub(super) samples: Option<u16>,
    pub(super) photometric: Option<String>,
    pub(super) planar: Option<u16>,
    pub(super) frames: Option<String>,
    pub(super) rows: Option<u16>,
    pub(super) columns: Option<u16>,
    pub(super) bits_allocated: Option<u16>,
    pub(super) bits_stored: Option<u16>,
    pub(super) high_bit: Option<u16>,
    pub(super) signed: Option<u16>,
    pub(super) window_center: Option<String>,
    pub(super) window_width: Option<String>,
    pub(super) voi_function: Option<String>,
    pub(super) intercept: Option<String>,
    pub(super) slope: Option<String>,
    pub(super) has_modality_table: bool,
    pub(super) has_voi_table: bool,
    pub(super) pixels: StoredPixels,
    /// Bytes of the file.
    pub(super) file_bytes: usize,
}

/// What is open: a sequence or an item of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    Sequence,
    Item,
}

impl Elements {
    /// Walks a file up to the end of its pixel data.
    pub(super) fn read(file: &[u8]) -> Result<Self, String> {
        let (syntax, start) = transfer_syntax(file)?;
        let (explicit, coding) = coding(&syntax)?;
        let mut elements = Self {
            coding,
            samples: None,
            photometric: None,
            planar: None,
            frames: None,
            rows: None,
            columns: None,
            bits_allocated: None,
            bits_stored: None,
            high_bit: None,
            signed: None,
            window_center: None,
            window_width: None,
            voi_function: None,
            intercept: None,
            slope: None,
            has_modality_table: false,
            has_voi_table: false,
            pixels: StoredPixels::Native(Vec::new()),
            file_bytes: file.len(),
        };
        let body = file.get(start..).ok_or("the file ends in its header")?;
        if explicit {
            elements.walk(body, &entries::EXPLICIT_VR_LITTLE_ENDIAN.erased())?;
        } else {
            elements.walk(body, &entries::IMPLICIT_VR_LITTLE_ENDIAN.erased())?;
        }
        Ok(elements)
    }

    fn walk(&mut self, body: &[u8], syntax: &TransferSyntax) -> Result<(), String> {
        let damaged = |error: &dyn std::fmt::Display| format!("a damaged DICOM file: {error}");
        let mut reader = LazyDataSetReader::new_with_ts(Cursor::new(body), syntax)
            .map_err(|error| damaged(&error))?;
        let mut open: Vec<Open> = Vec::new();
        let mut fragments: Option<Vec<Vec<u8>>> = None;
        while let Some(token) = reader.advance() {
            let token = token.map_err(|error| damaged(&error))?;
            match token {
                LazyDataToken::SequenceStart { tag, .. } => {
                    if open.is_empty() {
                        self.has_modality_table |= tag == Tag(0x0028, 0x3000);
                        self.has_voi_table |= tag == Tag(0x0028, 0x3010);
                    }
                    open.push(Open::Sequence);
                }
                LazyDataToken::PixelSequenceStart => {
                    if open.is_empty() {
                        fragments = Some(Vec::new());
                    }
                    open.push(Open::Sequence);
                }
                LazyDataToken::ItemStart { len } => {
                    // An empty item has no value: its fragment is empty.
                    if let (Some(found), 1, Some(0)) = (&mut fragments, open.len(), len.get()) {
                        push(found, Vec::new())?;
                    }
                    open.push(Open::Item);
                }
                // The reader of tokens trusts that what is closed was open.
                LazyDataToken::ItemEnd => close(&mut open, Open::Item)?,
                LazyDataToken::SequenceEnd => {
                    close(&mut open, Open::Sequence)?;
                    if let (Some(found), true) = (&mut fragments, open.is_empty()) {
                        if !found.is_empty() {
                            found.remove(0);
                        }
                        self.pixels = StoredPixels::Fragments(std::mem::take(found));
                        return Ok(());
                    }
                }
                LazyDataToken::LazyItemValue { len, decoder } => {
                    let mut value = Vec::new();
                    decoder.read_to_vec(len, &mut value).map_err(|error| damaged(&error))?;
                    if value.len() != len as usize {
                        return Err("the file ends within its pixel data".into());
                    }
                    if let Some(found) = &mut fragments {
                        push(found, value)?;
                    }
                }
                LazyDataToken::LazyValue { header, decoder } => {
                    let top = open.is_empty();
                    let (tag, len) = (header.tag, header.len.0);
                    if top && tag == PIXEL_DATA {
                        let mut value = Vec::new();
                        decoder.read_to_vec(len, &mut value).map_err(|error| damaged(&error))?;
                        self.pixels = StoredPixels::Native(value);
                        return Ok(());
                    }
                    if top && tag.group() == 0x0028 && len <= MAX_VALUE {
                        let mut value = Vec::new();
                        decoder.read_to_vec(len, &mut value).map_err(|error| damaged(&error))?;
                        self.keep(tag, &value);
                    } else {
                        decoder.skip_bytes(len).map_err(|error| damaged(&error))?;
                    }
                }
                LazyDataToken::ElementHeader(_) | _ => {}
            }
            if open.len() > MAX_DEPTH {
                return Err(format!("data sets nested more than {MAX_DEPTH} deep"));
            }
        }
        Err("a DICOM file without pixel data, or one that ends before it".into())
    }

    /// Keeps a value of the image pixel module or what belongs to it.
    fn keep(&mut self, tag: Tag, value: &[u8]) {
        let number = || match *value {
            [low, high] => Some(u16::from_le_bytes([low, high])),
            _ => None,
        };
        // Several values are told apart by a backslash: the first counts.
        let text = || {
            let text = String::from_utf8_lossy(value);
            let first = text.split('\\').next().map(|first| first.trim_matches([' ', '\0']));
            first.map(str::to_owned)
        };
        match tag.element() {
            0x0002 => self.samples = number(),
            0x0004 => self.photometric = text(),
            0x0006 => self.planar = number(),
            0x0008 => self.frames = text(),
            0x0010 => self.rows = number(),
            0x0011 => self.columns = number(),
            0x0100 => self.bits_allocated = number(),
            0x0101 => self.bits_stored = number(),
            0x0102 => self.high_bit = number(),
            0x0103 => self.signed = number(),
            0x1050 => self.window_center = text(),
            0x1051 => self.window_width = text(),
            0x1052 => self.intercept = text(),
            0x1053 => self.slope = text(),
            0x1056 => self.voi_function = text(),
            _ => {}
        }
    }

    /// A decimal string, if there is one.
    pub(super) fn decimal(name: &str, text: Option<&str>) -> Result<Option<f64>, String> {
        let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
        let value: Option<f64> = text.parse().ok().filter(|value: &f64| value.is_finite());
        value.map(Some).ok_or_else(|| format!("a {name} of {text:?}"))
    }
}

/// One fragment more; the table of offsets before them is one too many.
fn push(found: &mut Vec<Vec<u8>>, fragment: Vec<u8>) -> Result<(), String> {
    if found.len() > MAX_FRAGMENTS {
        return Err(format!("more than {MAX_FRAGMENTS} fragments"));
    }
    found.push(fragment);
    Ok(())
}

fn close(open: &mut Vec<Open>, what: Open) -> Result<(), String> {
    if open.pop() == Some(what) {
        return Ok(());
    }
    Err("a damaged DICOM file: an end of what was not begun".into())
}

/// The transfer syntax of a file and where its data set begins.
fn transfer_syntax(file: &[u8]) -> Result<(String, usize), String> {
    let damaged = |error: &dyn std::fmt::Display| format!("a damaged DICOM header: {error}");
    let header = file.get(META..).ok_or("the file ends in its header")?;
    let syntax = entries::EXPLICIT_VR_LITTLE_ENDIAN.erased();
    let mut reader = LazyDataSetReader::new_with_ts(Cursor::new(header), &syntax)
        .map_err(|error| damaged(&error))?;
    let (mut end, mut found) = (None, None);
    while let Some(token) = reader.advance() {
        let (header, decoder) = match token.map_err(|error| damaged(&error))? {
            LazyDataToken::LazyValue { header, decoder } => (header, decoder),
            LazyDataToken::ElementHeader(header) if header.tag.group() == 0x0002 => continue,
            // Sequences and items have no place here, and the reader of tokens trusts that what ends was begun.
            _ => break,
        };
        if header.tag.group() != 0x0002 {
            break;
        }
        if header.len.0 > MAX_VALUE {
            decoder.skip_bytes(header.len.0).map_err(|error| damaged(&error))?;
            continue;
        }
        let mut value = Vec::new();
        decoder.read_to_vec(header.len.0, &mut value).map_err(|error| damaged(&error))?;
        match header.tag.element() {
            0x0000 => {
                let length: Option<[u8; 4]> = value.as_slice().try_into().ok();
                let length = length.map(|length| u32::from_le_bytes(length) as usize);
                // The group's length counts what comes behind its own 12 bytes.
                end = length.and_then(|length| length.checked_add(META + 12));
            }
            0x0010 => {
                let text = String::from_utf8_lossy(&value);
                found = Some(text.trim_matches([' ', '\0']).to_owned());
            }
            _ => {}
        }
    }
    match (found, end) {
        (Some(found), Some(end)) => Ok((found, end)),
        _ => Err("a DICOM file without a transfer syntax".into()),
    }
}

/// Whether value representations are explicit, and how pixels are coded.
pub(super) fn coding(syntax: &str) -> Result<(bool, Coding), String> {
    let name = match syntax.strip_prefix("1.2.840.10008.1.2") {
        Some("") => return Ok((false, Coding::Native)),
        Some(".1") => return Ok((true, Coding::Native)),
        Some(".5") => return Ok((true, Coding::Rle)),
        Some(".4.50" | ".4.51" | ".4.57" | ".4.70") => return Ok((true, Coding::Jpeg)),
        Some(".2") => "big-endian pixels",
        Some(".1.99") => "a deflated data set",
        Some(".4.80" | ".4.81") => "JPEG-LS pixels",
        Some(".4.90" | ".4.91" | ".4.92" | ".4.93") => "JPEG 2000 pixels",
        Some(".4.201" | ".4.202" | ".4.203") => "high-throughput JPEG 2000 pixels",
        Some(".4.110" | ".4.111" | ".4.112") => "JPEG XL pixels",
        Some(other) if other.starts_with(".4.10") => "a video",
        _ => "an unknown transfer syntax",
    };
    Err(format!(
        "{name} ({syntax}) cannot be read; convert it with GDCM: gdcmconv --raw in.dcm out.dcm"
    ))
}
