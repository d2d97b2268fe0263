//! Files for people and spreadsheets: `infer --csv`, `infer --html`, `inspect --html`. A page holds
//! everything that it shows, loads nothing and runs nothing: its policy forbids both.

mod answers;
mod network;
mod table;

use maud::{DOCTYPE, Markup, PreEscaped, html};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

pub(crate) use answers::{AnswerPage, ReportedSession};
pub(crate) use network::write as write_network;
pub(crate) use table::{AnswerTable, is_standard_output};

/// What a page may do: show what it holds.
const POLICY: &str = "default-src 'none'; img-src data:; style-src 'unsafe-inline'";
const STYLE: &str = include_str!("report/style.css");
/// Behind what [`head`] begins.
const FOOT: &str = "</main></body></html>\n";

/// The beginning of a page, up to its first section.
fn head(title: &str) -> String {
    let begun: Markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="color-scheme" content="light dark";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body { main { h1 { (title) } } }
        }
    };
    let text = begun.into_string();
    text.strip_suffix("</main></body></html>").unwrap_or(&text).to_owned()
}

/// What may be wider than the page: it scrolls by itself, by keyboard too.
fn wide(name: &str, content: &Markup) -> Markup {
    html! {
        div class="wide" role="region" tabindex="0" aria-label=(name) { (content) }
    }
}

/// Now, to the second, in UTC.
fn now() -> String {
    let now = OffsetDateTime::now_utc().replace_nanosecond(0);
    // optional: the years 0 to 9999 all have their text
    now.ok().and_then(|now| now.format(&Rfc3339).ok()).unwrap_or_default()
}
