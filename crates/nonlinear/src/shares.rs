//! What each party does to its share before a step.

use gazelle_convert::truncate::{truncate_client, truncate_server};
use gazelle_share::shares::ring_mask;
use gazelle_share::step::{StepFunction, StepOutput};
use gazelle_share::{Output, ProtocolError, Shares, Step};

/// Checks a share's length and ring.
pub(crate) fn check_input(step: &Step, input: &Shares) -> Result<(), ProtocolError> {
    if input.len() != step.input.len() || input.bits() != step.input_bits {
        return Err(ProtocolError::Caller(format!(
            "input share: expected {} words of {} bits, got {} of {}",
            step.input.len(),
            step.input_bits,
            input.len(),
            input.bits()
        )));
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
            Err(ProtocolError::Caller(format!(
                "mask: expected {len} words of {bits} bits, got {} of {}",
                mask.len(),
                mask.bits()
            )))
        }
        (StepOutput::Reveal, Output::Reveal) => Ok(&[]),
        _ => Err(ProtocolError::Caller("the output's kind is not the step's".into())),
    }
}

/// The client's share, truncated, in `Z_{2^bits}` with `bits <= l - t` (`Round`: not truncated).
pub(crate) fn prepare_client(step: &Step, input: Shares, bits: u32) -> Shares {
    match step.function {
        StepFunction::Round => input.reduce(bits),
        _ => truncate_client(input, step.truncate_bits).reduce(bits),
    }
}

/// The server's share, truncated, in `Z_{2^bits}`; `Round` adds `2^(t-1)` instead.
pub(crate) fn prepare_server(step: &Step, input: Shares, bits: u32) -> Shares {
    match step.function {
        StepFunction::Round => {
            let half = (1u64 << step.truncate_bits) >> 1;
            let mask = ring_mask(input.bits());
            let mut words = input.into_words();
            for word in &mut words {
                *word = word.wrapping_add(half) & mask;
            }
            Shares::new(bits, words)
        }
        _ => truncate_server(input, step.truncate_bits).reduce(bits),
    }
}
