//! How the C library's allocator keeps what was freed.
#![expect(unsafe_code, reason = "settings of the C library")]

/// Makes all threads share one arena; to be called before there are others.
///
/// A preparation runs on a dozen threads for some milliseconds. With an arena for each, what they freed
/// stays in all of them: a client grew from 29 MB at its first image to 55 at its 200th, with one arena
/// to 38, in the same time (`mnist_d_minionn`, GMW, `infer --json --limit N`, `peak_rss_bytes`).
pub(crate) fn one_arena() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: `mallopt` takes two integers and changes how later allocations are placed; no other
    // thread runs. It may refuse, which costs memory alone.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Gives free pages back to the system; for when a session's memory has just been freed.
///
/// One arena in which other sessions still hold blocks keeps all that lies below them: a server of
/// `mnist_d_minionn` grew from 22 to 99 MiB over 1,120 inferences of short sessions (`cargo xtask soak
/// --minutes 1`).
pub(crate) fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: `malloc_trim` may be called at any time from any thread; it touches free memory alone.
    unsafe {
        libc::malloc_trim(0);
    }
}
