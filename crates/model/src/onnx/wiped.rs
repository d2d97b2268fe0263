//! Weights are wiped from memory with the tensors that hold them: those of the file, and the values read from them.

use zeroize::Zeroize;

use super::generated::TensorProto;
use super::tensor::Data;

impl Drop for TensorProto {
    fn drop(&mut self) {
        self.raw_data.zeroize();
        self.float_data.zeroize();
        self.double_data.zeroize();
        self.int32_data.zeroize();
        self.int64_data.zeroize();
        self.uint64_data.zeroize();
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        match self {
            Self::Float(values) => values.zeroize(),
            Self::Int(values) => values.zeroize(),
        }
    }
}
