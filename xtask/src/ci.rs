//! `cargo xtask ci`: every check, in order, with its seconds; stops at the first failure.
//!
//! One profile (`ci`) and one feature set (all) for everything, so that nothing is compiled twice.

use std::path::Path;
use std::time::Instant;

use crate::tests_built::{self, Built, SELECTION};
use crate::{Failure, crash, process, python, replicas, soak, tidy, vectors, views, web};

/// Crates with kernels by instruction set: their tests run again with the portable code.
const KERNEL_CRATES: [&str; 8] = ["prg", "block", "ring", "he", "ot", "garble", "share", "linear"];

pub(crate) fn run(root: &Path) -> Result<(), Failure> {
    let start = Instant::now();
    step("fmt", || process::run(process::cargo(root).args(["fmt", "--all", "--", "--check"])))?;
    step("tidy", || tidy::run(root))?;
    step("vectors", || vectors::run(root, true))?;
    step("views", views::run)?;
    step("clippy", || {
        process::run(
            process::cargo(root)
                .args(["clippy", "--all-targets", "--quiet"])
                .args(SELECTION)
                .args(["--", "-D", "warnings"]),
        )
    })?;
    step("build tests", || tests_built::build(root).map(drop))?;
    step("test", || process::run(process::cargo(root).args(["test", "--quiet"]).args(SELECTION)))?;
    // All is built: this only asks cargo for the list.
    let built = tests_built::build(root)?;
    step("test with portable kernels", || portable(root, &built))?;
    step("doc", || {
        process::run(
            process::cargo(root)
                .args(["doc", "--no-deps", "--quiet"])
                .args(SELECTION)
                .env("RUSTDOCFLAGS", "-D warnings"),
        )
    })?;
    step("examples", || examples(root))?;
    step("demo", || demo(root))?;
    step("web", || web::run(root, &[]))?;
    step("crash", || crash::run(root, &[]))?;
    step("soak", || soak::run(root, &[]))?;
    step("python", || python::run(root, &[]))?;
    step("python ray", || python::run(root, &["ray".into()]))?;
    if replicas::has_haproxy() {
        step("replicas", || replicas::run(root, &[]))?;
    } else {
        println!("== replicas: skipped, HAProxy is not installed");
    }
    println!("all checks passed in {:.0} s", start.elapsed().as_secs_f64());
    Ok(())
}

fn step(name: &str, check: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
    println!("== {name}");
    let start = Instant::now();
    let result = check();
    let verdict = if result.is_ok() { "ok" } else { "FAILED" };
    println!("== {name}: {verdict}, {:.1} s", start.elapsed().as_secs_f64());
    result.map_err(|failure| format!("{name}: {failure}").into())
}

fn portable(root: &Path, built: &[Built]) -> Result<(), Failure> {
    for name in KERNEL_CRATES {
        let folder = root.join("crates").join(name);
        let tests: Vec<&Built> = built.iter().filter(|built| built.folder == folder).collect();
        if tests.is_empty() {
            return Err(format!("no test executable of {name} was found").into());
        }
        for test in tests {
            println!("{name}: {}", test.target);
            process::run(
                std::process::Command::new(&test.executable)
                    .arg("--quiet")
                    .current_dir(&folder)
                    .env("CARGO_MANIFEST_DIR", &folder)
                    .env("GAZELLE_ISA", "portable"),
            )?;
        }
    }
    Ok(())
}

/// Runs every example that shows a user's program.
fn examples(root: &Path) -> Result<(), Failure> {
    let examples = tests_built::examples(root)?;
    if examples.is_empty() {
        return Err("no example was found".into());
    }
    for example in examples {
        println!("{}", example.target);
        let mut command = std::process::Command::new(&example.executable);
        process::output(command.current_dir(&example.folder))?;
    }
    Ok(())
}

/// Runs the demo once and checks what it prints.
fn demo(root: &Path) -> Result<(), Failure> {
    let program = tests_built::program(root, "gazelle")?;
    let mut command = std::process::Command::new(program);
    command.current_dir(root);
    let output = process::output(command.args(["demo", "--json"]))?;
    check_demo(&output)
}

/// One object per line; private and plain prediction agree; every phase has a figure.
fn check_demo(output: &str) -> Result<(), Failure> {
    let mut lines = 0;
    for line in output.lines() {
        let object: serde_json::Value =
            serde_json::from_str(line).map_err(|error| format!("not JSON: {error}: {line}"))?;
        let field = |name: &str| object.get(name).ok_or(format!("no {name:?} in {line}"));
        if field("class")? != field("plaintext_class")? {
            return Err(format!("private and plain class differ: {line}").into());
        }
        let private = numbers(field("logits")?)?;
        let plain = numbers(field("plaintext_logits")?)?;
        let tolerance = field("tolerance")?.as_f64().ok_or("tolerance is not a number")?;
        if private.len() != plain.len()
            || private.iter().zip(&plain).any(|(a, b)| (a - b).abs() > tolerance)
        {
            return Err(format!("private and plain logits differ by more than {tolerance}").into());
        }
        for phase in ["offline", "online"] {
            let figures = field(phase)?;
            for name in ["seconds", "bytes_sent", "bytes_received", "turns"] {
                let figure = figures.get(name).and_then(serde_json::Value::as_f64);
                figure.ok_or(format!("no {phase}.{name} in {line}"))?;
            }
        }
        lines += 1;
    }
    if lines == 0 { Err("the demo printed nothing".into()) } else { Ok(()) }
}

fn numbers(value: &serde_json::Value) -> Result<Vec<f64>, Failure> {
    let array = value.as_array().ok_or("logits are not an array")?;
    array.iter().map(|number| number.as_f64().ok_or("a logit is not a number".into())).collect()
}

#[cfg(test)]
mod tests {
    use super::check_demo;

    const GOOD: &str = r#"{"class":1,"plaintext_class":1,"logits":[0.5,2.0],"plaintext_logits":[0.51,2.01],"tolerance":0.05,"offline":{"seconds":1.0,"bytes_sent":1,"bytes_received":2,"turns":3},"online":{"seconds":1.0,"bytes_sent":1,"bytes_received":2,"turns":3}}"#;

    #[test]
    fn a_demo_that_agrees_passes() {
        check_demo(GOOD).unwrap();
        check_demo(&format!("{GOOD}\n{GOOD}\n")).unwrap();
    }

    #[test]
    fn a_demo_that_disagrees_or_says_nothing_fails() {
        for (from, to) in [
            ("\"plaintext_class\":1", "\"plaintext_class\":0"),
            ("0.51", "0.71"),
            ("[0.5,2.0]", "[0.5]"),
            ("\"online\"", "\"elsewhere\""),
            ("{\"class\"", "hello {\"class\""),
        ] {
            check_demo(&GOOD.replace(from, to)).unwrap_err();
        }
        check_demo("").unwrap_err();
    }
}
