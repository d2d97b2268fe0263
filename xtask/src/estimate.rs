//! `cargo xtask estimate`: how hard the lattice and coding problems are at the sizes in use, by the
//! published formulas. `--check` fails where a figure is not what docs/parameters*.md say.

mod lpn;
mod rlwe;

use crate::Failure;

/// Figures of the documentation, in bits: what, and how much, to one decimal.
struct Figure {
    name: String,
    bits: f64,
    documented: f64,
}

pub(crate) fn run(check: bool) -> Result<(), Failure> {
    let mut figures = rlwe::figures();
    figures.extend(lpn::figures());
    let mut wrong = Vec::new();
    for Figure { name, bits, documented } in &figures {
        println!("{name:66} {bits:7.1}");
        if (bits - documented).abs() > 0.051 {
            wrong.push(format!("{name}: {bits:.1}, documented {documented:.1}"));
        }
    }
    if check && !wrong.is_empty() {
        return Err(wrong.join("\n").into());
    }
    Ok(())
}
