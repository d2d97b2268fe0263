//! What each party checks of a step's shares.

use gazelle_share::step::StepOutput;
use gazelle_share::{Misuse, ProtocolError, Shares, Step};

/// Checks a share's length and ring.
pub(crate) fn check_input(step: &Step, input: &Shares) -> Result<(), ProtocolError> {
    if input.len() != step.input.len() || input.bits() != step.input_bits {
        return Err(Misuse::Shares {
            what: "input share",
            expected: (step.input.len(), step.input_bits),
            got: (input.len(), input.bits()),
        }
        .into());
    }
    Ok(())
}

/// Checks the client's share of the input, and the mask of the output: its kind, length and ring.
pub(crate) fn check_shares(
    step: &Step,
    input: &Shares,
    mask: Option<&Shares>,
) -> Result<(), ProtocolError> {
    check_input(step, input)?;
    match (step.output, mask) {
        (StepOutput::Masked { bits }, Some(mask)) => {
            let len = step.output_shape().len();
            if mask.len() == len && mask.bits() == bits {
                return Ok(());
            }
            let (expected, got) = ((len, bits), (mask.len(), mask.bits()));
            Err(Misuse::Shares { what: "mask", expected, got }.into())
        }
        (StepOutput::Reveal, None) => Ok(()),
        _ => Err(Misuse::Unplanned("output").into()),
    }
}
