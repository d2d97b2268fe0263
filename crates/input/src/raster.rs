//! Pictures of bytes.

/// An 8-bit image, rows of pixels, channels interleaved.
#[derive(Debug, Clone)]
pub struct Image {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// 1 or 3.
    pub channels: usize,
    /// `height * width * channels` bytes.
    pub bytes: Vec<u8>,
}
