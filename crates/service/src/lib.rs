#![doc = include_str!("../README.md")]

mod audit;
mod blocked;
mod connect;
mod entropy;
mod error;
mod home;
mod identity;
pub mod keys;
mod metrics;
mod proxy;
mod quota;
mod sealed;
mod store;
mod tls;
mod web;

pub use audit::{AuditEvent, AuditLog};
pub use blocked::BlockedClients;
pub use connect::{Dialling, connect};
pub use error::ServiceError;
pub use home::{Home, write_private};
pub use identity::{ClientId, Identity, IdentityFiles};
pub use metrics::{Metrics, PhaseCount};
pub use proxy::Proxy;
pub use quota::{Leave, Quota, QuotaStore};
pub use sealed::StoreKey;
pub use store::{SealedContent, SealedHeader, Store, StoreTurn, Stored};
pub use tls::{ClientTls, ServerTls, TlsPeers};
pub use web::{WebDoor, WebFiles, WebGuest};
