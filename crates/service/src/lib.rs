#![doc = include_str!("../README.md")]

mod connect;
mod error;
mod home;
mod identity;
pub mod keys;
mod proxy;
mod tls;

pub use connect::{Dialling, connect};
pub use error::ServiceError;
pub use home::Home;
pub use identity::{ClientId, Identity};
pub use proxy::Proxy;
pub use tls::{ClientTls, ServerTls};
