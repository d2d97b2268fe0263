//! `gazelle serve --web`.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Clone, Args)]
pub(crate) struct WebArguments {
    /// Also serve a page for browsers, and their sessions, on this address; with keys by HTTPS, for browsers
    /// that have a client's certificate (docs/browser.md)
    #[arg(long = "web", value_name = "ADDRESS", conflicts_with = "once")]
    pub(crate) address: Option<String>,
    /// The page's files, as `cargo xtask web` makes them (default: the folder `web` beside
    /// or above this program)
    #[arg(long = "web-files", value_name = "DIR", requires = "address")]
    pub(crate) files: Option<PathBuf>,
    /// Pages of this origin may connect too, such as <https://apps.hospital.example>; may be repeated
    #[arg(long = "web-origin", value_name = "ORIGIN", requires = "address")]
    pub(crate) origins: Vec<String>,
    /// Serve browsers without a certificate: anybody who reaches the address, told apart by where they come
    /// from
    #[arg(long = "web-anonymous", requires = "address")]
    pub(crate) anonymous: bool,
}
