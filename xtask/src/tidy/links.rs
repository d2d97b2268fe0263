//! Links between the documents lead somewhere.

use std::path::Path;

use super::File;

pub(super) fn check(files: &[File]) -> Vec<String> {
    let mut complaints = Vec::new();
    for file in files.iter().filter(|file| file.is("md")) {
        for target in targets(&file.text) {
            let path = target.split('#').next().unwrap_or_default();
            if path.is_empty() || path.contains("://") || path.starts_with("mailto:") {
                continue;
            }
            // Only links to other documents: these files are all in the list.
            if Path::new(path).extension().is_some_and(|found| found == "md") {
                let resolved = resolve(&file.path, path);
                if !files.iter().any(|other| other.path == resolved) {
                    complaints.push(format!("{}: {target} leads nowhere", file.path));
                }
            }
        }
    }
    complaints
}

/// What stands in `](…)`.
fn targets(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| rest.split(')').next())
}

fn resolve(from: &str, to: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in to.split('/') {
        match part {
            "." => {}
            ".." => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::super::plant;
    use super::check;

    #[test]
    fn a_link_to_a_missing_document_is_found() {
        let files = [
            plant("README.md", "[a](docs/a.md) [b](docs/b.md#x) [c](https://x.y/z.md) [d](#d)"),
            plant("docs/a.md", "[up](../README.md) [self](./a.md)"),
        ];
        assert_eq!(check(&files), ["README.md: docs/b.md#x leads nowhere"]);
    }
}
