//! The files that `infer` and `inspect` leave: tables and pages.

use std::path::{Path, PathBuf};

use crate::program::{Server, objects, output, root, stderr};

fn digits() -> PathBuf {
    root().join("models/mnist_d_minionn")
}

/// An empty folder of this test's own.
fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("gazelle-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Whether a page would load or run something, or leaves a tag open.
fn check_page(page: &str) {
    assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</main></body></html>\n"));
    assert!(
        page.contains("content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\"")
    );
    for word in ["<script", "<link", "<iframe", "@import", "url(", "onload", "https:"] {
        assert!(!page.contains(word), "{word}");
    }
    // The one address is the name of SVG's namespace, which nothing is loaded from.
    assert_eq!(
        page.matches("http:").count(),
        page.matches("xmlns=\"http://www.w3.org/2000/svg\"").count()
    );
    assert!(page.matches("src=\"").count() == page.matches("src=\"data:image/png;base64,").count());
    for tag in [
        "article", "details", "dd", "div", "dl", "dt", "h2", "li", "p", "span", "svg", "table",
        "td", "ul",
    ] {
        let opened =
            page.matches(&format!("<{tag}>")).count() + page.matches(&format!("<{tag} ")).count();
        assert_eq!(opened, page.matches(&format!("</{tag}>")).count(), "{tag}");
    }
}

#[test]
fn known_answer_ten_images_leave_a_table_and_a_page_of_what_json_says() {
    let server = Server::start(&digits().join("model.onnx"), &[]);
    let folder = folder("reports");
    let hostile = "<img src=x onload=alert(1)>&.png";
    for index in 0..10 {
        let name = if index == 3 { hostile.to_owned() } else { format!("{index}.png") };
        let from = digits().join(format!("samples/00{index}.png"));
        std::fs::copy(from, folder.join(name)).unwrap();
    }
    let (table, page) = (folder.join("answers.out"), folder.join("report.html"));
    let path = |path: &Path| path.display().to_string();
    let pattern = path(&folder.join("*.png"));
    let files = ["--csv", &path(&table), "--html", &path(&page)];
    let arguments =
        [&["infer", "--json", "--server", &server.address], files.as_slice(), &[&pattern]];
    let answers = objects(&output(&arguments.concat()));
    assert_eq!(answers.len(), 10);

    let mut reader = csv::Reader::from_path(&table).unwrap();
    let heading = reader.headers().unwrap().clone();
    let at = |name: &str| heading.iter().position(|found| found == name).unwrap();
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 10);
    for (row, answer) in rows.iter().zip(&answers) {
        assert_eq!(row[at("input")], *answer["input"].as_str().unwrap());
        assert_eq!(row[at("class")], answer["class"].to_string());
        assert_eq!(row[at("label")], *answer["label"].as_str().unwrap());
        let bytes = |side: &str| {
            answer["offline"][side].as_u64().unwrap() + answer["online"][side].as_u64().unwrap()
        };
        assert_eq!(row[at("bytes_sent")], bytes("bytes_sent").to_string());
        assert_eq!(row[at("bytes_received")], bytes("bytes_received").to_string());
        for (class, logit) in answer["logits"].as_array().unwrap().iter().enumerate() {
            let value: f64 = row[at(&format!("logit_{class}"))].parse().unwrap();
            assert_eq!(value.to_bits(), logit.as_f64().unwrap().to_bits());
        }
    }

    let text = std::fs::read_to_string(&page).unwrap();
    check_page(
        &text.replace(&hostile.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;"), ""),
    );
    assert_eq!(text.matches("<img ").count(), 10);
    assert_eq!(text.matches("<article ").count(), 10);
    for answer in &answers {
        let label = answer["label"].as_str().unwrap();
        assert!(text.contains(&format!("<p class=\"answer\">{label}</p>")), "{label}");
    }
    // The digest that a client pins, and what the server cannot know.
    assert_eq!(text.matches("<code>").count(), 1);
    assert!(text.contains("Neither a picture nor an answer."));
    assert!(text.len() < 200_000, "{} bytes", text.len());
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_table_on_standard_output_stands_there_alone_and_an_input_without_answer_is_counted() {
    let server = Server::start(&digits().join("model.onnx"), &[]);
    let folder = folder("tables");
    let good = digits().join("samples/000.png").display().to_string();
    let bad = folder.join("bad.png").display().to_string();
    std::fs::write(&bad, "no picture").unwrap();
    let page = folder.join("report.html").display().to_string();
    let ask = |more: &[&str]| {
        let arguments = [&["infer", "--server", &server.address], more, &[good.as_str(), &bad]];
        output(&arguments.concat())
    };
    let result = ask(&["--csv", "-", "--html", &page]);
    assert!(!result.status.success());
    let text = String::from_utf8(result.stdout).unwrap();
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(text.starts_with("input,class,label,top,tie,"), "{text}");
    let text = std::fs::read_to_string(&page).unwrap();
    check_page(&text);
    assert!(text.contains("1 of 2 inputs have no answer.") && text.contains("bad.png"), "{text}");
    let both = ask(&["--csv", "-", "--json"]);
    assert!(stderr(&both).contains("both want standard output"), "{}", stderr(&both));
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn the_network_is_drawn_with_every_layer_and_a_model_that_cannot_run_says_why() {
    let folder = folder("graphs");
    let page = folder.join("network.html").display().to_string();
    let inspect = |model: &Path| {
        output(&[
            "inspect",
            &model.display().to_string(),
            "--html",
            &page,
            "--json",
            "--link",
            "lan",
        ])
    };
    let result = inspect(&digits().join("model.onnx"));
    let object = objects(&result).remove(0);
    let text = std::fs::read_to_string(&page).unwrap();
    check_page(&text);
    for layer in object["layers"].as_array().unwrap() {
        let name = layer["name"].as_str().unwrap();
        assert!(text.contains(&format!("<title>{name}</title>")), "{name}");
    }
    assert!(text.contains(" OTs, "), "{text}");
    let broken = folder.join("broken.onnx");
    std::fs::write(&broken, b"no network").unwrap();
    assert_eq!(inspect(&broken).status.code(), Some(1));
    let text = std::fs::read_to_string(&page).unwrap();
    check_page(&text);
    assert!(text.contains("cannot run privately"), "{text}");
    std::fs::remove_dir_all(&folder).unwrap();
}
