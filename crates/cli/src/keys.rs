//! `gazelle keys`: certificates for servers and clients.

use std::path::{Path, PathBuf};

use gazelle_service::keys::{self, Authority, IssuedCertificate, Register, Usage};
use gazelle_service::{Home, Identity};

use crate::Outcome;
use crate::arguments::{Keys, KeysCommand};
use crate::failure::Failure;
use crate::screen::{say, visible};

/// Runs one of the subcommands; `quiet` prints errors alone.
pub(crate) fn run(command: &Keys, quiet: bool) -> Outcome {
    let home = Home::of_user()?;
    let text = match &command.command {
        KeysCommand::NewCa(wanted) => {
            Authority::create(&home, &wanted.name, wanted.days)?;
            format!(
                "made the authority {}: keep it, and nobody else should read it\n\
                 next: gazelle keys new-server NAME...\n",
                shown(&home.authority())
            )
        }
        KeysCommand::NewServer(wanted) => {
            let file = wanted.output.clone().unwrap_or_else(|| home.server());
            Authority::open(&home)?.issue_server(&wanted.names, &file, wanted.days)?;
            let summary = Identity::read(&file)?.summary();
            format!("wrote {}: the server {}\n", shown(&file), visible(&summary))
        }
        KeysCommand::NewClient(wanted) => {
            let file = wanted.output.clone().map_or_else(|| file_of(&wanted.name), Ok)?;
            if file.exists() {
                return Err(Failure::Run(format!(
                    "{} exists: move it away, or give --output",
                    shown(&file)
                )));
            }
            Authority::open(&home)?.issue_client(&wanted.name, &file, wanted.days)?;
            let summary = Identity::read(&file)?.summary();
            format!(
                "wrote {}: the client {}\n\
                 whoever has this file is that client: hand it over in confidence, then\n\
                 the client runs: gazelle keys install {}\n",
                shown(&file),
                visible(&summary),
                shown(&file)
            )
        }
        KeysCommand::Install(wanted) => {
            let identity = keys::install(&wanted.file, &home)?;
            format!(
                "installed {}: the client {}\n",
                shown(identity.path()),
                visible(&identity.summary())
            )
        }
        KeysCommand::List => {
            print(Register::read(&home)?.issued());
            return Ok(());
        }
        KeysCommand::Revoke(wanted) => {
            let revoked = Authority::open(&home)?.revoke(&wanted.name)?;
            let count = revoked.len();
            format!(
                "revoked {count} certificate{} of {}; {} says so to servers of this folder, \
                 others need a copy\n",
                if count == 1 { "" } else { "s" },
                visible(&wanted.name),
                shown(&home.revoked())
            )
        }
    };
    if !quiet {
        say!("{text}");
    }
    Ok(())
}

fn shown(path: &Path) -> String {
    visible(&path.display().to_string()).into_owned()
}

/// `alice` -> `alice.pem` here.
fn file_of(name: &str) -> Result<PathBuf, Failure> {
    let plain = |c: char| c.is_alphanumeric() || "-_@.".contains(c);
    if name.starts_with('.') || name.is_empty() || !name.chars().all(plain) {
        return Err(Failure::Usage(format!("{} makes no file name: give --output", visible(name))));
    }
    Ok(PathBuf::from(format!("{name}.pem")))
}

/// One line per certificate: state, use, name, end, serial number.
fn print(issued: &[IssuedCertificate]) {
    if issued.is_empty() {
        say!("nothing was issued by an authority of this folder\n");
    }
    for certificate in issued {
        let state = match (&certificate.revoked, certificate.expired()) {
            (Some(_), _) => "revoked",
            (None, true) => "expired",
            (None, false) => "good",
        };
        let usage = match certificate.usage {
            Usage::Server => "server",
            Usage::Client => "client",
        };
        let expires = certificate.expires.get(..10).unwrap_or(&certificate.expires);
        say!(
            "{state:<8} {usage}  until {expires}  {}  {}\n",
            visible(&certificate.serial),
            visible(&certificate.name)
        );
    }
}
