#![doc = include_str!("../README.md")]

mod error;
mod linear;
pub mod local;
mod network;
mod nonlinear;
pub(crate) mod op;
pub mod plain;
pub(crate) mod rounding;
mod shape;
pub mod shares;
pub mod step;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use error::{Misuse, ProtocolError};
pub use linear::{
    Guard, KeptSetup, LinearClient, LinearGroup, LinearProtocol, LinearServer, LinearTraffic, Mask,
    MaskKind, RequestTrace,
};
pub use local::LocalMap;
pub use network::{
    ArchitectureParts, Network, Node, NodeId, NodeKind, Tensor, TensorId,
    architecture::{Architecture, TensorMap},
    builder::NetworkBuilder,
};
pub use nonlinear::{
    NonlinearClient, NonlinearProtocol, NonlinearServer, NonlinearTraffic, OnlineSteps, Output,
    PreparedSteps, StepCost, StepSource,
};
pub use op::{Conv2d, LinearOp, LinearWeights};
pub use rounding::Rounding;
pub use shape::{Pads, TensorShape, Window};
pub use shares::Shares;
pub use step::{Step, StepFunction, StepOutput};
