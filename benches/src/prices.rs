//! `--prices`: measures the committed prices of all instruction sets that the machine has, and prints
//! `crates/gazelle/src/backend/machine/prices.rs` as it is to be committed. For an idle machine.
//!
//! A process uses one instruction set, so that each is measured by a process of its own.

use std::fmt::Write as _;
use std::process::{Command, Stdio};

use gazelle::backend::Machine;
use gazelle_prg::isa::{Isa, detected};
use serde_json::Value;

use crate::{Outcome, machine};

/// Calibrations per instruction set; of each price, their median is printed.
const CALIBRATIONS: usize = 15;

/// The file's beginning.
const HEAD: &str = "\
//! The committed prices, a table for each instruction set: this file is what `cargo xtask bench --prices`
//! prints on an idle machine.

use super::Machine;
";

type Failure = Box<dyn std::error::Error>;

/// Prints the file.
pub(crate) fn print() -> Outcome {
    let mut text = HEAD.to_owned();
    for (isa, name) in [(Isa::Portable, "PORTABLE"), (Isa::Avx2, "AVX2"), (Isa::Avx512, "AVX512")] {
        let (prices, origin) = if isa <= detected() {
            eprintln!("bench: measuring {isa}");
            (in_a_process(isa)?, format!("Measured on {}.", machine::summary()))
        } else {
            (serde_json::to_value(Machine::of(isa))?, "As committed before.".to_owned())
        };
        write!(text, "\n/// {origin}\npub(super) const {name}: Machine = Machine {{\n")?;
        for (name, price) in prices.as_object().ok_or("prices are named")? {
            let price = match price.as_array() {
                Some(list) => {
                    let list: Result<Vec<String>, Failure> = list.iter().map(literal).collect();
                    format!("[{}]", list?.join(", "))
                }
                None => literal(price)?,
            };
            writeln!(text, "    {name}: {price},")?;
        }
        text.push_str("};\n");
    }
    print!("{text}");
    Ok(())
}

fn in_a_process(isa: Isa) -> Result<Value, Failure> {
    let child = Command::new(std::env::current_exe()?)
        .arg("--median-prices")
        .env("GAZELLE_ISA", isa.to_string())
        .stderr(Stdio::inherit())
        .output()?;
    if !child.status.success() {
        return Err(format!("the process that measures {isa} failed").into());
    }
    Ok(serde_json::from_slice(&child.stdout)?)
}

/// Prints the medians of this process's instruction set as a JSON object.
pub(crate) fn print_medians() -> Outcome {
    let runs = (0..CALIBRATIONS).map(|_| Ok(serde_json::to_value(Machine::calibrate()?)?));
    let runs: Vec<Value> = runs.collect::<Result<_, Failure>>()?;
    println!("{}", median(&runs)?);
    Ok(())
}

/// Field by field, and place by place in lists.
fn median(runs: &[Value]) -> Result<Value, Failure> {
    let first = runs.first().ok_or("nothing was measured")?;
    let at = |pointer: &str| -> Result<Value, Failure> {
        let inner: Option<Vec<Value>> =
            runs.iter().map(|run| run.pointer(pointer).cloned()).collect();
        median(&inner.ok_or("runs differ in form")?)
    };
    match first {
        Value::Object(fields) => {
            fields.keys().map(|name| Ok((name.clone(), at(&format!("/{name}"))?))).collect()
        }
        Value::Array(list) => (0..list.len()).map(|index| at(&format!("/{index}"))).collect(),
        _ => {
            let mut values: Vec<f64> = runs.iter().filter_map(Value::as_f64).collect();
            values.sort_by(f64::total_cmp);
            Ok(values.get(values.len() / 2).copied().into())
        }
    }
}

/// Three digits, as Rust writes a number.
fn literal(price: &Value) -> Result<String, Failure> {
    Ok(format!("{:.2e}", price.as_f64().ok_or("a price is a number")?))
}
