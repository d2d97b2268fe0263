//! Power-of-two RLWE with hints: shares of `W r` for a random mask `r`, docs/protocol.md section 3.
//!
//! | moment | client | server |
//! |---|---|---|
//! | setup | [`PublicCoins::from_joint`] | the same |
//! | | stores the [`HintMessage`] | [`HintKey::source`], [`HintSource::hints`] |
//! | offline | [`LayerSecret::request`] -> `r` | [`RequestMessage::reshare`] |
//! | | | [`EncryptedRequest::open`], [`HintSource::shares`] -> `v` |
//! | | [`LayerSecret::shares`] -> `u` | |
//!
//! Then `u + v = 2^g W r + E` in `Z_{2^{l+g}}` with g guard bits (0 by default), `|E|` bounded by
//! [`noise`].
//!
//! What this module calls a *group* is everything under one layer secret: `requests` polynomials
//! read by one matrix of weight polynomials with `responses` rows. What the matrix means (tiles,
//! kernels) is the business of the layer above; it hands in a [`gazelle_ring::WeightMatrix`].

pub(crate) mod client;
pub(crate) mod coins;
mod encrypted;
mod expand;
mod levels;
pub(crate) mod message;
pub mod noise;
pub mod parameters;
mod reshare;
pub(crate) mod server;

pub use client::{LayerSecret, Pinned, Requested};
pub use coins::PublicCoins;
pub use encrypted::EncryptedRequest;
pub use message::{HintMessage, HintShape, RequestMessage, RequestShape, ReshareMessage};
pub use noise::WeightNorm;
pub use parameters::Parameters;
pub use reshare::Reshare;
pub use server::{HintBinding, HintKey, HintSource, ResponseNoise};
