//! Rules about source files.

use super::{File, crate_of, is_generated};

/// Lines from which a file is reported.
const LONG: usize = 500;
/// A file may hold `unsafe` code if its name or folder says which instruction set or kernel it is.
const KERNEL_NAMES: [&str; 8] =
    ["kernel", "kernels", "x86", "avx2", "avx512", "aesni", "vaes", "simd"];
/// The benchmarks' limits are kernels, too.
const LIMITS: &str = "benches/src/limits.rs";
/// One setting of the C library has no safe name.
const ALLOCATOR: &str = "crates/cli/src/allocator.rs";

pub(super) fn check(files: &[File]) -> Vec<String> {
    let rust = files.iter().filter(|file| file.is("rs"));
    rust.flat_map(|file| {
        let mut complaints = Vec::new();
        let name = file.path.rsplit('/').next().unwrap_or_default();
        if name == "mod.rs" || name == "utils.rs" || name == "util.rs" {
            complaints.push(format!("{}: name the file after its idea", file.path));
        }
        for (number, line) in file.text.lines().enumerate() {
            for complaint in check_line(file, line) {
                complaints.push(format!("{}:{}: {complaint}", file.path, number + 1));
            }
        }
        complaints
    })
    .collect()
}

/// Files that have grown beyond one idea: a note, no failure. Generated files are left out.
pub(super) fn long_files(files: &[File]) -> Vec<String> {
    files
        .iter()
        .filter(|file| file.is("rs") && !is_generated(file))
        .map(|file| (file, file.text.lines().count()))
        .filter(|(_, lines)| *lines > LONG)
        .map(|(file, lines)| format!("{}: {lines} lines", file.path))
        .collect()
}

fn check_line(file: &File, line: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    // Written in two parts, so that this file passes its own rules.
    for (word, rest) in [
        ("todo", "!("),
        ("unimplemented", "!("),
        ("dbg", "!("),
        ("FIX", "ME"),
        ("#[ign", "ore"),
        ("mod ut", "ils"),
    ] {
        if line.contains(&format!("{word}{rest}")) {
            complaints.push(format!("{word}{rest} is not committed here"));
        }
    }
    let code = line.split("//").next().unwrap_or_default();
    let code_words = code.split(|c: char| !(c.is_alphanumeric() || c == '_'));
    // A page's policy has names such as 'unsafe-inline', which are no code.
    let policy = code.matches("unsafe-").count();
    if code_words.clone().filter(|word| *word == "unsafe").count() > policy
        && !code.contains("Unsafe")
        && !file.path.starts_with("xtask/")
        && !is_kernel(&file.path)
    {
        complaints.push("unsafe code outside a kernel file".to_owned());
    }
    let library = crate_of(&file.path).is_some_and(|name| name != "cli")
        && file.path.split('/').nth(2) == Some("src");
    if library && code_words.clone().any(|word| PRINTS.contains(&word)) && code.contains('!') {
        complaints.push("libraries do not print".to_owned());
    }
    complaints
}

const PRINTS: [&str; 4] = ["println", "eprintln", "print", "eprint"];

/// True for `aes/x86.rs`, `kernels/avx2.rs`, `product_avx512.rs`, …
fn is_kernel(path: &str) -> bool {
    [LIMITS, ALLOCATOR].contains(&path)
        || path
            .split('/')
            .flat_map(|part| part.trim_end_matches(".rs").split('_'))
            .any(|word| KERNEL_NAMES.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::super::plant;
    use super::{check, long_files};

    #[test]
    fn unfinished_work_is_found() {
        for (word, rest) in [
            ("fn f() { todo", "!() }"),
            ("unimplemented", "!(\"later\")"),
            ("// FIX", "ME: later"),
            ("dbg", "!(x);"),
            ("#[ign", "ore]"),
            ("#[ign", "ore = \"slow\"]"),
        ] {
            let files = [plant("crates/ring/src/fft.rs", &format!("{word}{rest}"))];
            assert_eq!(check(&files).len(), 1, "{word}{rest}");
        }
    }

    #[test]
    fn unsafe_code_belongs_to_kernels() {
        let code = "    let x = unsafe { load(p) };";
        for (path, complaints) in [
            ("crates/ring/src/fft.rs", 1),
            ("crates/cli/src/main.rs", 1),
            ("crates/ring/src/kernels/avx2.rs", 0),
            ("crates/ring/src/product_avx512.rs", 0),
            ("crates/block/src/aes/x86.rs", 0),
        ] {
            assert_eq!(check(&[plant(path, code)]).len(), complaints, "{path}");
        }
        let allowed = "#![expect(unsafe_code, reason = \"x\")] // SAFETY: not unsafe";
        assert!(check(&[plant("crates/ring/src/fft.rs", allowed)]).is_empty());
        let policy = "const POLICY: &str = \"style-src 'unsafe-inline'\";";
        assert!(check(&[plant("crates/cli/src/report.rs", policy)]).is_empty());
        let both = format!("{policy} {code}");
        assert_eq!(check(&[plant("crates/cli/src/report.rs", &both)]).len(), 1);
    }

    #[test]
    fn libraries_do_not_print() {
        let code = "    println!(\"x\");";
        assert_eq!(check(&[plant("crates/ring/src/fft.rs", code)]).len(), 1);
        assert!(check(&[plant("crates/cli/src/main.rs", code)]).is_empty());
        assert!(check(&[plant("crates/ring/tests/suite.rs", code)]).is_empty());
        assert!(check(&[plant("crates/ring/src/fft.rs", "//! println!(\"x\");")]).is_empty());
    }

    #[test]
    fn catch_all_files_are_found_and_long_ones_reported() {
        assert_eq!(check(&[plant("crates/ring/src/fft/mod.rs", "")]).len(), 1);
        assert_eq!(check(&[plant("crates/ring/src/utils.rs", "")]).len(), 1);
        let long = "\n".repeat(501);
        assert_eq!(long_files(&[plant("crates/ring/src/fft.rs", &long)]).len(), 1);
        let generated = format!("// This file is @generated by prost-build.{long}");
        assert!(long_files(&[plant("crates/model/src/onnx.rs", &generated)]).is_empty());
    }
}
