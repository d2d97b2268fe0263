//! Which nodes an output needs, and in which order they can be computed.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

use super::node::FileNode;

/// The nodes that these values need, each behind those that it reads; the file's order where that
/// is one. `known` are names that no node has to write.
///
/// # Errors
/// If a node reads what nothing writes, two nodes write the same, or nodes wait for each other.
pub(super) fn sorted(
    nodes: Vec<FileNode>,
    wanted: &[String],
    known: impl Fn(&str) -> bool,
) -> Result<Vec<FileNode>, String> {
    let mut writers: HashMap<&str, usize> = HashMap::new();
    for (index, node) in nodes.iter().enumerate() {
        for output in node.outputs().filter(|name| !name.is_empty()) {
            if known(output) || writers.insert(output, index).is_some() {
                return Err(format!("{output:?} is written twice, by node {:?} too", node.name));
            }
        }
    }
    let mut live = HashSet::new();
    let mut stack: Vec<usize> =
        wanted.iter().filter_map(|name| writers.get(&**name).copied()).collect();
    let mut readers: HashMap<usize, Vec<usize>> = HashMap::new();
    let mut waiting: HashMap<usize, usize> = HashMap::new();
    while let Some(index) = stack.pop() {
        if !live.insert(index) {
            continue;
        }
        let Some(node) = nodes.get(index) else { continue };
        let mut sources: Vec<usize> = Vec::new();
        for name in node.reads() {
            match writers.get(name) {
                Some(writer) => sources.push(*writer),
                None if known(name) => {}
                None => {
                    let reader = &node.name;
                    return Err(format!("node {reader:?} reads {name:?}, which no node writes"));
                }
            }
        }
        sources.sort_unstable();
        sources.dedup();
        waiting.insert(index, sources.len());
        for source in sources {
            readers.entry(source).or_default().push(index);
            stack.push(source);
        }
    }
    let mut ready: BinaryHeap<Reverse<usize>> = waiting
        .iter()
        .filter(|(_, count)| **count == 0)
        .map(|(index, _)| Reverse(*index))
        .collect();
    let mut order = Vec::with_capacity(live.len());
    while let Some(Reverse(index)) = ready.pop() {
        order.push(index);
        for reader in readers.get(&index).into_iter().flatten() {
            if let Some(count) = waiting.get_mut(reader) {
                *count -= 1;
                if *count == 0 {
                    ready.push(Reverse(*reader));
                }
            }
        }
    }
    if order.len() < live.len() {
        let done: HashSet<usize> = order.into_iter().collect();
        let stuck = live.iter().filter(|index| !done.contains(index)).min();
        let node = stuck.and_then(|index| nodes.get(*index)).ok_or("the nodes form a circle")?;
        return Err(format!("the nodes form a circle through {:?}", node.name));
    }
    let mut slots: Vec<Option<FileNode>> = nodes.into_iter().map(Some).collect();
    Ok(order.into_iter().filter_map(|index| slots.get_mut(index).and_then(Option::take)).collect())
}
