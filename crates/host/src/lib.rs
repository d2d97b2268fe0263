#![doc = include_str!("../README.md")]

mod client;
mod error;
mod guard;
mod handshakes;
mod house;
mod inspection;
mod ledger;
mod loaded;
mod material;
mod models;
mod niceness;
mod offline_turns;
mod places;
mod setups;
mod strangers;
mod throttle;
mod turns;

pub use error::HostError;
pub use house::{Ended, House, HouseRules};
pub use inspection::{Guarantee, Inspection, PlannedLayer};
pub use ledger::Ledger;
pub use loaded::{Loaded, ModelFile, Wanted, choose, load};
pub use material::MaterialBytes;
pub use models::{CatalogueEntry, Models, ServedModel};
pub use niceness::Niceness;
pub use setups::Setups;
