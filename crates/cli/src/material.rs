//! `gazelle material`: what this client keeps.

use std::io;

use gazelle_service::{Store, Stored};

use crate::arguments::{Material, MaterialCommand};
use crate::failure::Failure;
use crate::infer::shelf::{MATERIAL, SETUP};
use crate::screen::{say, visible};
use crate::{Outcome, stores};

/// Lists, verifies or drops.
pub(crate) fn run(command: &Material) -> Outcome {
    let store = stores::client(&command.link_layer)?;
    let mut broken = 0;
    for kind in [MATERIAL, SETUP] {
        for stored in store.list(kind)? {
            match command.command {
                MaterialCommand::List => broken += usize::from(!list(kind, &stored)),
                MaterialCommand::Verify => {
                    if let Err(error) = verify(&store, &stored) {
                        broken += 1;
                        say!("{}: {error}\n", visible(&stored.file));
                    }
                }
                MaterialCommand::Drop { broken: only } => {
                    if !only || verify(&store, &stored).is_err() {
                        store.remove(&stored.file)?;
                    }
                }
            }
        }
    }
    if broken > 0 {
        return Err(Failure::No(format!(
            "{broken} files cannot be read: `gazelle material drop --broken` removes them"
        )));
    }
    Ok(())
}

/// Prints a line; whether the file can be read.
fn list(kind: &str, stored: &Stored) -> bool {
    let megabytes = stored.bytes as f64 / 1e6;
    match &stored.header {
        Ok(header) => {
            let days = header.until.saturating_sub(header.made) / (24 * 60 * 60);
            say!(
                "{kind}  {}  {}  {megabytes:.2} MB, for {days} days\n",
                visible(&header.owner),
                visible(&header.label)
            );
            true
        }
        Err(error) => {
            say!("{kind}  {}  {megabytes:.2} MB: {error}\n", visible(&stored.file));
            false
        }
    }
}

fn verify(store: &Store, stored: &Stored) -> io::Result<()> {
    let header = match &stored.header {
        Ok(header) => header,
        Err(error) => return Err(io::Error::new(error.kind(), error.to_string())),
    };
    match store.find(&header.kind, &header.owner, &header.bound, &header.id)? {
        Some((_, mut content)) => io::copy(&mut content, &mut io::sink()).map(drop),
        None => Ok(()),
    }
}
