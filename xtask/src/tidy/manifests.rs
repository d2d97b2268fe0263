//! What each crate's folder has to hold.

use super::{File, crate_of};

/// Package fields that come from the workspace.
const INHERITED: [&str; 5] = ["version", "edition", "rust-version", "license", "publish"];

pub(super) fn check(files: &[File]) -> Vec<String> {
    let mut complaints = Vec::new();
    for file in files {
        let member = file.path.strip_suffix("/Cargo.toml").filter(|folder| {
            folder.starts_with("crates/") || *folder == "benches" || *folder == "xtask"
        });
        let Some(folder) = member else { continue };
        let manifest: toml::Table = match file.text.parse() {
            Ok(manifest) => manifest,
            Err(error) => {
                complaints.push(format!("{}: {error}", file.path));
                continue;
            }
        };
        if !inherits(manifest.get("lints")) {
            complaints.push(format!("{}: lints are not the workspace's", file.path));
        }
        for field in INHERITED {
            let value = manifest.get("package").and_then(|package| package.get(field));
            if !inherits(value) {
                complaints.push(format!("{}: {field} is not the workspace's", file.path));
            }
        }
        if crate_of(&file.path).is_none() {
            continue;
        }
        if !files.iter().any(|other| other.path == format!("{folder}/README.md")) {
            complaints.push(format!("{folder}: no README.md"));
        }
        let library = files.iter().find(|other| other.path == format!("{folder}/src/lib.rs"));
        if library.is_some_and(|lib| !lib.text.contains("include_str!(\"../README.md\")")) {
            complaints.push(format!("{folder}/src/lib.rs: the README's example is not a doctest"));
        }
    }
    complaints
}

fn inherits(value: Option<&toml::Value>) -> bool {
    value.and_then(|value| value.get("workspace")).and_then(toml::Value::as_bool) == Some(true)
}

#[cfg(test)]
mod tests {
    use super::super::{File, plant};
    use super::{INHERITED, check};

    fn tree() -> Vec<File> {
        let fields = INHERITED.map(|field| format!("{field}.workspace = true\n")).concat();
        vec![
            plant(
                "crates/ring/Cargo.toml",
                &format!("[package]\n{fields}[lints]\nworkspace = true"),
            ),
            plant("crates/ring/README.md", "# ring"),
            plant("crates/ring/src/lib.rs", "#![doc = include_str!(\"../README.md\")]"),
        ]
    }

    #[test]
    fn a_whole_crate_passes() {
        assert_eq!(check(&tree()), Vec::<String>::new());
    }

    #[test]
    fn what_is_missing_is_named() {
        for field in INHERITED {
            let mut files = tree();
            files[0].text = files[0].text.replace(&format!("\n{field}.workspace = true"), "");
            assert!(check(&files)[0].contains(field));
        }
        let mut files = tree();
        files[0].text = files[0].text.replace("[lints]\nworkspace = true", "");
        assert_eq!(check(&files).len(), 1);
        let mut files = tree();
        files.remove(1);
        assert_eq!(check(&files), ["crates/ring: no README.md"]);
        let mut files = tree();
        files[2].text.clear();
        assert_eq!(check(&files).len(), 1);
    }
}
