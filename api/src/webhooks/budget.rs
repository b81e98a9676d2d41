//! How much strangers may write into the log.
//!
//! A request with a bad signature is worth keeping: most often it is a genuine sender with the wrong secret. But
//! the log never forgets, and anybody can send such requests, so each source has a budget of them.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use ledger::ids::TenantId;

/// How many are kept at once before the budget is used up.
const BURST: u32 = 20;
/// How long until the budget allows one more.
const REFILL: Duration = Duration::from_secs(60);
/// The largest body that is kept of an unverified request, in bytes.
pub(super) const MAX_UNVERIFIED_BODY: usize = 16 * 1024;

/// A token bucket for each configured source of each tenant, so it is bounded by the configuration.
#[derive(Default)]
pub(super) struct Budget {
    buckets: Mutex<HashMap<(TenantId, String), Bucket>>,
}

struct Bucket {
    left: u32,
    refilled_at: Instant,
}

impl Budget {
    /// Takes one from the source's budget, if there is one left.
    pub(super) fn take(&self, tenant: &TenantId, source: &str, now: Instant) -> bool {
        // A poisoned lock is only a count that may be off by one.
        let mut buckets = self.buckets.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let key = (tenant.clone(), source.to_owned());
        let bucket = buckets.entry(key).or_insert(Bucket { left: BURST, refilled_at: now });
        let passed = now.saturating_duration_since(bucket.refilled_at);
        let earned = u32::try_from(passed.as_secs() / REFILL.as_secs()).unwrap_or(BURST).min(BURST);
        if earned > 0 {
            bucket.left = (bucket.left + earned).min(BURST);
            bucket.refilled_at = if earned == BURST { now } else { bucket.refilled_at + REFILL * earned };
        }
        let allowed = bucket.left > 0;
        bucket.left = bucket.left.saturating_sub(1);
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_kept_and_then_one_a_minute() {
        let budget = Budget::default();
        let tenant: TenantId = "demo".parse().unwrap();
        let start = Instant::now();
        let taken = |after: u64, times: usize| {
            let now = start + Duration::from_secs(after);
            (0..times).filter(|_| budget.take(&tenant, "psp", now)).count()
        };
        assert_eq!(taken(0, 100), 20);
        assert_eq!(taken(59, 10), 0);
        assert_eq!(taken(60, 10), 1);
        assert_eq!(taken(185, 10), 2, "the third minute is not over");
        assert_eq!(taken(100_000, 100), 20, "it never saves up more than a burst");
        assert!(budget.take(&tenant, "other", start), "each source has its own");
    }
}
