//! Whole networks beside figures that others published: the table "Published figures" of
//! docs/benchmarks.md.

use std::path::Path;

use crate::Failure;
use crate::plot::bars::{Bars, Row};
use crate::plot::results::{self, Results};
use crate::plot::{EXACT, named};

/// The heading above the table.
const HEADING: &str = "## Published figures";

/// One line of the table.
#[derive(Debug, PartialEq)]
struct Peer {
    network: String,
    link: String,
    by: String,
    seconds: Option<f64>,
    megabytes: Option<f64>,
}

/// Draws time and bytes, ours beside theirs.
pub(super) fn draw(results: &Results, page: &Path, folder: &Path) -> Result<(), Failure> {
    let peers = parse(&std::fs::read_to_string(page)?)?;
    let ours = |peer: &Peer| {
        let id = format!("inference/{}/{}/auto/whole", peer.network, peer.link);
        results.client(&id).ok_or_else(|| format!("no result {id} beside {}", peer.by))
    };
    for (file, unit, theirs, of, scale) in [
        (
            "peers-time.svg",
            "seconds",
            (|peer: &Peer| peer.seconds) as fn(&Peer) -> Option<f64>,
            results::seconds as fn(_) -> f64,
            1.0,
        ),
        ("peers-bytes.svg", "megabytes", |peer: &Peer| peer.megabytes, results::bytes, 1e6),
    ] {
        let mut rows = Vec::new();
        for peer in &peers {
            let Some(published) = theirs(peer) else { continue };
            let label = format!("{}, {}: {}", named(&peer.network), peer.link, peer.by);
            rows.push(Row { label, parts: vec![of(ours(peer)?) / scale, published] });
        }
        Bars {
            title: format!("One cold inference beside published figures of other machines: {unit}"),
            source: format!("{}{EXACT}", results.source("inference/resnet50/lan/auto/whole")),
            series: vec!["here", "published"],
            rows,
            stacked: false,
            logarithmic: true,
        }
        .draw(&folder.join(file))?;
    }
    Ok(())
}

/// Lines `| network | link | by | time, s | traffic, MB |` below the heading.
fn parse(page: &str) -> Result<Vec<Peer>, Failure> {
    let lines = page.lines().skip_while(|line| *line != HEADING).skip(1);
    let table =
        lines.take_while(|line| !line.starts_with("## ")).filter(|line| line.starts_with('|'));
    // The table's own heading and the line under it come first.
    let peers: Result<Vec<Peer>, Failure> = table.skip(2).map(peer).collect();
    let peers = peers?;
    if peers.is_empty() {
        return Err(format!("docs/benchmarks.md has no table under {HEADING:?}").into());
    }
    Ok(peers)
}

fn peer(line: &str) -> Result<Peer, Failure> {
    let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
    let [network, link, by, seconds, megabytes] = cells.as_slice() else {
        return Err(format!("a line of {} cells, not 5: {line}", cells.len()).into());
    };
    let number = |text: &str| match text {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|_| format!("{text:?} is no number: {line}")),
    };
    Ok(Peer {
        network: network.trim_matches('`').to_owned(),
        link: (*link).to_owned(),
        by: (*by).to_owned(),
        seconds: number(seconds)?,
        megabytes: number(megabytes)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answer_a_table_is_read_and_bad_lines_are_named() {
        let page = "# x\n## Published figures\n\nwords\n\n| a | b | c | d | e |\n|---|---|---|---|---|\n\
                    | `net` | lan | Them 2018 | 0.20 | |\n\n## Next\n| no | table |\n";
        let found = parse(page).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].network.as_str(), found[0].seconds, found[0].megabytes),
            ("net", Some(0.2), None)
        );
        assert!(parse(&page.replace("0.20", "soon")).is_err());
        assert!(parse(&page.replace("| Them 2018 ", "")).is_err());
        assert!(parse("# nothing").is_err());
    }
}
