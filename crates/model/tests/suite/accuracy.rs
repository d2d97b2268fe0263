//! Accuracy over the first images of the test sets: fixed point with random rounding against f32.

use std::io::Read;

use gazelle_model::fixed::{self, Rounding};
use gazelle_model::{Interface, Likeness, Options, Pixels, float, quantise};
use gazelle_share::TensorShape;

use super::pack;

struct Image {
    bytes: Vec<u8>,
    label: usize,
}

fn mnist(count: usize) -> Option<Vec<Image>> {
    let dir = pack::datasets()?.join("mnist_test_0-4999");
    let read = |name: &str, skip: usize| {
        let file = std::fs::File::open(dir.join(name)).unwrap();
        let mut bytes = Vec::new();
        flate2::read::GzDecoder::new(file).read_to_end(&mut bytes).unwrap();
        bytes.split_off(skip)
    };
    let (pixels, labels) = (read("images-idx3-ubyte.gz", 16), read("labels-idx1-ubyte.gz", 8));
    let images = pixels.chunks_exact(784).zip(labels);
    let image = |(bytes, label): (&[u8], u8)| Image { bytes: bytes.to_vec(), label: label.into() };
    Some(images.take(count).map(image).collect())
}

/// Pixels of rows of red, green, blue.
fn cifar(count: usize) -> Option<Vec<Image>> {
    let bytes = std::fs::read(pack::datasets()?.join("cifar10_test_0-999/data.bin")).unwrap();
    let image = |record: &[u8]| {
        let planes = &record[1..];
        let bytes = (0..1024).flat_map(|i| [planes[i], planes[1024 + i], planes[2048 + i]]);
        Image { bytes: bytes.collect(), label: record[0].into() }
    };
    Some(bytes.chunks_exact(3073).take(count).map(image).collect())
}

fn check(model: &str, toml: &str, images: &[Image]) {
    let Some(graph) = pack::graph(model) else { return };
    let description = Interface::parse(toml, &graph, None).unwrap();
    let input = description.input.unwrap();
    let calibration = pack::samples(model).into_iter().map(|sample| sample.input).collect();
    let network = quantise(&graph, &Options { calibration, ..Options::default() }).unwrap().network;
    let (mut right, mut right_f32, mut overflows) = (0, 0, 0);
    for (i, image) in images.iter().enumerate() {
        let pixels = Pixels {
            height: input.height,
            width: input.width,
            channels: input.channels.count(),
            bytes: &image.bytes,
        };
        let tensor = input.tensor(&pixels).unwrap();
        let logits = float::run(&graph, &tensor).unwrap();
        right_f32 += usize::from(pack::argmax(&logits) == image.label);
        let encoded = fixed::encode(network.architecture(), &tensor).unwrap();
        let mut trace = fixed::trace(&network, &encoded, Rounding::Random(i as u64)).unwrap();
        overflows += trace.overflows;
        let values = std::mem::take(&mut trace.tensors[network.architecture().output()]);
        let logits: Vec<f32> = values.iter().map(|v| *v as f32).collect();
        right += usize::from(pack::argmax(&logits) == image.label);
    }
    println!(
        "{model}: {right} right, {right_f32} in f32, of {}; {overflows} overflows",
        images.len()
    );
    assert!(right + 1 >= right_f32, "{model}: {right} right, {right_f32} in f32");
    assert!(right_f32 * 10 >= images.len() * 8, "{model}: the preprocessing is wrong");
    assert_eq!(overflows, 0, "{model}");
}

#[test]
fn known_answer_mnist_networks_lose_at_most_one_of_200_images() {
    let Some(images) = mnist(200) else { return };
    for model in ["mnist_a_secureml", "mnist_b_cryptonets", "mnist_c_chameleon", "mnist_d_minionn"]
    {
        check(model, "", &images);
    }
}

#[test]
fn known_answer_inputs_of_the_same_kind_are_hardly_ever_told_and_negatives_are() {
    let Some(images) = mnist(1000) else { return };
    let calibration: Vec<Vec<f32>> =
        pack::samples("mnist_c_chameleon").into_iter().map(|sample| sample.input).collect();
    let shape = TensorShape::new(1, 28, 28);
    let likeness = Likeness::of(&calibration, shape).unwrap();
    let tensor = |image: &Image, turned: bool| -> Vec<f32> {
        let x = image.bytes.iter().map(|b| f32::from(*b) / 255.0);
        x.map(|x| if turned { 1.0 - x } else { x }).collect()
    };
    let told = |image: &&Image| !likeness.admits(&tensor(image, false), shape);
    let negative = |image: &&Image| !likeness.admits(&tensor(image, true), shape);
    let (told, negatives) =
        (images.iter().filter(told).count(), images.iter().filter(negative).count());
    println!("{told} told of {}, {negatives} negatives", images.len());
    assert!(told * 100 <= images.len() && negatives == images.len());
}

#[test]
fn known_answer_cifar_networks_lose_at_most_one_of_200_images() {
    let count = if pack::slow() { 200 } else { 30 };
    let Some(images) = cifar(count) else { return };
    check("cifar10_minionn_gazelle", "[input]\nmean = [0.5]\nstd = [0.5]", &images);
    let resnet = "[input]\nmean = [0.485, 0.456, 0.406]\nstd = [0.229, 0.224, 0.225]";
    check("cifar10_resnet20", resnet, &images);
}
