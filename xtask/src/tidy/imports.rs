//! Which file of a crate imports from which, and the circles among them.
//!
//! Re-exports (`pub use`) are no imports: a module may show what its children hold. Neither is a
//! path without a `use`.

use std::collections::{BTreeMap, BTreeSet};

use super::File;

/// By file: the files that it imports from.
pub(super) struct Imports(BTreeMap<String, BTreeSet<String>>);

impl Imports {
    /// Of these sources, each with the text that counts.
    pub(super) fn of(code: &[(&File, &str)]) -> Self {
        let paths: BTreeSet<&str> = code.iter().map(|(file, _)| file.path.as_str()).collect();
        let mut imports = BTreeMap::new();
        for (file, text) in code {
            let Some((krate, module)) = file.path.split_once("/src/") else { continue };
            let here = module_path(module);
            let mut found = BTreeSet::new();
            for path in uses(text) {
                let Some(path) = absolute(&path, &here, text) else { continue };
                let target = resolve(krate, &path, &paths);
                found.extend(target.filter(|target| *target != file.path));
            }
            imports.insert(file.path.clone(), found);
        }
        Self(imports)
    }

    /// All files reached from `start`.
    fn reached(&self, start: &str) -> BTreeSet<&str> {
        let mut reached = BTreeSet::new();
        let mut waiting = vec![start];
        while let Some(file) = waiting.pop() {
            for next in self.0.get(file).into_iter().flatten() {
                if reached.insert(next.as_str()) {
                    waiting.push(next);
                }
            }
        }
        reached
    }
}

/// Groups of files that import each other, directly or by way of others.
pub(super) fn circles(imports: &Imports) -> Vec<Vec<String>> {
    let reached: BTreeMap<&str, BTreeSet<&str>> =
        imports.0.keys().map(|file| (file.as_str(), imports.reached(file))).collect();
    let mut circles: BTreeSet<Vec<String>> = BTreeSet::new();
    for (file, from) in &reached {
        if from.contains(file) {
            let back = |other: &&&str| reached.get(**other).is_some_and(|r| r.contains(file));
            circles.insert(from.iter().filter(back).map(|&other| other.to_owned()).collect());
        }
    }
    circles.into_iter().collect()
}

/// `plan/masks.rs` is `[plan, masks]`.
fn module_path(module: &str) -> Vec<String> {
    let mut parts: Vec<String> =
        module.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    if parts.last().is_some_and(|last| last == "lib" || last == "main") {
        parts.pop();
    }
    parts
}

/// Every path of every private `use`, groups written out.
fn uses(text: &str) -> Vec<String> {
    let mut paths = Vec::new();
    let mut statement = String::new();
    for line in text.lines() {
        let line = line.split("//").next().unwrap_or_default().trim();
        if statement.is_empty() && !line.starts_with("use ") {
            continue;
        }
        statement.push_str(line);
        if line.ends_with(';') {
            let tree = statement.trim_start_matches("use ").trim_end_matches(';');
            expand("", tree, &mut paths);
            statement.clear();
        }
    }
    paths
}

/// `a::{b, c::{d}}` becomes `a::b` and `a::c::d`.
fn expand(prefix: &str, tree: &str, paths: &mut Vec<String>) {
    let tree = tree.trim();
    let Some((head, group)) = tree.split_once('{') else {
        if !tree.is_empty() {
            let path = tree.split(" as ").next().unwrap_or(tree);
            paths.push(format!("{prefix}{path}"));
        }
        return;
    };
    let prefix = format!("{prefix}{head}");
    let group = group.strip_suffix('}').unwrap_or(group);
    let (mut depth, mut start) = (0, 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                expand(&prefix, group.get(start..at).unwrap_or_default(), paths);
                start = at + 1;
            }
            _ => {}
        }
    }
    expand(&prefix, group.get(start..).unwrap_or_default(), paths);
}

/// The path from the crate's root, if it lies in this crate.
fn absolute(path: &str, here: &[String], text: &str) -> Option<Vec<String>> {
    let mut parts = path.split("::").map(str::to_owned).peekable();
    let mut base = here.to_vec();
    let first = parts.peek()?.clone();
    match first.as_str() {
        "crate" => {
            base.clear();
            parts.next();
        }
        "self" => {
            parts.next();
        }
        "super" => {
            while parts.next_if(|part| part == "super").is_some() {
                base.pop();
            }
        }
        child if text.lines().any(|line| line.trim().ends_with(&format!("mod {child};"))) => {}
        _ => return None,
    }
    base.extend(parts);
    Some(base)
}

/// The file of the longest prefix that is a module.
fn resolve(krate: &str, path: &[String], paths: &BTreeSet<&str>) -> Option<String> {
    (1..=path.len())
        .rev()
        .map(|len| format!("{krate}/src/{}.rs", path.get(..len).unwrap_or_default().join("/")))
        .chain(["lib", "main"].map(|root| format!("{krate}/src/{root}.rs")))
        .find(|file| paths.contains(file.as_str()))
}

#[cfg(test)]
mod tests {
    use super::super::plant;
    use super::*;

    #[test]
    fn circles_are_found_and_re_exports_are_none() {
        let files = [
            plant("crates/a/src/lib.rs", "mod x;\nmod y;\npub use x::X;\n"),
            plant("crates/a/src/x.rs", "use std::fmt;\nuse crate::{\n    y::{Y, Z as W},\n};\n"),
            plant("crates/a/src/y.rs", "mod z;\nuse super::Top;\nuse z::Z;\n"),
            plant("crates/a/src/y/z.rs", "use crate::x::X;\n"),
            plant("crates/b/src/x.rs", "use crate::y::Y;\n"),
            plant("crates/b/src/y.rs", "pub use crate::x::X;\n"),
        ];
        let code: Vec<(&File, &str)> =
            files.iter().map(|file| (file, file.text.as_str())).collect();
        let expected = ["crates/a/src/x.rs", "crates/a/src/y.rs", "crates/a/src/y/z.rs"];
        assert_eq!(circles(&Imports::of(&code)), [expected]);
    }
}
