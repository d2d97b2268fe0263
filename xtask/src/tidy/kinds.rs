//! Message kinds: one number each, in the crate's own range (docs/wire-format.md).

use std::collections::BTreeMap;

use super::{File, crate_of};

/// The high byte of each crate's kinds.
const RANGES: [(&str, u16); 11] = [
    ("wire", 0x00),
    ("block", 0x01),
    ("he", 0x02),
    ("ot", 0x03),
    ("garble", 0x04),
    ("linear", 0x05),
    ("nonlinear", 0x06),
    ("gazelle", 0x07),
    ("share", 0x08),
    ("convert", 0x09),
    ("prg", 0x0a),
];

pub(super) fn check(files: &[File]) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut seen: BTreeMap<u16, &str> = BTreeMap::new();
    for file in files.iter().filter(|file| file.is("rs")) {
        let Some(name) = crate_of(&file.path) else { continue };
        if file.path.split('/').nth(2) != Some("src") {
            continue;
        }
        // Messages of unit tests come last in a file and never leave it.
        let code = file.text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
        for kind in code.lines().filter_map(kind_in) {
            let Ok(kind) = kind else {
                complaints.push(format!("{}: write a message's KIND as a 0x number", file.path));
                continue;
            };
            if !RANGES.contains(&(name, kind >> 8)) {
                complaints
                    .push(format!("{}: kind {kind:#06x} is outside {name}'s range", file.path));
            }
            if let Some(other) = seen.insert(kind, &file.path) {
                complaints.push(format!("{}: kind {kind:#06x} is taken by {other}", file.path));
            }
        }
    }
    complaints
}

/// The number in `const KIND: u16 = 0x0102;`; `Some(Err)` if it is written otherwise. A macro's
/// `$kind` passes.
fn kind_in(line: &str) -> Option<Result<u16, ()>> {
    let value = line.trim().strip_prefix("const KIND: u16")?.trim().strip_prefix('=')?;
    if value.trim().starts_with('$') {
        return None;
    }
    let digits = value.trim().trim_end_matches(';').strip_prefix("0x");
    Some(digits.and_then(|digits| u16::from_str_radix(digits, 16).ok()).ok_or(()))
}

#[cfg(test)]
mod tests {
    use super::super::plant;
    use super::check;

    #[test]
    fn kinds_are_unique_and_in_range() {
        let kind = |value: &str| format!("    const KIND: u16 = {value};\n");
        let file = |path, value: &str| plant(path, &kind(value));
        assert!(check(&[file("crates/ot/src/a.rs", "0x0301")]).is_empty());
        assert_eq!(check(&[file("crates/ot/src/a.rs", "0x0201")]).len(), 1);
        assert_eq!(check(&[file("crates/ot/src/a.rs", "OTHER")]).len(), 1);
        let twice = [file("crates/ot/src/a.rs", "0x0301"), file("crates/ot/src/b.rs", "0x0301")];
        assert_eq!(check(&twice).len(), 1);
        let test =
            plant("crates/ot/src/a.rs", &format!("#[cfg(test)]\nmod tests {{\n{}", kind("7")));
        assert!(check(&[test]).is_empty());
    }
}
