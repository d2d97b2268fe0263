//! What is said of operators that are not run.

/// Why an operator is not run, and what to do about it.
pub(super) fn refusal(op: &str) -> String {
    match op {
        "Sigmoid" | "Tanh" | "Softmax" | "LogSoftmax" | "Softplus" | "Softsign" | "Erf" | "Exp"
        | "Log" | "Elu" | "Selu" | "Celu" | "Gelu" | "Mish" | "Swish" | "HardSwish"
        | "QuickGelu" | "FastGelu" | "BiasGelu" | "Sin" | "Cos" | "Tan" | "Asin" | "Acos"
        | "Atan" | "Sinh" | "Cosh" | "Asinh" | "Acosh" | "Atanh" => format!(
            "{op} is a smooth function, which is not supported inside a network; train with Relu, \
             LeakyRelu, PRelu, Clip (ReLU6) or a square instead"
        ),
        "Sqrt" | "Reciprocal" | "ReduceL2" | "ReduceLogSum" | "ReduceLogSumExp" | "LpPool"
        | "LpNormalization" | "GlobalLpPool" => {
            format!(
                "{op} of private values is not supported (a root, a logarithm or a quotient); end \
                 the network in front of it and do this in the clear"
            )
        }
        "LRN"
        | "InstanceNormalization"
        | "LayerNormalization"
        | "GroupNormalization"
        | "SimplifiedLayerNormalization"
        | "RMSNormalization"
        | "MeanVarianceNormalization" => {
            format!(
                "{op} divides by statistics of the private input, which is not supported; train \
                 with BatchNormalization, whose statistics are stored, or with none"
            )
        }
        "ArgMin" => "ArgMin is not supported; negate its input and take the ArgMax".into(),
        "LSTM" | "GRU" | "RNN" => {
            format!(
                "{op} is not supported: its gates are smooth functions; use convolutions in time"
            )
        }
        "Attention" | "MultiHeadAttention" => {
            format!("{op} is not supported: it needs products of private matrices and a softmax")
        }
        "GatherND" | "GatherElements" | "ScatterND" | "ScatterElements" | "NonZero" | "TopK"
        | "NonMaxSuppression" | "RoiAlign" | "GridSample" | "Unique" => {
            format!(
                "{op} is not supported; end the network in front of it and do this in the clear"
            )
        }
        "Greater" | "Less" | "GreaterOrEqual" | "LessOrEqual" | "Equal" | "Not" | "And" | "Or"
        | "Sign" | "Floor" | "Ceil" | "Round" | "ThresholdedRelu" | "Shrink" | "HardMax"
        | "Hardmax" => format!("{op} jumps, which is not supported on private values"),
        _ => "this operator is not supported; end the network in front of it and do the rest in \
              the clear, or export it as operators that are (docs/from-pytorch.md lists them)"
            .into(),
    }
}
