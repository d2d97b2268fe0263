//! Nodes as a file has them, with the graphs among their attributes.

use std::collections::HashMap;
use std::sync::Arc;

use super::generated::NodeProto;
use super::inline::plain;
use super::tensor::Array;

/// Constants by name.
pub(super) type Constants = HashMap<String, Arc<Array>>;

/// A node of the file or of one of its functions.
#[derive(Debug)]
pub(super) struct FileNode {
    /// Its name, or one made up.
    pub(super) name: String,
    /// The version of its domain's operators.
    pub(super) opset: i64,
    pub(super) proto: NodeProto,
    /// The graphs among its attributes.
    pub(super) branches: Vec<(String, Branch)>,
}

/// The nodes of a graph within a node; names of the graph around it are visible.
#[derive(Debug)]
pub(super) struct Branch {
    pub(super) constants: Constants,
    pub(super) nodes: Vec<FileNode>,
    pub(super) outputs: Vec<String>,
    /// Names read from outside.
    pub(super) outer: Vec<String>,
}

impl FileNode {
    pub(super) fn op(&self) -> &str {
        &self.proto.op_type
    }

    pub(super) fn domain(&self) -> &str {
        plain(&self.proto.domain)
    }

    pub(super) fn outputs(&self) -> impl Iterator<Item = &str> {
        self.proto.output.iter().map(String::as_str)
    }

    /// Names that it or its graphs read.
    pub(super) fn reads(&self) -> impl Iterator<Item = &str> {
        let outer = self.branches.iter().flat_map(|(_, block)| &block.outer);
        self.proto.input.iter().chain(outer).map(String::as_str).filter(|name| !name.is_empty())
    }

    pub(super) fn branch(&self, name: &str) -> Option<&Branch> {
        self.branches.iter().find(|(branch, _)| branch == name).map(|(_, block)| block)
    }
}
