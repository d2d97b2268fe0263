//! Files of many images, read one image at a time: IDX (.gz) and CIFAR-10 batches.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use flate2::read::GzDecoder;

use crate::raster::Image;

/// One label and 32 x 32 RGB planes.
const CIFAR_RECORD: usize = 1 + 3 * 32 * 32;
/// Bytes of one image at most.
const MAX_IMAGE: usize = 1 << 26;

/// The images of one file, in order.
pub(crate) struct Records<R> {
    reader: R,
    form: Form,
    /// Images that the file announces and that have not been read.
    left: usize,
}

#[derive(Debug, Clone, Copy)]
enum Form {
    Idx { height: usize, width: usize },
    Cifar,
}

/// A byte stream, packed or not.
pub(crate) type ByteStream = Box<dyn Read + Send>;

/// Opens an IDX file: magic 0x00000803, count, rows, columns (big-endian), then the bytes.
pub(crate) fn idx(path: &Path, packed: bool) -> Result<Records<ByteStream>, String> {
    let file = BufReader::new(File::open(path).map_err(|error| error.to_string())?);
    let reader: ByteStream = if packed { Box::new(GzDecoder::new(file)) } else { Box::new(file) };
    Records::idx(reader)
}

/// Opens a CIFAR-10 batch: a label byte and three planes for each image.
pub(crate) fn cifar(path: &Path) -> Result<Records<ByteStream>, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let size = file.metadata().map_err(|error| error.to_string())?.len();
    Records::cifar(Box::new(BufReader::new(file)), size)
}

impl<R: Read> Records<R> {
    fn idx(mut reader: R) -> Result<Self, String> {
        let mut header = [0u8; 16];
        reader.read_exact(&mut header).map_err(|_| "an IDX file must have a header of 16 bytes")?;
        let mut words = header.chunks_exact(4).filter_map(|word| word.try_into().ok());
        let mut word = || words.next().map_or(0, u32::from_be_bytes) as usize;
        if word() != 0x0803 {
            return Err("not an IDX file of 8-bit images (magic 0x00000803)".into());
        }
        let (left, height, width) = (word(), word(), word());
        if !height.checked_mul(width).is_some_and(|len| (1..=MAX_IMAGE).contains(&len)) {
            return Err(format!("images of {height} x {width} pixels"));
        }
        Ok(Self { reader, form: Form::Idx { height, width }, left })
    }

    fn cifar(reader: R, size: u64) -> Result<Self, String> {
        let record = CIFAR_RECORD as u64;
        if size == 0 || !size.is_multiple_of(record) {
            return Err(format!("a CIFAR file has records of {CIFAR_RECORD} bytes"));
        }
        let left = usize::try_from(size / record).map_err(|error| error.to_string())?;
        Ok(Self { reader, form: Form::Cifar, left })
    }

    /// Images that are still to come.
    pub(crate) fn left(&self) -> usize {
        self.left
    }

    fn read(&mut self) -> Result<Image, String> {
        match self.form {
            Form::Idx { height, width } => {
                let bytes = self.bytes(height * width)?;
                if self.left == 0 && self.reader.read(&mut [0]).is_ok_and(|more| more > 0) {
                    return Err("the file goes on after its last image".into());
                }
                Ok(Image { width, height, channels: 1, bytes })
            }
            Form::Cifar => {
                let record = self.bytes(CIFAR_RECORD)?;
                let planes = record.get(1..).unwrap_or_default();
                let at = |index: usize| planes.get(index).copied().unwrap_or_default();
                let bytes = (0..1024).flat_map(|i| [at(i), at(1024 + i), at(2048 + i)]).collect();
                Ok(Image { width: 32, height: 32, channels: 3, bytes })
            }
        }
    }

    fn bytes(&mut self, len: usize) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        let got = self.reader.by_ref().take(len as u64).read_to_end(&mut bytes);
        match got {
            Ok(got) if got == len => Ok(bytes),
            Ok(_) => Err(format!("the file ends {} images early", self.left + 1)),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl<R: Read> Iterator for Records<R> {
    type Item = Result<Image, String>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let image = self.read();
        if image.is_err() {
            // What follows a damaged image has no place of its own.
            self.left = 0;
        }
        Some(image)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images(file: &[u8]) -> Vec<Result<Image, String>> {
        Records::idx(file).unwrap().collect()
    }

    #[test]
    fn known_answer_idx_images_are_cut_as_the_header_says() {
        let mut file = vec![0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 1];
        file.extend([1, 2, 3, 4]);
        let images = images(&file);
        assert_eq!(images.len(), 2);
        let second = images[1].as_ref().unwrap();
        assert_eq!((second.height, second.width), (2, 1));
        assert_eq!(second.bytes, [3, 4]);
    }

    #[test]
    fn adversarial_damaged_idx_files_end_in_an_error() {
        let mut file = vec![0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 1];
        assert!(Records::idx(&file[..10]).is_err());
        file.extend([1, 2, 3]);
        let cut = images(&file);
        assert!(cut.len() == 2 && cut[0].is_ok() && cut[1].is_err());
        file.extend([4, 5]);
        let long = images(&file);
        assert!(long.len() == 2 && long[0].is_ok() && long[1].is_err());
        assert!(Records::idx(&[0, 0, 8, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0][..]).is_err());
        let mut huge = vec![0, 0, 8, 3];
        huge.extend([255; 12]);
        assert!(Records::idx(huge.as_slice()).is_err());
        // Many images announced: nothing is reserved for them.
        let mut many = vec![0, 0, 8, 3, 255, 255, 255, 255, 0, 0, 32, 0, 0, 0, 32, 0];
        many.extend([7; 100]);
        assert_eq!(images(&many).len(), 1);
    }

    #[test]
    fn known_answer_cifar_planes_become_interleaved_pixels() {
        let mut record = vec![7u8];
        record.extend((0..3u8).flat_map(|plane| vec![plane + 1; 1024]));
        let size = record.len() as u64;
        let images: Vec<_> = Records::cifar(record.as_slice(), size).unwrap().collect();
        assert_eq!(images.len(), 1);
        assert_eq!(images[0].as_ref().unwrap().bytes[..6], [1, 2, 3, 1, 2, 3]);
        assert!(Records::cifar(&record[1..], size - 1).is_err());
        assert!(Records::cifar(&[][..], 0).is_err());
    }
}
