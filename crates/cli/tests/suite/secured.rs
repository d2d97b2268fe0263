//! Two users with folders of their own, and mutual TLS between them.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::program::{Server, gazelle, objects, output, root, stderr};

static SITES: AtomicU32 = AtomicU32::new(0);

fn model() -> PathBuf {
    root().join("models/mnist_d_minionn/model.onnx")
}

fn sample() -> String {
    root().join("models/mnist_d_minionn/samples/000.npy").display().to_string()
}

/// A vendor and a hospital; their folders are gone on drop.
struct TwoUsers(PathBuf);

impl TwoUsers {
    fn new() -> Self {
        let number = SITES.fetch_add(1, Ordering::Relaxed);
        let folder =
            std::env::temp_dir().join(format!("gazelle-users-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn command(&self, user: &str, arguments: &[&str]) -> Command {
        let mut command = gazelle(arguments);
        command.env("GAZELLE_HOME", self.0.join(user)).current_dir(&self.0);
        command
    }

    fn run(&self, user: &str, arguments: &[&str]) -> Output {
        self.command(user, arguments).output().unwrap()
    }

    fn good(&self, user: &str, arguments: &[&str]) -> String {
        let output = self.run(user, arguments);
        assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// The way of the README: authority, server, client, both installed.
    fn with_keys() -> Self {
        let users = Self::new();
        users.good("vendor", &["keys", "new-ca"]);
        users.good("vendor", &["keys", "new-server", "127.0.0.1", "localhost"]);
        users.good("vendor", &["keys", "new-client", "alice"]);
        users.good("hospital", &["keys", "install", "alice.pem"]);
        users
    }

    fn serve(&self, arguments: &[&str]) -> Server {
        let model = model().display().to_string();
        let mut command = self.command("vendor", &["serve", &model, "--listen", "0.0.0.0:0"]);
        Server::run(command.args(arguments))
    }

    fn infer(&self, user: &str, server: &str) -> Output {
        self.run(user, &["infer", "--json", "--server", server, &sample()])
    }
}

impl Drop for TwoUsers {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// `0.0.0.0:PORT` -> `HOST:PORT`.
fn at(server: &Server, host: &str) -> String {
    format!("{host}:{}", server.address.rsplit_once(':').unwrap().1)
}

#[test]
fn two_users_with_keys_get_a_private_answer_over_an_open_address() {
    let users = TwoUsers::with_keys();
    let server = users.serve(&[]);
    let answer = objects(&users.infer("hospital", &at(&server, "127.0.0.1")));
    let by_name = objects(&users.infer("hospital", &at(&server, "localhost")));
    assert_eq!(answer[0]["logits"], by_name[0]["logits"]);
    let log = server.stop();
    assert!(log.contains("mutual TLS 1.3 as 127.0.0.1, localhost, until 20"), "{log}");
    assert!(log.contains("client=alice ("), "{log}");
}

#[test]
fn adversarial_whoever_has_no_good_certificate_is_told_what_to_do() {
    let users = TwoUsers::with_keys();
    let server = users.serve(&[]);
    let address = at(&server, "127.0.0.1");
    // No identity: a local address is tried without TLS, and the answer is understood.
    let told = stderr(&users.infer("stranger", &address));
    assert!(told.contains("wants TLS") && told.contains("keys install"), "{told}");
    // Elsewhere nothing is even sent.
    let told = users.infer("stranger", "192.0.2.1:7764");
    assert_eq!(told.status.code(), Some(2));
    assert!(stderr(&told).contains("open to everybody"), "{}", stderr(&told));
    // The right authority, another name.
    let arguments = ["infer", "--server", &address, "--server-name", "models.example", &sample()];
    let told = stderr(&users.run("hospital", &arguments));
    assert!(told.contains("is for 127.0.0.1, localhost; you asked for models.example"), "{told}");
    // Revoked while the server runs.
    users.good("vendor", &["keys", "revoke", "alice"]);
    let told = stderr(&users.infer("hospital", &address));
    assert!(told.contains("certificate was revoked"), "{told}");
    let log = server.stop();
    assert!(log.contains("handshake failed"), "{log}");
}

#[test]
fn a_client_with_keys_says_when_a_server_has_none() {
    let users = TwoUsers::with_keys();
    let server = Server::start(&model(), &[]);
    let told = stderr(&users.infer("hospital", &server.address));
    assert!(told.contains("does not speak TLS") && told.contains("--insecure"), "{told}");
    let arguments = ["infer", "--json", "--insecure", "--server", &server.address, &sample()];
    assert_eq!(objects(&users.run("hospital", &arguments)).len(), 1);
}

#[test]
fn keys_are_listed_and_files_are_not_overwritten() {
    let users = TwoUsers::with_keys();
    let again = users.run("vendor", &["keys", "new-client", "alice"]);
    assert!(stderr(&again).contains("alice.pem exists"), "{}", stderr(&again));
    assert!(!users.run("vendor", &["keys", "new-ca"]).status.success());
    let odd = users.run("vendor", &["keys", "new-client", "../x"]);
    assert_eq!(odd.status.code(), Some(2));
    users.good("vendor", &["keys", "new-client", "../x", "--output", "x.pem"]);
    users.good("vendor", &["keys", "revoke", "../x"]);
    let list = users.good("vendor", &["keys", "list"]);
    let lines: Vec<&str> = list.lines().collect();
    assert_eq!(lines.len(), 3, "{list}");
    assert!(lines[0].starts_with("good     server") && lines[0].ends_with("127.0.0.1"), "{list}");
    assert!(lines[1].starts_with("good     client") && lines[1].ends_with("alice"), "{list}");
    assert!(lines[2].starts_with("revoked  client"), "{list}");
    assert!(lines.iter().all(|line| line.len() <= 80), "{list}");
    // Without a folder there is nothing to list, and no authority to ask.
    assert!(users.good("nobody", &["keys", "list"]).contains("nothing"));
    let none = users.run("nobody", &["keys", "new-client", "y"]);
    assert!(stderr(&none).contains("keys new-ca"), "{}", stderr(&none));
    let insecure = output(&["infer", "--insecure", "--identity", "x", &sample()]);
    assert_eq!(insecure.status.code(), Some(2));
}
