//! The structure that real files have: everything around the operators.

use prost::Message;

use crate::InputRange;
use crate::graph::Activation;
use crate::onnx::generated::{
    AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto,
    StringStringEntryProto, ValueInfoProto, tensor_shape_proto, type_proto,
};
use crate::onnx::write::{Attribute, Writer, tensor};
use crate::onnx::{ImportOptions, ImportedModel};

/// A file of a matrix product and a ReLU, changed before it is read.
fn changed(input: &[i64], change: impl FnOnce(&mut ModelProto)) -> Vec<u8> {
    let mut w = Writer::new(17, input);
    w.floats("w", &[3, 2], &[1.0, -1.0, 2.0, 0.5, -0.5, 1.5]);
    w.node("MatMul", &["x", "w"], &["h"], &[]);
    w.node("Relu", &["h"], &["y"], &[]);
    let mut model = ModelProto::decode(w.finish("y").as_slice()).unwrap();
    change(&mut model);
    model.encode_to_vec()
}

fn read(bytes: &[u8], options: &ImportOptions) -> Result<ImportedModel, String> {
    let imported = ImportedModel::read(bytes, options).map_err(|error| error.to_string())?;
    imported.verify(&InputRange::uniform(-1.0, 1.0), &[]).map_err(|error| error.to_string())?;
    Ok(imported)
}

fn plain(bytes: &[u8]) -> Result<ImportedModel, String> {
    read(bytes, &ImportOptions::default())
}

fn graph(model: &mut ModelProto) -> &mut GraphProto {
    model.graph.as_mut().unwrap()
}

fn node(op: &str, inputs: &[&str], outputs: &[&str]) -> NodeProto {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    NodeProto {
        op_type: op.into(),
        name: outputs[0].into(),
        input: owned(inputs),
        output: owned(outputs),
        ..NodeProto::default()
    }
}

fn value(name: &str) -> ValueInfoProto {
    ValueInfoProto { name: name.into(), r#type: None }
}

/// What the matrix product and the ReLU give.
fn expected(x: [f32; 3]) -> [f32; 2] {
    let [a, b, c] = x;
    [(a + 2.0 * b - 0.5 * c).max(0.0), (-a + 0.5 * b + 1.5 * c).max(0.0)]
}

fn logits(imported: &ImportedModel) -> Vec<f32> {
    imported.reference.logits(&[0.5, 0.25, 1.0]).unwrap()
}

#[test]
fn known_answer_nodes_out_of_order_are_sorted_and_circles_named() {
    let swapped = changed(&[1, 3], |model| graph(model).node.reverse());
    assert_eq!(logits(&plain(&swapped).unwrap()), expected([0.5, 0.25, 1.0]));
    let circle = changed(&[1, 3], |model| graph(model).node[0].input[0] = "y".into());
    assert!(plain(&circle).unwrap_err().contains("circle"));
}

#[test]
fn known_answer_dead_nodes_unused_inputs_and_listed_weights_do_not_matter() {
    let file = changed(&[1, 3], |model| {
        let graph = graph(model);
        graph.node.push(node("Erf", &["x"], &["dead"]));
        graph.input.push(value("w"));
        graph.input.push(value("unused"));
    });
    let imported = plain(&file).unwrap();
    assert_eq!(logits(&imported), expected([0.5, 0.25, 1.0]));
    assert!(imported.warnings.iter().any(|warning| warning.contains("\"unused\"")));
    let both = changed(&[1, 3], |model| {
        let graph = graph(model);
        graph.input.push(value("other"));
        graph.node[1].input[0] = "sum".into();
        graph.node.push(node("Add", &["h", "other"], &["sum"]));
    });
    assert!(plain(&both).unwrap_err().contains("2 inputs (x, other)"));
}

#[test]
fn known_answer_an_output_can_be_chosen() {
    let file = changed(&[1, 3], |model| {
        let graph = graph(model);
        graph.output.insert(0, value("fixed"));
        graph.output.push(value("h"));
        graph.node.push(node("Identity", &["w"], &["fixed"]));
    });
    let imported = plain(&file).unwrap();
    assert_eq!(
        (imported.output.as_str(), logits(&imported)),
        ("y", expected([0.5, 0.25, 1.0]).into())
    );
    assert_eq!(imported.other_outputs, ["fixed", "h"]);
    let chosen =
        |name: &str| ImportOptions { output: Some(name.into()), ..ImportOptions::default() };
    assert_eq!(logits(&read(&file, &chosen("h")).unwrap()), [0.5, 1.125]);
    // A constant is an output like another.
    assert_eq!(logits(&read(&file, &chosen("fixed")).unwrap()).len(), 6);
    assert!(read(&file, &chosen("z")).unwrap_err().contains("fixed, y, h"));
}

#[test]
fn known_answer_open_sizes_are_asked_for_by_name() {
    let open = |at: usize, name: &str| {
        let name = name.to_owned();
        changed(&[1, 3], move |model| {
            let kind = graph(model).input[0].r#type.as_mut().unwrap();
            let type_proto::Value::TensorType(tensor) = kind.value.as_mut().unwrap();
            let value = tensor_shape_proto::dimension::Value::DimParam(name);
            tensor.shape.as_mut().unwrap().dim[at].value = Some(value);
        })
    };
    assert_eq!(plain(&open(0, "batch")).unwrap().graph.input_dims, [1, 3]);
    let why = plain(&open(1, "features")).unwrap_err();
    assert!(why.contains("(features)") && why.contains("--input-shape x=1,features"), "{why}");
    let given = |name: Option<&str>, sizes: &[usize]| ImportOptions {
        input_shape: vec![(name.map(str::to_owned), sizes.to_vec())],
        ..ImportOptions::default()
    };
    let file = open(1, "features");
    for name in [None, Some("x")] {
        assert_eq!(read(&file, &given(name, &[1, 3])).unwrap().graph.input_dims, [1, 3]);
    }
    assert!(read(&file, &given(None, &[1, 3, 4])).unwrap_err().contains("2 axes"));
    assert!(read(&file, &given(Some("z"), &[1, 3])).unwrap_err().contains("no input \"z\""));
    assert!(read(&open(0, "n"), &given(None, &[1, 4])).unwrap_err().contains("the file 3"));
}

#[test]
fn known_answer_a_fixed_batch_is_run_with_one_image() {
    for target in [[4, -1], [4, 3], [-1, 3]] {
        let mut w = Writer::new(17, &[4, 1, 1, 3]);
        w.ints("shape", &target);
        w.floats("w", &[3, 2], &[1.0, -1.0, 2.0, 0.5, -0.5, 1.5]);
        w.node("Relu", &["x"], &["r"], &[]);
        w.node("Reshape", &["r", "shape"], &["flat"], &[]);
        w.node("MatMul", &["flat", "w"], &["y"], &[]);
        let imported = plain(&w.finish("y")).unwrap();
        assert_eq!(imported.graph.input_dims, [1, 1, 1, 3]);
        assert_eq!(logits(&imported), [0.5, 1.125]);
    }
    // Images that influence each other are no batch.
    let mut w = Writer::new(17, &[2, 3]);
    w.node("ReduceMean", &["x"], &["m"], &[("axes", Attribute::Ints(vec![0]))]);
    w.node("Sub", &["x", "m"], &["y"], &[]);
    assert!(plain(&w.finish("y")).is_err());
}

#[test]
fn known_answer_functions_of_the_file_are_inlined() {
    let file = changed(&[1, 3], |model| {
        let attribute = AttributeProto {
            name: "alpha".into(),
            r#type: 1,
            ref_attr_name: "slope".into(),
            ..AttributeProto::default()
        };
        let mut leaky = node("LeakyRelu", &["a"], &["b"]);
        leaky.attribute.push(attribute);
        let opset = |domain: &str, version| OperatorSetIdProto { domain: domain.into(), version };
        let function = |name: &str, nodes| FunctionProto {
            name: name.into(),
            domain: "own".into(),
            input: vec!["a".into()],
            output: vec!["b".into()],
            attribute: vec!["slope".into()],
            node: nodes,
            opset_import: vec![opset("", 17), opset("own", 1)],
            ..FunctionProto::default()
        };
        let mut outer = node("Inner", &["a"], &["b"]);
        outer.domain = "own".into();
        let slope =
            AttributeProto { name: "slope".into(), r#type: 1, f: 0.5, ..AttributeProto::default() };
        outer.attribute.push(slope);
        model.functions = vec![function("Inner", vec![leaky]), function("Outer", vec![outer])];
        model.opset_import.push(opset("own", 1));
        let graph = graph(model);
        graph.node[1].op_type = "Outer".into();
        graph.node[1].domain = "own".into();
    });
    let imported = plain(&file).unwrap();
    assert_eq!(imported.reference.logits(&[-1.0, 0.0, 0.0]).unwrap(), [-0.5, 1.0]);
    // A function that calls itself ends somewhere.
    let endless = changed(&[1, 3], |model| {
        let mut call = node("Again", &["a"], &["b"]);
        call.domain = "own".into();
        let function = FunctionProto {
            name: "Again".into(),
            domain: "own".into(),
            input: vec!["a".into()],
            output: vec!["b".into()],
            node: vec![call.clone(), call],
            ..FunctionProto::default()
        };
        model.functions = vec![function];
        let graph = graph(model);
        graph.node[1].op_type = "Again".into();
        graph.node[1].domain = "own".into();
    });
    assert!(plain(&endless).unwrap_err().contains("nested too deeply"));
}

#[test]
fn known_answer_a_condition_that_is_known_chooses_its_branch() {
    for (condition, output) in [(1, [0.5, 1.125]), (0, [-0.5, -1.125])] {
        let file = changed(&[1, 3], |model| {
            let branch = |name: &str, op: &str, output: &str| AttributeProto {
                name: name.into(),
                r#type: 5,
                g: Some(GraphProto {
                    node: vec![node(op, &["h"], &[output])],
                    output: vec![value(output)],
                    ..GraphProto::default()
                }),
                ..AttributeProto::default()
            };
            let graph = graph(model);
            let mut constant = tensor("c", 9, &[]);
            constant.int32_data = vec![condition];
            graph.initializer.push(constant);
            graph.node[1] = node("If", &["c"], &["y"]);
            let branches =
                [branch("then_branch", "Identity", "t"), branch("else_branch", "Neg", "e")];
            graph.node[1].attribute.extend(branches);
        });
        assert_eq!(logits(&plain(&file).unwrap()), output);
    }
}

#[test]
fn known_answer_external_weights_are_read_and_bad_paths_refused() {
    let folder = std::env::temp_dir().join(format!("gazelle-external-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let external = |location: &str, offset: u64| {
        changed(&[1, 3], |model| {
            let entry =
                |key: &str, value: String| StringStringEntryProto { key: key.into(), value };
            let tensor = &mut graph(model).initializer[0];
            let mut data = vec![7; 8];
            data.extend(std::mem::take(&mut tensor.raw_data));
            std::fs::write(folder.join("w.data"), data).unwrap();
            tensor.data_location = 1;
            tensor.external_data =
                vec![entry("location", location.into()), entry("offset", offset.to_string())];
        })
    };
    let beside = ImportOptions { folder: Some(folder.clone()), ..ImportOptions::default() };
    let imported = read(&external("w.data", 8), &beside).unwrap();
    assert_eq!(logits(&imported), expected([0.5, 0.25, 1.0]));
    let cases = [
        ("w.data", 16, "bytes, 24 from 16"),
        ("missing.data", 0, "missing.data is needed"),
        ("../w.data", 0, "outside"),
        ("/etc/passwd", 0, "outside"),
        ("", 0, "outside"),
    ];
    for (location, offset, why) in cases {
        let found = read(&external(location, offset), &beside).unwrap_err();
        assert!(found.contains(why) && found.contains("\"w\""), "{found}");
    }
    assert!(plain(&external("w.data", 8)).unwrap_err().contains("another file"));
    std::fs::write(folder.join("w.data"), "version https://git-lfs.github.com/spec/v1\noid")
        .unwrap();
    let file = external("w.data", 8);
    std::fs::write(folder.join("w.data"), "version https://git-lfs.github.com/spec/v1\noid")
        .unwrap();
    assert!(read(&file, &beside).unwrap_err().contains("git lfs pull"));
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn known_answer_other_files_are_told_what_they_are() {
    let cases: [(&[u8], &str); 5] = [
        (b"", "empty"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"PK\x03\x04rest", "ZIP"),
        (b"\x89HDF\r\n", "HDF5"),
        (b"<!DOCTYPE html>", "web page"),
    ];
    for (bytes, what) in cases {
        assert!(plain(bytes).unwrap_err().contains(what), "{what}");
    }
}

#[test]
fn known_answer_older_and_newer_opsets_run_with_a_warning() {
    for opset in [6, 23] {
        let file = changed(&[1, 3], |model| model.opset_import[0].version = opset);
        let imported = plain(&file).unwrap();
        assert_eq!(logits(&imported), expected([0.5, 0.25, 1.0]));
        assert!(imported.warnings[0].contains(&format!("opset {opset}")));
    }
}

#[test]
fn known_answer_opset_6_repeats_along_the_axis_that_it_names() {
    let mut w = Writer::new(6, &[1, 2, 1, 3]);
    w.floats("c", &[2], &[10.0, 20.0]);
    let along = [("broadcast", Attribute::Int(1)), ("axis", Attribute::Int(1))];
    w.node("Add", &["x", "c"], &["y"], &along);
    let imported = plain(&w.clone().finish("y")).unwrap();
    let got = imported.reference.logits(&[0.0; 6]).unwrap();
    assert_eq!(got, [10.0, 10.0, 10.0, 20.0, 20.0, 20.0]);
    w.node("Dropout", &["y"], &["z"], &[]);
    assert!(plain(&w.finish("z")).unwrap_err().contains("is_test"));
}

#[test]
fn properties_a_final_activation_is_read_by_nothing_but_the_output() {
    let readers = [
        "Relu",
        "Neg",
        "Mul",
        "Add",
        "Sub",
        "MatMul",
        "Concat",
        "MaxPool",
        "ReduceMean",
        "Clip",
        "Sigmoid",
        "Softmax",
        "Sum",
        "Sqrt",
    ];
    for activation in ["Sigmoid", "Softmax", "LogSoftmax"] {
        for reader in readers {
            let mut w = Writer::new(17, &[1, 3]);
            w.floats("w", &[3, 2], &[1.0; 6]);
            w.node("MatMul", &["x", "w"], &["h"], &[]);
            w.node(activation, &["h"], &["a"], &[]);
            let axis = [("axis", Attribute::Int(1))];
            w.node(reader, &["h", "a"], &["y"], if reader == "Concat" { &axis } else { &[] });
            if matches!(
                reader,
                "Relu" | "Neg" | "MaxPool" | "ReduceMean" | "Clip" | "Sigmoid" | "Softmax" | "Sqrt"
            ) {
                w = Writer::new(17, &[1, 3]);
                w.floats("w", &[3, 2], &[1.0; 6]);
                w.node("MatMul", &["x", "w"], &["h"], &[]);
                w.node(activation, &["h"], &["a"], &[]);
                w.node(reader, &["a"], &["y"], &[]);
            }
            let why = plain(&w.finish("y")).unwrap_err();
            let expected = format!("\"a\" ({activation}): {activation} inside the network");
            assert!(why.contains(&expected) && why.contains("\"y\""), "{why}");
        }
    }
}

#[test]
fn known_answer_a_softmax_over_any_axis_is_described_as_it_is() {
    let cases = [
        (17, 1, Activation::SoftmaxOf { classes: 2, inner: 4 }),
        (17, -1, Activation::SoftmaxOf { classes: 2, inner: 1 }),
        (11, 1, Activation::Softmax),
        (11, 2, Activation::SoftmaxOf { classes: 4, inner: 1 }),
    ];
    for (opset, axis, activation) in cases {
        let mut w = Writer::new(opset, &[1, 2, 2, 2]);
        w.node("Relu", &["x"], &["r"], &[]);
        w.node("Softmax", &["r"], &["y"], &[("axis", Attribute::Int(axis))]);
        assert_eq!(plain(&w.finish("y")).unwrap().graph.activation, Some(activation));
    }
}

#[test]
fn known_answer_weights_that_are_no_numbers_are_refused_by_name() {
    for bad in [f32::NAN, f32::INFINITY] {
        let mut w = Writer::new(17, &[1, 3]);
        w.floats("kernel", &[3, 2], &[1.0, bad, 1.0, 1.0, 1.0, 1.0]);
        w.node("MatMul", &["x", "kernel"], &["y"], &[]);
        let why = plain(&w.finish("y")).unwrap_err();
        assert!(why.contains("node \"y\" (MatMul): the weights \"kernel\" hold"), "{why}");
    }
}
