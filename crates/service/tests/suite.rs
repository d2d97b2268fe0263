//! Keys, links and proxies, as two parties use them: over loopback TCP.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail loudly")]

#[path = "suite/browsers.rs"]
mod browsers;
#[path = "suite/keys.rs"]
mod keys;
#[path = "suite/links.rs"]
mod links;
#[path = "suite/pages.rs"]
mod pages;
#[path = "suite/parties.rs"]
mod parties;
#[path = "suite/proxies.rs"]
mod proxies;
#[path = "suite/refusals.rs"]
mod refusals;
