//! Networks of well-known shapes with random weights (He initialisation), as ONNX files: for
//! benchmarks and for tests of scale, where no trained weights may be shipped.

mod architectures;

pub use architectures::{densenet121, mobilenet_v1, resnet50, squeezenet1_1};

use crate::onnx::write::{Attribute, Writer};

/// Writes layers one after another.
struct Net {
    writer: Writer,
    state: u64,
    count: usize,
}

impl Net {
    fn new(seed: u64, channels: usize, side: usize) -> Self {
        let dims = [1, channels as i64, side as i64, side as i64];
        Self { writer: Writer::new(13, &dims), state: seed ^ 0x5851_f42d_4c95_7f2d, count: 0 }
    }

    /// Uniform in [0, 1).
    fn uniform(&mut self) -> f32 {
        self.state = self
            .state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.state >> 40) as f32 / (1u32 << 24) as f32
    }

    /// Roughly normal with this deviation: a sum of four uniforms.
    fn normal(&mut self, deviation: f32) -> f32 {
        let sum: f32 = (0..4).map(|_| self.uniform()).sum();
        (sum - 2.0) * 3f32.sqrt() * deviation
    }

    fn name(&mut self, kind: &str) -> String {
        self.count += 1;
        format!("{kind}_{}", self.count)
    }

    fn conv(&mut self, x: &str, shape: Conv) -> String {
        self.scaled_conv(x, shape, 1.0)
    }

    /// A convolution with weights of `gain` times the deviation of He initialisation.
    fn scaled_conv(&mut self, x: &str, shape: Conv, gain: f32) -> String {
        let name = self.name("conv");
        let Conv { input, maps, kernel, stride, pad, groups } = shape;
        let fan_in = input / groups * kernel * kernel;
        let deviation = gain * (2.0 / fan_in as f32).sqrt();
        let weights: Vec<f32> = (0..maps * fan_in).map(|_| self.normal(deviation)).collect();
        let bias: Vec<f32> = (0..maps).map(|_| self.normal(0.05)).collect();
        let (k, s, p) = (kernel as i64, stride as i64, pad as i64);
        let dims = [maps as i64, (input / groups) as i64, k, k];
        let (w, b) = (format!("{name}_w"), format!("{name}_b"));
        self.writer.floats(&w, &dims, &weights);
        self.writer.floats(&b, &[maps as i64], &bias);
        self.writer.node(
            "Conv",
            &[x, &w, &b],
            &[&name],
            &[
                ("kernel_shape", Attribute::Ints(vec![k, k])),
                ("strides", Attribute::Ints(vec![s, s])),
                ("pads", Attribute::Ints(vec![p; 4])),
                ("group", Attribute::Int(groups as i64)),
            ],
        );
        name
    }

    fn batch_norm(&mut self, x: &str, channels: usize) -> String {
        let name = self.name("bn");
        let mut list = |suffix: &str, mean: f32, spread: f32| {
            let values: Vec<f32> =
                (0..channels).map(|_| mean + spread * (self.uniform() - 0.5)).collect();
            let tensor = format!("{name}_{suffix}");
            self.writer.floats(&tensor, &[channels as i64], &values);
            tensor
        };
        let (g, b) = (list("g", 1.0, 0.2), list("b", 0.0, 0.2));
        let (m, v) = (list("m", 0.0, 0.2), list("v", 1.0, 0.2));
        self.writer.node("BatchNormalization", &[x, &g, &b, &m, &v], &[&name], &[]);
        name
    }

    fn unary(&mut self, op: &str, x: &str, attributes: &[(&str, Attribute)]) -> String {
        let name = self.name(&op.to_lowercase());
        self.writer.node(op, &[x], &[&name], attributes);
        name
    }

    fn relu(&mut self, x: &str) -> String {
        self.unary("Relu", x, &[])
    }

    fn pool(
        &mut self,
        op: &str,
        x: &str,
        kernel: i64,
        stride: i64,
        pad: i64,
        ceil: bool,
    ) -> String {
        let attributes = [
            ("kernel_shape", Attribute::Ints(vec![kernel; 2])),
            ("strides", Attribute::Ints(vec![stride; 2])),
            ("pads", Attribute::Ints(vec![pad; 4])),
            ("ceil_mode", Attribute::Int(i64::from(ceil))),
        ];
        self.unary(op, x, &attributes)
    }

    fn binary(&mut self, op: &str, a: &str, b: &str) -> String {
        let name = self.name(&op.to_lowercase());
        let axis: &[(&str, Attribute)] = &[("axis", Attribute::Int(1))];
        let attributes = if op == "Concat" { axis } else { &[] };
        self.writer.node(op, &[a, b], &[&name], attributes);
        name
    }

    /// Global average, flatten, fully connected.
    fn classifier(&mut self, x: &str, channels: usize, classes: usize) -> Vec<u8> {
        let mean = self.unary("GlobalAveragePool", x, &[]);
        let flat = self.unary("Flatten", &mean, &[("axis", Attribute::Int(1))]);
        let deviation = (1.0 / channels as f32).sqrt();
        let weights: Vec<f32> =
            (0..channels * classes).map(|_| self.normal(2.0 * deviation)).collect();
        self.writer.floats("fc_w", &[classes as i64, channels as i64], &weights);
        self.writer.floats("fc_b", &[classes as i64], &vec![0.0; classes]);
        let transposed = [("transB", Attribute::Int(1))];
        self.writer.node("Gemm", &[&flat, "fc_w", "fc_b"], &["logits"], &transposed);
        self.writer.clone().finish("logits")
    }
}

/// A square convolution.
#[derive(Clone, Copy)]
struct Conv {
    input: usize,
    maps: usize,
    kernel: usize,
    stride: usize,
    pad: usize,
    groups: usize,
}

/// One group, stride 1, padding that keeps the size.
fn same(input: usize, maps: usize, kernel: usize) -> Conv {
    Conv { input, maps, kernel, stride: 1, pad: kernel / 2, groups: 1 }
}
