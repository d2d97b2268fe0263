//! The plan is a function of the model and the flags.

use serde_json::Value;

use crate::program::{Server, gazelle, objects, output, root};

fn model() -> String {
    root().join("models/mnist_d_minionn/model.onnx").display().to_string()
}

/// All that `inspect` says but times, with processes of an instruction set and more flags.
fn plan(isa: &str, flags: &[&str]) -> Value {
    let model = model();
    let mut arguments = vec!["inspect", "--json", &model];
    arguments.extend(flags);
    let inspected = gazelle(&arguments).env("GAZELLE_ISA", isa).output().unwrap();
    let mut object = objects(&inspected).remove(0);
    let prices = object.as_object_mut().unwrap().remove("prices").unwrap();
    let measured = flags.contains(&"--calibrate");
    assert!(if measured { prices == "measured" } else { prices != "measured" }, "{prices}");
    for layer in object["layers"].as_array_mut().unwrap() {
        if let Some(predicted) = layer.get_mut("predicted") {
            *predicted = predicted["trips"].take();
        }
    }
    for link in object["predicted"].as_object_mut().unwrap().values_mut() {
        let link = link.as_object_mut().unwrap();
        for beside in ["at_once", "cold"] {
            let beside = link.remove(beside).unwrap();
            for phase in ["setup", "offline", "online"] {
                assert!(beside[phase].as_f64().unwrap() > 0.0);
            }
        }
        for phase in link.values_mut() {
            assert!(phase["seconds"].take().as_f64().unwrap() > 0.0);
        }
    }
    object
}

#[test]
fn neither_the_instruction_set_nor_calibration_changes_a_plan() {
    let plain = plan("avx512", &[]);
    for (isa, flags) in
        [("avx512", &[][..]), ("avx2", &[]), ("portable", &[]), ("avx512", &["--calibrate"])]
    {
        assert_eq!(plan(isa, flags), plain, "{isa} {flags:?}");
    }
}

#[test]
fn inspect_says_what_servers_on_other_machines_send() {
    // Servers plan for the LAN where no link is named.
    let plan = plan("avx2", &["--link", "lan"]);
    let input = root().join("models/mnist_d_minionn/samples/000.npy").display().to_string();
    let mut digests = Vec::new();
    // A client that knows a setup names it, in 64 bytes more: other tests' setups are not this one's.
    let home = std::env::temp_dir().join(format!("gazelle-plans-{}", std::process::id()));
    for isa in ["portable", "avx512"] {
        let mut serve = gazelle(&["--quiet", "serve", &model(), "--listen", "127.0.0.1:0"]);
        let server = Server::run(serve.env("GAZELLE_ISA", isa));
        let listed = objects(&output(&["models", "--json", "--server", &server.address]));
        digests.push(listed[0]["digest"].clone());
        let mut infer = gazelle(&["infer", "--json", "--server", &server.address, &input]);
        let answers = objects(&infer.env("GAZELLE_HOME", &home).output().unwrap());
        let _ = std::fs::remove_dir_all(&home);
        let predicted = plan["predicted"].as_object().unwrap().values().next().unwrap();
        for phase in ["setup", "offline", "online"] {
            for bytes in ["bytes_sent", "bytes_received"] {
                assert_eq!(answers[0][phase][bytes], predicted[phase][bytes], "{isa} {phase}");
            }
        }
        assert_eq!(answers[0]["setup"]["turns"], predicted["setup"]["turns"]);
        assert!(predicted["setup"]["turns"].as_u64().unwrap() <= 3);
    }
    assert_eq!(digests[0], digests[1]);
}
