//! Measurements as the benchmark runner writes them: one JSON object per line, the first of a machine.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::Failure;

/// One figure.
#[derive(Debug, Clone, Copy)]
pub(super) struct Figure {
    seconds: f64,
    bytes: f64,
}

pub(super) fn seconds(figure: Figure) -> f64 {
    figure.seconds
}

pub(super) fn bytes(figure: Figure) -> f64 {
    figure.bytes
}

/// All figures of a folder of results: of those with one id, the newest folder's.
#[derive(Debug, Default)]
pub(super) struct Results {
    /// By id: the client's figure, and the folder that it is from.
    client: BTreeMap<String, (Figure, String)>,
    /// Ids in the order of their files.
    order: Vec<String>,
}

impl Results {
    /// Reads `<folder>/<date-machine>/*.json` and `*.jsonl`.
    pub(super) fn read(folder: &Path) -> Result<Self, Failure> {
        let mut results = Self::default();
        for run in sorted(folder)? {
            let name = run.file_name().map(|name| name.to_string_lossy().into_owned());
            for file in sorted(&run)? {
                let text = std::fs::read_to_string(&file)?;
                for line in text.lines() {
                    let line: Value = serde_json::from_str(line)
                        .map_err(|error| format!("{}: {error}", file.display()))?;
                    results.add(&line, name.as_deref().unwrap_or_default());
                }
            }
        }
        Ok(results)
    }

    fn add(&mut self, line: &Value, folder: &str) {
        let text = |key: &str| line.get(key).and_then(Value::as_str);
        let number = |key: &str| line.get(key).and_then(Value::as_f64);
        let (Some(id), Some("client")) = (text("id"), text("party")) else { return };
        let (Some(seconds), Some(bytes)) = (number("median_s"), number("bytes")) else { return };
        let found = (Figure { seconds, bytes }, folder.to_owned());
        if self.client.insert(id.to_owned(), found).is_none() {
            self.order.push(id.to_owned());
        }
    }

    /// The client's figure of an id.
    pub(super) fn client(&self, id: &str) -> Option<Figure> {
        self.client.get(id).map(|(figure, _)| *figure)
    }

    /// The folder that a figure is from, as a caption.
    pub(super) fn source(&self, id: &str) -> String {
        self.client
            .get(id)
            .map_or_else(String::new, |(_, folder)| format!("benches/results/{folder}"))
    }

    /// What stands between `prefix` and `suffix` in ids, in the order of their files.
    pub(super) fn names(&self, prefix: &str, suffix: &str) -> Vec<String> {
        let name = |id: &String| Some(id.strip_prefix(prefix)?.strip_suffix(suffix)?.to_owned());
        self.order.iter().filter_map(name).collect()
    }
}

fn sorted(folder: &Path) -> Result<Vec<std::path::PathBuf>, Failure> {
    let entries = std::fs::read_dir(folder)?;
    let mut paths: Vec<_> =
        entries.map(|entry| Ok(entry?.path())).collect::<Result<_, Failure>>()?;
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answer_the_newest_folder_counts() {
        let line = |id: &str, seconds: f64, party: &str| serde_json::json!({"id": id, "median_s": seconds, "bytes": 7, "party": party});
        let mut results = Results::default();
        for (id, seconds, party, folder) in [
            ("a/layer/x/offline", 1.0, "client", "old"),
            ("a/layer/y/offline", 2.0, "client", "old"),
            ("a/layer/x/offline", 3.0, "client", "new"),
            ("a/layer/x/offline", 9.0, "server", "new"),
        ] {
            results.add(&line(id, seconds, party), folder);
        }
        results.add(&serde_json::json!({"cpu": "EPYC"}), "new");
        let x = results.client("a/layer/x/offline").unwrap();
        assert_eq!((seconds(x), bytes(x)), (3.0, 7.0));
        assert_eq!(results.source("a/layer/x/offline"), "benches/results/new");
        assert_eq!(results.names("a/layer/", "/offline"), ["x", "y"]);
    }
}
