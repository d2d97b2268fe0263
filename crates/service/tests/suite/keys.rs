//! Certificates: issued, installed, renewed, revoked.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use gazelle_service::keys::{self, Authority, Register, Usage};
use gazelle_service::{Identity, ServiceError};

use crate::parties::{Folder, Site};

#[test]
fn files_with_keys_are_their_owners_alone() {
    let site = Site::new();
    for path in [site.vendor.authority(), site.vendor.server(), site.hospital.client()] {
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let folder = std::fs::metadata(path.parent().unwrap()).unwrap();
        assert_eq!(folder.permissions().mode() & 0o777, 0o700);
    }
}

#[test]
fn adversarial_a_key_that_others_can_read_is_not_used() {
    let site = Site::new();
    let path = site.hospital.client();
    std::fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
    let error = Identity::read(&path).unwrap_err();
    assert!(error.to_string().contains("chmod 600"), "{error}");
}

#[test]
fn the_register_knows_what_was_issued_before_anybody_can_use_it() {
    let site = Site::new();
    let register = Register::read(&site.vendor).unwrap();
    let issued: Vec<_> = register.issued().iter().map(|c| (c.name.as_str(), c.usage)).collect();
    assert_eq!(issued, [("localhost", Usage::Server), ("alice", Usage::Client)]);
    let id = Identity::read(&site.hospital.client()).unwrap().id().unwrap();
    assert_eq!(register.issued()[1].fingerprint, id.hex());
    assert_eq!(id.name(), "alice");
    assert!(!register.issued()[1].expired() && register.issued()[1].revoked.is_none());
    // An authority that is opened again goes on with both.
    let again = Authority::open(&site.vendor).unwrap();
    let revoked = again.revoke("alice").unwrap();
    assert_eq!(revoked.len(), 1);
    assert!(Register::read(&site.vendor).unwrap().issued()[1].revoked.is_some());
    assert!(matches!(again.revoke("alice"), Err(ServiceError::Caller(_))));
    assert!(matches!(again.revoke("bob"), Err(ServiceError::Caller(_))));
}

#[test]
fn an_authority_is_made_once() {
    let site = Site::new();
    let before = std::fs::read(site.vendor.authority()).unwrap();
    assert!(matches!(Authority::create(&site.vendor, "x", 1), Err(ServiceError::Caller(_))));
    assert_eq!(std::fs::read(site.vendor.authority()).unwrap(), before);
    let error = Authority::open(&site.hospital).unwrap_err();
    assert!(error.to_string().contains("new-ca"), "{error}");
}

#[test]
fn an_identity_is_installed_with_the_right_mode_and_not_over_another() {
    let (site, other) = (Site::new(), Folder::new());
    let home = other.home("carol");
    let sent = site.hospital.client();
    // As a mail program would leave it.
    std::fs::set_permissions(&sent, Permissions::from_mode(0o644)).unwrap();
    let installed = keys::install(&sent, &home).unwrap();
    assert_eq!(installed.id().unwrap().name(), "alice");
    let mode = std::fs::metadata(home.client()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // The same once more changes nothing; another one is refused.
    keys::install(&sent, &home).unwrap();
    let second = site.folder.home("second");
    site.authority.issue_client("bob", &second.client(), 30).unwrap();
    assert!(matches!(keys::install(&second.client(), &home), Err(ServiceError::Caller(_))));
    assert_eq!(Identity::read(&home.client()).unwrap().id().unwrap().name(), "alice");
}

#[test]
fn adversarial_files_that_are_no_identities_are_refused_by_name() {
    let (site, other) = (Site::new(), Folder::new());
    let whole = std::fs::read_to_string(site.hospital.client()).unwrap();
    let key_only = &whole[..whole.find("-----BEGIN CERTIFICATE").unwrap()];
    let certificates_only = &whole[key_only.len()..];
    let broken =
        whole.replace("-----BEGIN CERTIFICATE-----\nMI", "-----BEGIN CERTIFICATE-----\nXX");
    let home = other.home("x");
    std::fs::create_dir_all(home.folder()).unwrap();
    for text in ["", "nonsense", key_only, certificates_only, &broken] {
        let path = home.folder().join("bad.pem");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        let error = Identity::read(&path).unwrap_err();
        assert!(matches!(error, ServiceError::Identity { .. }), "{error}");
        assert!(error.to_string().contains("bad.pem"), "{error}");
        assert!(keys::install(&path, &home).is_err());
        assert!(!home.client().exists(), "{text}");
    }
}

#[test]
fn names_that_no_certificate_can_have_are_refused() {
    let site = Site::new();
    let file = site.vendor.folder().join("x.pem");
    for name in ["", "two words", "a..b", "-", "a/b"] {
        let error = site.authority.issue_server(&[name.into()], &file, 30).unwrap_err();
        assert!(matches!(error, ServiceError::Caller(_)), "{name:?}: {error}");
    }
    assert!(site.authority.issue_server(&[], &file, 30).is_err());
    assert!(site.authority.issue_client("", &file, 30).is_err());
    assert!(site.authority.issue_client("a", &file, 0).is_err());
    assert!(!file.exists());
    let names = ["models.example".into(), "192.0.2.1".into(), "2001:db8::1".into()];
    site.authority.issue_server(&names, &file, 30).unwrap();
    let summary = Identity::read(&file).unwrap().summary();
    assert!(summary.starts_with("models.example, 192.0.2.1, 2001:db8::1, until 20"), "{summary}");
}
