//! How far a long piece of work has come, for the people who wait for it.

use std::time::Duration;

/// How far a long piece of work has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Pieces done, mostly commits.
    pub done: u64,
    /// Pieces to do in all, as far as is known.
    pub total: u64,
    /// Pieces a second, on average so far.
    pub rate_per_s: u64,
    /// Time left at that rate, once there is one.
    pub eta: Option<Duration>,
}

impl Progress {
    /// The progress of work that has done so much in so long.
    pub fn at(done: u64, total: u64, elapsed: Duration) -> Self {
        let rate_per_s = u128::from(done) * 1_000_000 / elapsed.as_micros().max(1);
        let rate_per_s = u64::try_from(rate_per_s).unwrap_or(u64::MAX);
        let left = total.saturating_sub(done);
        let eta = left.checked_mul(1000).and_then(|left| left.checked_div(rate_per_s));
        Progress { done, total, rate_per_s, eta: eta.map(Duration::from_millis) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_tells_the_rate_and_the_time_left() {
        let progress = Progress::at(500, 2000, Duration::from_secs(2));
        assert_eq!((progress.rate_per_s, progress.eta), (250, Some(Duration::from_secs(6))));
        assert_eq!(Progress::at(0, 2000, Duration::ZERO).eta, None);
        assert_eq!(Progress::at(2000, 2000, Duration::from_secs(1)).eta, Some(Duration::ZERO));
    }
}
