//! A lower priority for threads whose work can wait.

use crate::error::HostError;

/// How much nicer threads are to be than the others of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Niceness(u8);

impl Niceness {
    /// More than the system has.
    const BEYOND: u8 = 20;

    /// `by` steps, none for 0; a thread is nice by 19 at most, whatever it was before. Whether the system lets
    /// threads have it is tried out.
    ///
    /// # Errors
    /// [`HostError::Caller`] for 20 and more, and on systems other than Linux, whose threads have no niceness of
    /// their own; [`HostError::System`] if the system forbids it.
    pub fn new(by: u8) -> Result<Option<Self>, HostError> {
        if by >= Self::BEYOND {
            return Err(HostError::Caller(format!("a niceness of {by}: 19 at most")));
        }
        if by == 0 {
            return Ok(None);
        }
        let tried = std::thread::spawn(move || nicer(by)).join();
        match tried {
            Ok(result) => result.map(|()| Some(Self(by))),
            Err(_) => Err(HostError::Caller("a thread panicked".into())),
        }
    }

    /// Makes this thread nicer, and those that it starts from now on.
    pub fn enter(self) {
        if let Err(error) = nicer(self.0) {
            // It works as urgently as the others then.
            tracing::warn!(%error, "a thread's niceness");
        }
    }
}

#[cfg(target_os = "linux")]
fn nicer(by: u8) -> Result<(), HostError> {
    // Of this thread alone: the kernel knows no niceness of processes.
    rustix::process::nice(by.into()).map(drop).map_err(|error| HostError::System(error.into()))
}

#[cfg(not(target_os = "linux"))]
fn nicer(_by: u8) -> Result<(), HostError> {
    Err(HostError::Caller(
        "threads have no niceness of their own on this system, as they do on Linux".into(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn a_thread_and_what_it_starts_are_nicer_and_nobody_else() {
        let own = || rustix::process::getpriority_process(None).unwrap();
        let before = own();
        let nice = Niceness::new(3).unwrap().unwrap();
        let ([entered, child], again) = std::thread::spawn(move || {
            nice.enter();
            let child = std::thread::spawn(own).join().unwrap();
            let both = [own(), child];
            Niceness::new(19).unwrap().unwrap().enter();
            (both, own())
        })
        .join()
        .unwrap();
        let nicer = (before + 3).min(19);
        assert_eq!([entered, child, again], [nicer, nicer, 19]);
        assert_eq!(own(), before);
    }

    #[test]
    fn known_answer_none_and_too_much() {
        assert_eq!(Niceness::new(0).unwrap(), None);
        assert!(matches!(Niceness::new(20), Err(HostError::Caller(_))));
    }
}
