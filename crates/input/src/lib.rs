#![doc = include_str!("../README.md")]

mod content;
mod dicom;
mod encoder;
mod error;
mod folder;
mod kind;
mod picture;
mod raster;
mod records;
mod scan;
mod source;
mod table;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use content::Content;
pub use encoder::{Encoder, Notice};
pub use error::InputError;
pub use folder::{FoundFiles, find};
pub use raster::Image;
pub use scan::Scan;
pub use source::{Input, Source, read_all};
