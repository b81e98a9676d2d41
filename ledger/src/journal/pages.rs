//! The pages of a partition that were read last, kept in memory for those who come along behind: readers of the feed that
//! catch up together read the same commits.
//!
//! What must stay true: only full pages are kept. Nothing is ever added to them, and nothing in them ever changes.

use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::{ReadError, Stored};

/// Commits of a page.
pub(super) const PAGE: usize = 1024;
/// Bytes of all pages that are kept.
const ROOM: u64 = 16 * 1024 * 1024;
/// What a commit takes beside its bytes, about.
const OVERHEAD: u64 = 128;
/// How many pages room is made for at once.
const EXPECTED: usize = 16;

/// Pages by number.
#[derive(Debug)]
pub(super) struct Pages(Cache<u64, Arc<[Stored]>, Weight>);

/// What a page takes of the room.
#[derive(Debug, Clone)]
struct Weight;

impl Weighter<u64, Arc<[Stored]>> for Weight {
    fn weight(&self, _number: &u64, page: &Arc<[Stored]>) -> u64 {
        page.iter().map(|stored| stored.bytes.len() as u64 + OVERHEAD).sum()
    }
}

impl Pages {
    /// None yet, of one of so many partitions, which share the room.
    pub(super) fn new(partitions: u16) -> Self {
        Pages(Cache::with_weighter(EXPECTED, ROOM / u64::from(partitions.max(1)), Weight))
    }

    /// The commits from after a sequence to the end of its page, or fewer of them. `fetch` reads up to so many from after
    /// a sequence, none at the end of the log alone; of those who want the same page at once, one does.
    pub(super) async fn after<F>(
        &self,
        sequence: u64,
        fetch: impl Fn(u64, usize) -> F + Send + Sync,
    ) -> Result<Vec<Stored>, ReadError>
    where
        F: Future<Output = Result<Vec<Stored>, ReadError>> + Send,
    {
        let (number, skipped) = (sequence / PAGE as u64, (sequence % PAGE as u64) as usize);
        let page = match self.0.get_value_or_guard_async(&number).await {
            Ok(page) => page,
            Err(missing) => {
                let page: Arc<[Stored]> = fetch(sequence - skipped as u64, PAGE).await?.into();
                if page.len() == PAGE {
                    // It is refused when the cache was cleared in the meantime, and is none the worse for it.
                    drop(missing.insert(Arc::clone(&page)));
                }
                page
            }
        };
        match page.get(skipped..) {
            Some(unread @ [_, ..]) => Ok(unread.to_vec()),
            // The log ends here, or commits before it are so large that it was not reached.
            _ => fetch(sequence, PAGE - skipped).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::ids::Position;
    use crate::journal::conformance::{draft, subject};

    /// A log that notes what is read of it.
    struct Log {
        commits: Vec<Stored>,
        reads: Mutex<Vec<(u64, usize)>>,
    }

    impl Log {
        fn of(length: u64) -> Self {
            let commit = |sequence| {
                let draft = draft(&subject());
                Stored {
                    position: Position { partition: 0, sequence },
                    subject: draft.subject,
                    bytes: draft.bytes,
                }
            };
            Log { commits: (1..=length).map(commit).collect(), reads: Mutex::default() }
        }

        async fn read(&self, after: u64, most: usize) -> Result<Vec<Stored>, ReadError> {
            self.reads.lock().unwrap().push((after, most));
            // Others come while it is on its way.
            tokio::task::yield_now().await;
            Ok(self.commits.iter().skip(after as usize).take(most).cloned().collect())
        }
    }

    #[tokio::test]
    async fn a_full_page_is_read_once_however_many_want_it() {
        let (log, pages) = (Log::of(3000), Pages::new(1));
        let read = || async {
            let mut read: Vec<Stored> = Vec::new();
            while read.len() < 2048 {
                read.extend(
                    pages.after(read.len() as u64, |after, most| log.read(after, most)).await.unwrap(),
                );
            }
            read
        };
        for read in futures::future::join_all((0..50).map(|_| read())).await {
            assert!(read == log.commits[..2048]);
        }
        assert_eq!(*log.reads.lock().unwrap(), [(0, 1024), (1024, 1024)]);
        let rest = pages.after(1500, |after, most| log.read(after, most)).await.unwrap();
        assert!(rest == log.commits[1500..2048]);
    }

    #[tokio::test]
    async fn a_page_that_is_not_full_is_read_again() {
        let (mut log, pages) = (Log::of(5), Pages::new(1));
        let read = async |log: &Log, sequence| {
            pages.after(sequence, |after, most| log.read(after, most)).await.unwrap().len()
        };
        assert_eq!(read(&log, 3).await, 2);
        assert_eq!(read(&log, 5).await, 0);
        log = Log { reads: Mutex::default(), ..Log::of(8) };
        assert_eq!(read(&log, 5).await, 3);
    }

    #[tokio::test]
    async fn a_reader_that_goes_away_or_fails_leaves_the_page_to_the_next() {
        let (log, pages) = (Log::of(2000), Pages::new(1));
        let gone = pages.after(0, |_, _| std::future::pending());
        assert!(futures::FutureExt::now_or_never(gone).is_none());
        let failed = pages.after(0, async |_, _| Err(ReadError::Unavailable("away".into()))).await;
        assert!(matches!(failed, Err(ReadError::Unavailable(_))));
        assert_eq!(pages.after(0, |after, most| log.read(after, most)).await.unwrap().len(), 1024);
    }
}
