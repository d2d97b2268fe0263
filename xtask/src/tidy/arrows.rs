//! Rooms and arrows: which crate may use which (docs/architecture.md).

use super::{File, crate_of};

/// The table of docs/architecture.md. Development dependencies are exempt.
const ARROWS: [(&str, &[&str]); 18] = [
    ("wire", &[]),
    ("prg", &[]),
    ("block", &["prg", "wire"]),
    ("ring", &["prg"]),
    ("he", &["ring", "prg", "wire"]),
    ("ot", &["block", "prg", "wire"]),
    ("garble", &["block", "prg", "wire"]),
    ("share", &["prg", "wire"]),
    ("convert", &["share", "ot", "garble", "block", "prg", "wire"]),
    ("linear", &["he", "ring", "share", "prg", "wire"]),
    ("nonlinear", &["convert", "share", "ot", "garble", "block", "prg", "wire"]),
    ("model", &["share"]),
    ("input", &["model", "share"]),
    (
        "gazelle",
        &[
            "wire",
            "prg",
            "block",
            "ring",
            "he",
            "ot",
            "garble",
            "share",
            "convert",
            "linear",
            "nonlinear",
            "model",
        ],
    ),
    ("service", &["wire"]),
    ("host", &["gazelle", "model", "service"]),
    ("web", &["gazelle", "input", "block", "prg"]),
    ("cli", &["gazelle", "host", "input", "model", "service"]),
];

/// The modules of `gazelle` that put suites together.
const SUITE_MODULES: [&str; 2] = ["suite", "backend"];
/// Crates that `gazelle` names in those modules alone.
const SUITE_ONLY: [&str; 4] = ["gazelle_ot", "gazelle_garble", "gazelle_linear", "gazelle_he"];

pub(super) fn check(files: &[File]) -> Vec<String> {
    let mut complaints = Vec::new();
    for file in files {
        let Some(name) = crate_of(&file.path) else { continue };
        if file.path == format!("crates/{name}/Cargo.toml") {
            complaints.extend(check_manifest(name, file));
        }
        let inside = file.path.strip_prefix("crates/gazelle/src/").unwrap_or_default();
        let own = SUITE_MODULES.iter().any(|module| {
            inside.strip_prefix(module).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
        });
        if file.is("rs") && !inside.is_empty() && !own {
            for named in SUITE_ONLY {
                if file.text.contains(named) {
                    complaints.push(format!(
                        "{}: only `suite` and `backend` may name {named}",
                        file.path
                    ));
                }
            }
        }
    }
    complaints
}

fn check_manifest(name: &str, file: &File) -> Vec<String> {
    let Some((_, allowed)) = ARROWS.iter().find(|(crate_name, _)| *crate_name == name) else {
        return vec![format!("{}: {name} is not in the table of rooms and arrows", file.path)];
    };
    let manifest: toml::Table = match file.text.parse() {
        Ok(manifest) => manifest,
        Err(error) => return vec![format!("{}: {error}", file.path)],
    };
    let mut tables: Vec<&toml::Value> = ["dependencies", "build-dependencies"]
        .iter()
        .filter_map(|key| manifest.get(*key))
        .collect();
    if let Some(targets) = manifest.get("target").and_then(toml::Value::as_table) {
        for target in targets.values() {
            tables.extend(
                ["dependencies", "build-dependencies"].iter().filter_map(|k| target.get(k)),
            );
        }
    }
    tables
        .into_iter()
        .filter_map(toml::Value::as_table)
        .flat_map(|table| table.iter())
        .filter_map(|(key, value)| {
            // A renamed dependency says its real name in `package`.
            let package = value.get("package").and_then(toml::Value::as_str).unwrap_or(key);
            let used = match package {
                "gazelle" => "gazelle",
                _ => package.strip_prefix("gazelle-")?,
            };
            (!allowed.contains(&used)).then(|| format!("{}: {name} may not use {used}", file.path))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::plant;
    use super::check;

    #[test]
    fn a_wrong_arrow_is_found_however_it_is_written() {
        for text in [
            "[dependencies]\ngazelle-ot.workspace = true\n",
            "[dependencies]\ngazelle-ot = { path = \"../ot\" }\n",
            "[dependencies.gazelle-ot]\nworkspace = true\n",
            "[build-dependencies]\ngazelle-ot.workspace = true\n",
            "[target.'cfg(unix)'.dependencies]\ngazelle-ot.workspace = true\n",
            "[dependencies]\ninnocent = { package = \"gazelle-ot\", path = \"../ot\" }\n",
        ] {
            let complaints = check(&[plant("crates/he/Cargo.toml", text)]);
            assert_eq!(complaints, ["crates/he/Cargo.toml: he may not use ot"], "{text}");
        }
    }

    #[test]
    fn allowed_and_development_arrows_pass() {
        let text = "[dependencies]\ngazelle-ring.workspace = true\nrayon = \"1\"\n\
                    [dev-dependencies]\ngazelle-ot.workspace = true\n";
        assert!(check(&[plant("crates/he/Cargo.toml", text)]).is_empty());
    }

    #[test]
    fn nothing_reaches_back_up() {
        for (name, text) in [
            ("wire", "[dependencies]\ngazelle-prg.workspace = true"),
            ("share", "[dependencies]\ngazelle.workspace = true"),
            ("linear", "[dependencies]\ngazelle-nonlinear.workspace = true"),
            ("cli", "[dependencies]\ngazelle-ot.workspace = true"),
            ("newcomer", "[dependencies]\n"),
        ] {
            assert_eq!(check(&[plant(&format!("crates/{name}/Cargo.toml"), text)]).len(), 1);
        }
    }

    #[test]
    fn only_the_suite_names_primitives() {
        for text in ["use gazelle_ot::Iknp;", "gazelle_linear::plain_kernels::apply(op)"] {
            assert_eq!(check(&[plant("crates/gazelle/src/session/client.rs", text)]).len(), 1);
        }
        let text = "use gazelle_ot::Iknp;";
        assert!(check(&[plant("crates/gazelle/src/suite.rs", text)]).is_empty());
        assert!(check(&[plant("crates/gazelle/src/backend/any_ot.rs", text)]).is_empty());
        assert_eq!(check(&[plant("crates/gazelle/src/suites.rs", text)]).len(), 1);
        assert!(check(&[plant("crates/gazelle/tests/suite.rs", text)]).is_empty());
    }
}
