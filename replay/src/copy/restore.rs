//! Storing a chunk in the target, again where it was away or did not say whether it has.

use std::time::Duration;

use ledger::ids::Position;
use ledger::journal::{AppendError, Journal, Stored};

use super::CopyError;

/// Failures of the target in a row, without a commit between them, after which it counts as away.
const TRIES: u32 = 8;
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// Stores commits that follow one another in one partition at the positions that they name.
pub(super) async fn restore(target: &dyn Journal, chunk: &[Stored]) -> Result<(), CopyError> {
    let (mut rest, mut failures) = (chunk, 0);
    while let Some(first) = rest.first().map(|commit| commit.position) {
        let error = match target.restore(rest).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        failures += 1;
        if failures == TRIES || matches!(error, AppendError::TooLarge { .. }) {
            return Err(CopyError::Append { position: first, source: error });
        }
        tokio::time::sleep(FIRST_PAUSE * 2_u32.pow(failures - 1)).await;
        let Ok(there) = target.last_sequence(first.partition).await else { continue };
        let stored = usize::try_from(there.saturating_sub(first.sequence - 1)).unwrap_or(usize::MAX);
        if stored > 0 {
            check_end(target, rest, stored).await?;
            failures = 0;
        }
        rest = rest.get(stored..).unwrap_or_default();
    }
    Ok(())
}

/// Makes sure that the newest commit of the target is the one that was to stand there.
async fn check_end(target: &dyn Journal, chunk: &[Stored], stored: usize) -> Result<(), CopyError> {
    let Some(newest) = chunk.get(stored - 1) else {
        let end = chunk.last().map_or(Position { partition: 0, sequence: 0 }, |commit| commit.position);
        return Err(CopyError::TargetGoesOn { end });
    };
    let there = target.at(newest.position).await.map_err(CopyError::Target)?;
    if there.as_ref() != Some(newest) {
        return Err(CopyError::Differs { position: newest.position });
    }
    Ok(())
}
