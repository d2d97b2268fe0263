//! Setups and offline phases on threads of their own, where somebody wants to give these another priority.

use crate::error::GazelleError;

/// What a thread that makes material does first.
pub type OfflineStart<'a> = Box<dyn FnOnce() + Send + 'a>;

/// Does a setup or an offline phase: here, or on a thread of its own that calls `start` first. The threads that such a
/// thread starts, and the pools that are made for it, begin as it is by then: on Linux with its niceness.
pub(crate) fn apart<T: Send>(
    start: Option<OfflineStart<'_>>,
    work: impl FnOnce() -> Result<T, GazelleError> + Send,
) -> Result<T, GazelleError> {
    let Some(start) = start else { return work() };
    // Online phases use the common pool, which this makes if it is not there: its threads must not begin as such
    // a thread's.
    rayon::current_num_threads();
    std::thread::scope(|scope| {
        let work = || {
            start();
            work()
        };
        let thread = std::thread::Builder::new().name("offline".into()).spawn_scoped(scope, work);
        let thread = thread.map_err(|_| GazelleError::Panicked)?;
        match thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::thread::current;

    use super::*;

    #[test]
    fn without_a_start_all_is_done_here_and_with_one_elsewhere() {
        let here = current().id();
        assert_eq!(apart(None, || Ok(current().id())).unwrap(), here);
        let mut first = None;
        let start: OfflineStart<'_> = Box::new(|| first = Some(current().id()));
        let other = apart(Some(start), || Ok(current().id())).unwrap();
        assert_ne!(other, here);
        assert_eq!(first, Some(other));
    }

    #[test]
    fn errors_and_panics_come_through() {
        let fails = || Err::<(), _>(GazelleError::Allowance);
        let result = apart(Some(Box::new(|| ())), fails);
        assert!(matches!(result, Err(GazelleError::Allowance)), "{result:?}");
        let panics = || apart::<()>(Some(Box::new(|| ())), || panic!("as on the session's thread"));
        assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
    }
}
