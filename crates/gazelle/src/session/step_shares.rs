//! The client's shares of the steps' inputs, as the worker computes them: the walk through the network in
//! an offline phase.

use gazelle_share::{NodeId, ProtocolError, Shares, StepSource, TensorId};

use crate::error::GazelleError;
use crate::plan::{Plan, Task, Tensors};
use crate::session::background::Background;
use crate::session::{Observer, Progress};

/// A party's shares u or v of linear groups.
pub(crate) trait GroupShares {
    /// Waits for a group; its shares per operator, to be taken.
    ///
    /// # Errors
    /// What kept them from being made.
    fn wait(&mut self, group: usize) -> Result<&mut Vec<Shares>, GazelleError>;
}

impl<T: Send> GroupShares for Background<'_, T> {
    fn wait(&mut self, group: usize) -> Result<&mut Vec<Shares>, GazelleError> {
        Background::wait(self, group)
    }
}

impl GroupShares for Vec<Vec<Shares>> {
    fn wait(&mut self, group: usize) -> Result<&mut Vec<Shares>, GazelleError> {
        self.get_mut(group).ok_or_else(|| GazelleError::Defect(format!("linear group {group}")))
    }
}

/// Walks along the network; each step waits for the u that it needs and no more.
pub(crate) struct StepShares<'a, U> {
    plan: &'a Plan,
    groups: U,
    /// Shares of what is linear and local, and all masks.
    tensors: Tensors,
    /// The next node.
    next: usize,
    observer: Option<&'a Observer>,
    /// What kept shares from being made.
    error: Option<GazelleError>,
}

impl<T: Send> StepShares<'_, Background<'_, T>> {
    /// Waits for all groups; the seconds of each.
    pub(crate) fn finish(self) -> Result<Vec<f64>, GazelleError> {
        self.groups.all().map(|(_, seconds)| seconds)
    }
}

impl<'a, U: GroupShares> StepShares<'a, U> {
    /// With the masks of all masked tensors.
    pub(crate) fn new(
        plan: &'a Plan,
        groups: U,
        tensors: Tensors,
        observer: Option<&'a Observer>,
    ) -> Self {
        Self { plan, groups, tensors, next: 0, observer, error: None }
    }

    /// The input's mask.
    pub(crate) fn input_mask(&self) -> Result<Shares, GazelleError> {
        self.tensors.get(TensorId::INPUT).cloned()
    }

    /// What failed here, or else `other`.
    pub(crate) fn cause(&mut self, other: GazelleError) -> GazelleError {
        match self.error.take() {
            Some(error) => error,
            None => other,
        }
    }

    fn walk(&mut self, step: usize) -> Result<(Shares, Option<Shares>), GazelleError> {
        let plan = self.plan;
        let architecture = plan.architecture();
        while let Some((id, node, task)) = plan.walk().nth(self.next) {
            self.next += 1;
            match task {
                Task::Linear { group, position } => {
                    let u = self.groups.wait(group)?.get_mut(position);
                    let u = u.map(|u| std::mem::replace(u, Shares::zero(1, 0)));
                    let u = u.ok_or_else(|| GazelleError::Defect(name(plan, id)))?;
                    let bits = architecture.tensor(node.output).ring_bits;
                    self.tensors.set(node.output, u.reduce(bits));
                }
                Task::Local(map) => {
                    if !self.tensors.has(node.output) {
                        let share = self.tensors.local(architecture, node, map)?;
                        self.tensors.set(node.output, share);
                    }
                }
                Task::Step(number) if number == step => {
                    let masked = architecture.is_masked(node.output);
                    let mask =
                        masked.then(|| self.tensors.get(node.output).cloned()).transpose()?;
                    return Ok((self.tensors.take(node.input())?, mask));
                }
                Task::Step(number) => {
                    return Err(GazelleError::Defect(format!("step {number} before {step}")));
                }
            }
            for input in &node.inputs {
                self.tensors.release(*input);
            }
        }
        Err(GazelleError::Defect(format!("step {step}")))
    }
}

fn name(plan: &Plan, id: NodeId) -> String {
    plan.architecture().node(id).name.clone()
}

impl<U: GroupShares> StepSource for StepShares<'_, U> {
    fn shares(&mut self, step: usize) -> Result<(Shares, Option<Shares>), ProtocolError> {
        self.walk(step).map_err(|error| {
            self.error = Some(error);
            ProtocolError::Defect("shares of a step could not be made")
        })
    }

    fn prepared(&mut self, step: usize) {
        if let Some(observer) = self.observer {
            let (done, of) = (step + 1, self.plan.steps().len());
            let layer = self.plan.step_name(step);
            observer(&Progress { phase: "offline", done, of, layer });
        }
    }
}
