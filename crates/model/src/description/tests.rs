use super::*;

fn graph(dims: Vec<usize>, outputs: usize) -> Graph {
    let shape = TensorShape::new(dims[1], dims[2], dims[3]);
    let mut graph = Graph::new("x", shape, dims);
    let op = gazelle_share::LinearOp::FullyConnected { inputs: shape.len(), outputs };
    let op = crate::Op::Linear { op, weights: vec![], bias: vec![] };
    graph.output = graph.push("fc", op, vec![0], TensorShape::vector(outputs));
    graph
}

#[test]
fn known_answer_defaults_divide_bytes_by_255() {
    let description = Interface::default_for(&graph(vec![1, 1, 2, 2], 3));
    let input = description.input.clone().unwrap();
    assert_eq!((input.channels, input.layout), (Channels::Grey, Layout::Nchw));
    let image = Pixels { height: 2, width: 2, channels: 1, bytes: &[0, 51, 102, 255] };
    assert_eq!(input.tensor(&image).unwrap(), [0.0, 0.2, 0.4, 1.0]);
    assert_eq!(description.output.labels, ["0", "1", "2"]);
    assert!(description.check(TensorShape::new(1, 2, 2), 3).is_ok());
}

#[test]
fn known_answer_a_name_a_range_and_any_resolution() {
    let graph = graph(vec![1, 1, 2, 2], 3);
    let parse = |text: &str| Interface::parse(text, &graph, None).unwrap();
    let text = "name = 'digits'\n[input]\nchannels = 'gray'\nrange = [-3, 3.5]\n\
                [output]\nresolution = 4096.0";
    let description = parse(text);
    assert_eq!(description.name.as_deref(), Some("digits"));
    assert_eq!(description.range, Some(InputRange::uniform(-3.0, 3.5)));
    assert_eq!(description.output.resolution, Some(-12));
    assert_eq!(description.input.unwrap().channels, Channels::Grey);
    let channels = parse("[input]\nrange = [[0, 1]]").range.unwrap();
    assert_eq!(channels.of(0), (0.0, 1.0));
    let pixels = parse("[input]\nmean = [0.5]\nstd = [0.5]").range.unwrap();
    assert_eq!(pixels.widest(), (-1.125, 1.125));
}

#[test]
fn properties_a_range_is_declared_for_every_input() {
    let graph = graph(vec![1, 1, 2, 2], 3);
    let declare = |text: &str, inputs: &[Vec<f32>]| {
        let mut description = Interface::parse(text, &graph, None).unwrap();
        let declared = description.declare(&graph, inputs)?;
        assert_eq!(description.range.as_ref(), Some(&declared.0));
        Ok::<_, ModelError>(declared)
    };
    let (range, source) = declare("", &[]).unwrap();
    assert_eq!((range.widest(), source), ((-0.0625, 1.0625), RangeSource::Assumed));
    let (range, source) = declare("", &vec![vec![-1.0, 1.0, 0.5, 0.0]; 5000]).unwrap();
    assert_eq!((range.widest(), source), ((-1.125, 1.125), RangeSource::Calibration));
    let (range, source) = declare("[input]\nrange = [0, 9]", &[vec![8.0; 4]]).unwrap();
    assert_eq!((range.widest(), source), ((0.0, 9.0), RangeSource::Given));
    let error = declare("[input]\nrange = [0, 7]", &[vec![0.0; 4], vec![0.0, 8.0, 0.0, 0.0]]);
    let error = error.unwrap_err().to_string();
    assert!(error.contains("calibration input 1") && error.contains("element 1"), "{error}");
}

#[test]
fn known_answer_mean_std_crop_and_channel_order() {
    let text = "[input]\nchannels = 'bgr'\ncrop = [1, 1]\nresize = 3\nscale = 1.0\n\
                mean = [1, 2, 3]\nstd = [1, 2, 4]\n[output]\nlabels = ['a', 'b']\nresolution = 0.25";
    let description = Interface::parse(text, &graph(vec![1, 3, 1, 1], 2), None).unwrap();
    let input = description.input.unwrap();
    let mut bytes = vec![0; 27];
    bytes[12..15].copy_from_slice(&[11, 22, 33]);
    let image = Pixels { height: 3, width: 3, channels: 3, bytes: &bytes };
    assert_eq!(input.tensor(&image).unwrap(), [32.0, 10.0, 2.0]);
    let fit = input.fit(100, 300).unwrap();
    assert_eq!((fit.height, fit.width), (3, 9));
    assert_eq!(description.output.resolution, Some(2));
}

#[test]
fn known_answer_channels_last() {
    let text = "[input]\nlayout = 'nhwc'\nscale = 1.0";
    let description = Interface::parse(text, &graph(vec![1, 1, 2, 3], 1), None).unwrap();
    let image = Pixels { height: 1, width: 2, channels: 3, bytes: &[1, 2, 3, 4, 5, 6] };
    let tensor = description.input.unwrap().tensor(&image).unwrap();
    assert_eq!(tensor, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
}

#[test]
fn adversarial_descriptions_that_do_not_fit_are_refused() {
    let graph = graph(vec![1, 3, 4, 4], 2);
    for text in [
        "[input]\nchannels = 'grey'",
        "[input]\nstd = [0, 1, 1]",
        "[input]\nmean = [1, 2]",
        "[input]\nscale = nan",
        "[input]\ncrop = [5, 5]",
        "[output]\nlabels = ['one']",
        "[output]\nresolution = 0.3",
        "[output]\nreveal = 'weights'",
        "[input]\nunknown = 1",
        "[input]\nrange = [1, 0]",
        "[input]\nrange = [0, inf]",
        "[input]\nrange = [[0, 1], [0, 1]]",
        "[output]\nresolution = -1.0",
        "name = ''",
        "[output]\nlabels = '/nonexistent/labels'",
        "not toml",
    ] {
        let parsed = Interface::parse(text, &graph, None);
        assert!(matches!(parsed, Err(ModelError::Description(_))), "{text}");
    }
}

#[test]
fn adversarial_images_of_the_wrong_size_are_refused() {
    let input = Interface::default_for(&graph(vec![1, 3, 4, 4], 2)).input.unwrap();
    let image = |height, width, bytes| Pixels { height, width, channels: 3, bytes };
    assert!(input.tensor(&image(4, 4, &[0; 47])).is_err());
    assert!(input.tensor(&image(5, 4, &[0; 60])).is_err());
    assert!(input.tensor(&image(usize::MAX, 4, &[])).is_err());
    assert!(input.tensor(&image(4, 4, &[0; 48])).is_ok());
}

#[test]
fn known_answer_a_tensor_has_the_shape_with_or_without_the_batch_axis() {
    let description = Interface::default_for(&graph(vec![1, 3, 4, 4], 2));
    assert!(
        crate::samples::same_shape(&description.shape, &[1, 3, 4, 4])
            && crate::samples::same_shape(&description.shape, &[3, 4, 4])
    );
    for other in [&[1, 4, 4, 3][..], &[48], &[1, 48], &[4, 4], &[1, 1, 3, 4, 4], &[], &[2, 3]] {
        assert!(!crate::samples::same_shape(&description.shape, other), "{other:?}");
    }
    let shape = TensorShape::new(3, 4, 4);
    assert!(description.check(shape, 2).is_ok());
    assert!(Interface { shape: vec![1, 3, 4, 5], ..description }.check(shape, 2).is_err());
}
