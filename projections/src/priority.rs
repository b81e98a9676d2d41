//! How much a thread steps back for those whom somebody waits for.

/// How far a thread stands back.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Priority {
    /// Behind everything: for hours of work that nobody waits for.
    Lowest,
    /// Behind those who answer requests; others wait for it when it falls far behind.
    Low,
}

/// Lets others go first, where the system lets a thread choose. The thread may hold no lock for long that anybody waits for.
pub(crate) fn stand_back(priority: Priority) {
    #[cfg(target_os = "linux")]
    {
        let nice = match priority {
            Priority::Lowest => 19,
            // A quarter of a core at the least, when all are busy.
            Priority::Low => 5,
        };
        // Of this thread alone, whatever the call's name says: Linux has priorities by thread.
        if let Err(error) = rustix::process::setpriority_process(None, nice) {
            tracing::debug!(%error, ?priority, "a thread has the priority of all others");
        }
    }
    #[cfg(not(target_os = "linux"))]
    tracing::trace!(?priority, "threads have one priority here");
}
