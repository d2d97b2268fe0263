//! What each party checks of a step's shares.

use gazelle_share::step::StepOutput;
use gazelle_share::{Misuse, Output, ProtocolError, Shares, Step};

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

/// Checks the output's kind, length and ring; gives the mask's words (none if it reveals).
pub(crate) fn check_output<'a>(
    step: &Step,
    output: Output<'a>,
) -> Result<&'a [u64], ProtocolError> {
    match (step.output, output) {
        (StepOutput::Masked { bits }, Output::Masked(mask)) => {
            let len = step.output_shape().len();
            if mask.len() == len && mask.bits() == bits {
                return Ok(mask.words());
            }
            Err(Misuse::Shares {
                what: "mask",
                expected: (len, bits),
                got: (mask.len(), mask.bits()),
            }
            .into())
        }
        (StepOutput::Reveal, Output::Reveal) => Ok(&[]),
        _ => Err(Misuse::Unplanned("output").into()),
    }
}
