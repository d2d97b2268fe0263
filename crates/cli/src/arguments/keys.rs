//! `gazelle keys`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Args)]
pub(crate) struct Keys {
    #[command(subcommand)]
    pub(crate) command: KeysCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Make a certification authority: the server's owner, once
    NewCa(NewCa),
    /// Issue the server's certificate, for the names and addresses by which clients reach it
    NewServer(NewServer),
    /// Issue a client's certificate: a file to hand over in confidence
    NewClient(NewClient),
    /// Put the file that the server's owner made into this user's folder: the client, once
    Install(Install),
    /// What was issued, and what of it is good
    List,
    /// Turn a client away from now on; running servers notice
    Revoke(Revoke),
}

#[derive(Debug, Args)]
pub(crate) struct NewCa {
    /// The authority's name in certificates
    #[arg(long, default_value = "gazelle")]
    pub(crate) name: String,
    /// For how long it is good
    #[arg(long, default_value_t = 3650, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36500))]
    pub(crate) days: u32,
}

#[derive(Debug, Args)]
pub(crate) struct NewServer {
    /// DNS names and IP addresses
    #[arg(required = true, value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// Write it here instead of into this user's folder
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// For how long it is good
    #[arg(long, default_value_t = 825, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36500))]
    pub(crate) days: u32,
}

#[derive(Debug, Args)]
pub(crate) struct NewClient {
    /// Who it is for: what lists and logs call this client
    pub(crate) name: String,
    /// Write it here instead of to NAME.pem
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// For how long it is good
    #[arg(long, default_value_t = 825, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36500))]
    pub(crate) days: u32,
}

#[derive(Debug, Args)]
pub(crate) struct Install {
    /// What `gazelle keys new-client` wrote
    pub(crate) file: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Revoke {
    /// A client's or server's name (all its certificates), or the serial number of one
    pub(crate) name: String,
}
