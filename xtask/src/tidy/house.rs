//! Whether the house is in order: names, surface, import circles, fallbacks. `cargo xtask house`
//! prints the figures; `tidy` fails where one exceeds its limit.
//!
//! All of it reads `crates/*/src` as text. Test modules count for names only.

use std::collections::{BTreeMap, BTreeSet};

use super::imports::{self, Imports};
use super::{File, is_generated};

/// Type names declared in more than one file, at most: one word, one meaning.
const REPEATED_NAMES: usize = 18;
/// Public items per thousand lines, at most: a crate shows what its users need.
const PUBLIC_PER_THOUSAND: usize = 20;
/// Groups of files that import each other, at most.
const CIRCLES: usize = 0;
/// Where nobody falls back (`unwrap_or` and its relatives) on data that was checked: it is not
/// doubted again. What may really be absent says so in the line above: `// optional: why`.
const WITHOUT_FALLBACKS: [&str; 3] = ["crates/share/", "crates/gazelle/", "crates/model/"];
const OPTIONAL: &str = "// optional: ";

const FALLBACK_CALLS: [&str; 5] =
    [".unwrap_or(", ".unwrap_or_default(", ".unwrap_or_else(", ".map_or(", ".map_or_else("];

/// The figures of a tree.
pub(super) struct House {
    repeated: BTreeMap<String, BTreeSet<String>>,
    public: usize,
    lines: usize,
    circles: Vec<Vec<String>>,
    /// By folder: without a reason, and with one.
    fallbacks: Vec<(&'static str, usize, usize)>,
    lengths: Vec<usize>,
}

impl House {
    pub(super) fn of(files: &[File]) -> Self {
        let sources: Vec<&File> = files.iter().filter(|file| is_source(file)).collect();
        let mut names: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for file in &sources {
            for name in file.text.lines().filter_map(declared) {
                names.entry(name.to_owned()).or_default().insert(file.path.clone());
            }
        }
        names.retain(|_, places| places.len() > 1);
        let code: Vec<(&File, &str)> = sources
            .iter()
            .filter(|file| !is_test(&file.path))
            .map(|file| (*file, without_tests(&file.text)))
            .collect();
        let lines = |text: &str| text.lines().count();
        let fallbacks = WITHOUT_FALLBACKS.into_iter().map(|folder| {
            let inside = code.iter().filter(|(file, _)| file.path.starts_with(folder));
            let (silent, optional) = inside
                .map(|(_, text)| fallbacks(text))
                .fold((0, 0), |sum, found| (sum.0 + found.0, sum.1 + found.1));
            (folder, silent, optional)
        });
        let mut lengths: Vec<usize> = sources.iter().map(|file| lines(&file.text)).collect();
        lengths.sort_unstable();
        Self {
            repeated: names,
            public: code.iter().flat_map(|(_, text)| text.lines()).filter(is_public).count(),
            lines: code.iter().map(|(_, text)| lines(text)).sum(),
            circles: imports::circles(&Imports::of(&code)),
            fallbacks: fallbacks.collect(),
            lengths,
        }
    }

    fn public_per_thousand(&self) -> f64 {
        1000.0 * self.public as f64 / self.lines.max(1) as f64
    }

    /// For people.
    pub(super) fn print(&self) {
        println!("type names declared in more than one file: {}", self.repeated.len());
        for (name, places) in &self.repeated {
            println!("  {name}: {}", places.iter().cloned().collect::<Vec<_>>().join(" "));
        }
        println!("import circles between files: {}", self.circles.len());
        for circle in &self.circles {
            println!("  {}", circle.join(" "));
        }
        println!(
            "public items per 1,000 lines: {:.1} ({} in {})",
            self.public_per_thousand(),
            self.public,
            self.lines
        );
        for (folder, silent, optional) in &self.fallbacks {
            println!("fallbacks in {folder}: {silent} silent, {optional} on optional data");
        }
        let median = self.lengths.get(self.lengths.len() / 2).unwrap_or(&0);
        println!("files: {}, median length {median} lines", self.lengths.len());
    }

    fn complaints(&self) -> Vec<String> {
        let mut complaints = Vec::new();
        let mut limit = |what: &str, found: usize, limit: usize| {
            if found > limit {
                complaints.push(format!(
                    "{what}: {found}, at most {limit}; `cargo xtask house` lists them"
                ));
            }
        };
        limit("type names declared in more than one file", self.repeated.len(), REPEATED_NAMES);
        limit("import circles between files", self.circles.len(), CIRCLES);
        let public = self.public_per_thousand().ceil() as usize;
        limit("public items per 1,000 lines", public, PUBLIC_PER_THOUSAND);
        for (folder, silent, _) in &self.fallbacks {
            limit(&format!("fallbacks without `{OPTIONAL}` in {folder}"), *silent, 0);
        }
        complaints
    }
}

pub(super) fn check(files: &[File]) -> Vec<String> {
    House::of(files).complaints()
}

fn is_source(file: &File) -> bool {
    let mut parts = file.path.split('/');
    file.is("rs")
        && parts.next() == Some("crates")
        && parts.nth(1) == Some("src")
        && !is_generated(file)
}

fn is_test(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/")
}

/// Calls that fall back: without a reason in the line above the statement's, and with one.
fn fallbacks(text: &str) -> (usize, usize) {
    let (mut silent, mut optional, mut reason) = (0, 0, false);
    for line in text.lines().map(str::trim_start) {
        if line.starts_with(OPTIONAL) {
            reason = true;
            continue;
        }
        let calls: usize = FALLBACK_CALLS.iter().map(|call| line.matches(call).count()).sum();
        *(if reason { &mut optional } else { &mut silent }) += calls;
        // A reason holds for one statement.
        reason &= calls == 0 && !line.ends_with([';', '{', '}']);
    }
    (silent, optional)
}

/// The text up to the tests, which come last.
fn without_tests(text: &str) -> &str {
    let tests = text.match_indices("#[cfg(test)]\nmod ").find(|(at, _)| {
        text.get(*at..).and_then(|rest| rest.lines().nth(1)).is_some_and(|l| l.ends_with('{'))
    });
    tests.and_then(|(at, _)| text.get(..at)).unwrap_or(text)
}

/// The words of a line behind its visibility, if it has one.
fn after_visibility(line: &str) -> &str {
    let line = line.trim_start();
    let Some(rest) = line.strip_prefix("pub") else { return line };
    let rest = rest.strip_prefix('(').and_then(|rest| rest.split_once(')')).map_or(rest, |r| r.1);
    rest.trim_start()
}

/// The name of the type or trait that a line declares; not that of an associated type.
fn declared(line: &str) -> Option<&str> {
    let words = after_visibility(line);
    let words = words.strip_prefix("unsafe ").unwrap_or(words);
    let (keyword, rest) = words.split_once(' ')?;
    let top = !line.starts_with(' ');
    let declares =
        matches!(keyword, "struct" | "enum" | "trait" | "union") || (keyword == "type" && top);
    let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
    rest.get(..end).filter(|name| declares && !name.is_empty())
}

/// Whether a line declares or exports something public; fields do not count.
fn is_public(line: &&str) -> bool {
    const KEYWORDS: [&str; 13] = [
        "fn", "struct", "enum", "trait", "type", "union", "const", "static", "mod", "use",
        "unsafe", "async", "extern",
    ];
    let word = line.trim_start().strip_prefix("pub ").and_then(|rest| rest.split(' ').next());
    word.is_some_and(|word| KEYWORDS.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::super::plant;
    use super::*;

    #[test]
    fn names_surface_and_fallbacks_are_counted() {
        let a = "pub struct Plan;\nimpl X for Plan {\n    type Server = Y;\n}\npub(crate) enum Own {}\n";
        let b = "struct Plan<T>(T);\nfn f() { x.unwrap_or(1) }\n#[cfg(test)]\nmod tests {\n    pub fn g() { x.map_or(1, h) }\n}\n";
        let house = House::of(&[
            plant("crates/share/src/a.rs", a),
            plant("crates/share/src/b.rs", b),
            plant("crates/share/src/b/tests.rs", "pub fn t() {}\n"),
            plant("crates/share/tests/c.rs", "struct Own;\n"),
        ]);
        assert_eq!(house.repeated.keys().collect::<Vec<_>>(), ["Plan"]);
        assert_eq!((house.public, house.lines), (1, 7));
        assert_eq!(house.fallbacks.first(), Some(&("crates/share/", 1, 0)));
    }

    #[test]
    fn a_fallback_with_a_reason_is_counted_apart() {
        let text = "// optional: why\nlet a =\n    x.unwrap_or(1);\nlet b = y.map_or(1, f);\n";
        assert_eq!(fallbacks(text), (1, 1));
    }

    #[test]
    fn what_exceeds_a_limit_is_a_complaint() {
        let many: Vec<String> = (0..=REPEATED_NAMES).map(|i| format!("struct N{i};")).collect();
        let text = many.join("\n");
        let files = [plant("crates/a/src/x.rs", &text), plant("crates/b/src/x.rs", &text)];
        assert_eq!(check(&files).len(), 1);
        assert_eq!(check(&[plant("crates/a/src/x.rs", "pub fn f() {}\n")]).len(), 1);
    }
}
