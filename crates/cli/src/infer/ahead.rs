//! Inputs decoded and encoded one ahead of the session: however many there are, one picture and
//! two encoded inputs are in memory.

use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

use crate::failure::Failure;
use gazelle_input::{Encoder, Input, InputError, Notice};

/// An input as the protocol takes it.
#[derive(Debug)]
pub(crate) struct Encoded {
    /// The path as typed, with `#index` in files of several.
    pub(crate) name: String,
    /// Integers `x 2^scale`, row-major.
    pub(crate) values: Vec<i64>,
    /// What its owner may not expect.
    pub(crate) notices: Vec<Notice>,
    /// A PNG of what the model is shown, if a report wants it and the input is a picture.
    pub(crate) thumbnail: Option<Vec<u8>>,
}

/// Longest side of a thumbnail: twice what a page shows, for fine screens.
const THUMBNAIL: u32 = 192;

impl Encoded {
    /// `picture`: whether a thumbnail is wanted.
    pub(crate) fn new(encoder: &Encoder, input: &Input, picture: bool) -> Result<Self, Failure> {
        let (values, notices) = encoder.encode(input)?;
        let shown = if picture { encoder.shown(input)? } else { None };
        let thumbnail = shown.and_then(|image| image.thumbnail(THUMBNAIL));
        Ok(Self { name: input.name.clone(), values, notices, thumbnail })
    }
}

/// A thread that stays one input ahead.
pub(crate) struct Ahead {
    encoded: Receiver<Result<Encoded, Failure>>,
    thread: JoinHandle<()>,
}

impl Ahead {
    /// Starts on `inputs`, each of which `encode` turns into what the protocol takes.
    ///
    /// # Errors
    /// The system has no thread for it.
    pub(crate) fn start(
        inputs: impl Iterator<Item = Result<Input, InputError>> + Send + 'static,
        encode: impl Fn(&Input) -> Result<Encoded, Failure> + Send + 'static,
    ) -> Result<Self, Failure> {
        // No buffer: what the thread holds in its hand is the one ahead.
        let (give, encoded) = sync_channel(0);
        let work = move || {
            for input in inputs {
                let input = input.map_err(Failure::from).and_then(|input| encode(&input));
                if give.send(input).is_err() {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("inputs".into()).spawn(work)?;
        Ok(Self { encoded, thread })
    }

    /// The next input; `None` after the last.
    pub(crate) fn next(&self) -> Option<Result<Encoded, Failure>> {
        self.encoded.recv().ok()
    }

    /// After the last input: whether there were no more, or the thread died.
    pub(crate) fn end(self) -> Result<(), Failure> {
        drop(self.encoded);
        self.thread.join().map_err(|_| Failure::Run("the thread that reads inputs panicked".into()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use gazelle_model::samples::NpyTensor;

    use super::*;
    use gazelle_input::Content;

    fn input(name: &str, value: f32) -> Input {
        let content = Content::Tensor(NpyTensor { shape: vec![1], values: vec![value] });
        Input { name: name.into(), content, transparent: false }
    }

    fn encode(input: &Input) -> Result<Encoded, Failure> {
        let Content::Tensor(tensor) = &input.content else {
            return Err(Failure::Run("not a tensor".into()));
        };
        let values = tensor.values.iter().map(|value| *value as i64).collect();
        Ok(Encoded { name: input.name.clone(), values, notices: Vec::new(), thumbnail: None })
    }

    #[test]
    fn one_input_is_read_ahead_and_no_more() {
        let read = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&read);
        let inputs = (0..50).map(move |index| {
            count.fetch_add(1, Ordering::SeqCst);
            Ok(input("a", index as f32))
        });
        let ahead = Ahead::start(inputs, encode).unwrap();
        for taken in 1..=20usize {
            let input = ahead.next().unwrap().unwrap();
            assert_eq!(input.values, [taken as i64 - 1]);
            std::thread::sleep(Duration::from_millis(5));
            assert!(read.load(Ordering::SeqCst) <= taken + 1);
        }
        // Leaving early ends the thread.
        ahead.end().unwrap();
        assert!(read.load(Ordering::SeqCst) <= 22);
    }

    #[test]
    fn an_error_is_one_inputs_own() {
        let inputs = vec![Err(InputError::Usage("broken".into())), Ok(input("a", 1.0))];
        let ahead = Ahead::start(inputs.into_iter(), encode).unwrap();
        assert!(ahead.next().unwrap().is_err());
        assert_eq!(ahead.next().unwrap().unwrap().name, "a");
        assert!(ahead.next().is_none());
        ahead.end().unwrap();
    }
}
