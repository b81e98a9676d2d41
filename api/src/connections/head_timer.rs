//! The timer for request heads. hyper asks for a new one with every request and drops it when the head has come; this one
//! keeps what the runtime knows of it, so that a request costs no visit to the runtime's timers.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use hyper::rt::{Sleep, Timer};
use tokio::task::unconstrained;
use tokio::time;

/// The timer of one connection.
#[derive(Clone, Default)]
pub(super) struct HeadTimer {
    kept: Arc<Mutex<Option<Alarm>>>,
}

/// What the runtime knows: when to wake whom. It may be set too early, never too late.
struct Alarm {
    sleep: Pin<Box<time::Sleep>>,
    /// Who is woken; none before it was polled.
    wakes: Option<Waker>,
}

/// Until one request's head is due.
struct HeadSleep {
    due: Instant,
    /// None once it has been dropped.
    alarm: Option<Alarm>,
    kept: Arc<Mutex<Option<Alarm>>>,
}

impl Timer for HeadTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(Instant::now() + duration)
    }

    fn sleep_until(&self, due: Instant) -> Pin<Box<dyn Sleep>> {
        let alarm = lock(&self.kept).take().filter(|alarm| alarm.sleep.deadline().into_std() <= due);
        let alarm =
            alarm.or_else(|| Some(Alarm { sleep: Box::pin(time::sleep_until(due.into())), wakes: None }));
        Box::pin(HeadSleep { due, alarm, kept: Arc::clone(&self.kept) })
    }
}

impl Sleep for HeadSleep {}

impl Future for HeadSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let due = self.due;
        let Some(alarm) = &mut self.alarm else { return Poll::Ready(()) };
        loop {
            let is_set = alarm.wakes.as_ref().is_some_and(|wakes| wakes.will_wake(context.waker()));
            if is_set && !alarm.sleep.is_elapsed() {
                return Poll::Pending;
            }
            alarm.wakes = Some(context.waker().clone());
            // A task that has used up its turn would be told to come back, without being noted down to be woken.
            ready!(pin!(unconstrained(alarm.sleep.as_mut())).poll(context));
            if alarm.sleep.deadline().into_std() >= due {
                return Poll::Ready(());
            }
            // It was set for an earlier request.
            alarm.wakes = None;
            alarm.sleep.as_mut().reset(due.into());
        }
    }
}

impl Drop for HeadSleep {
    fn drop(&mut self) {
        *lock(&self.kept) = self.alarm.take();
    }
}

fn lock(kept: &Mutex<Option<Alarm>>) -> MutexGuard<'_, Option<Alarm>> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: Duration = Duration::from_secs(75);
    const SHORT: Duration = Duration::from_millis(50);
    const SOON: Duration = Duration::from_secs(10);

    /// Looks at it once, as a connection does that waits for a head.
    async fn look_at(sleep: &mut Pin<Box<dyn Sleep>>) {
        let looked = std::future::poll_fn(|context| Poll::Ready(sleep.as_mut().poll(context)));
        let _is_over: Poll<()> = looked.await;
    }

    async fn ends_when_due(timer: &HeadTimer, due: Instant) {
        time::timeout(SOON, timer.sleep_until(due)).await.expect("woken");
        assert!(Instant::now() >= due);
    }

    #[tokio::test]
    async fn each_head_has_its_own_time_whatever_was_set_before() {
        let timer = HeadTimer::default();
        for _ in 0..3 {
            // The first one sets the alarm; it goes off too early for the others, and perhaps while nobody looks.
            look_at(&mut timer.sleep(SHORT)).await;
            ends_when_due(&timer, Instant::now() + 3 * SHORT).await;
            look_at(&mut timer.sleep(SHORT)).await;
            time::sleep(2 * SHORT).await;
        }
    }

    #[tokio::test]
    async fn a_shorter_time_than_the_one_before_is_kept_too() {
        let timer = HeadTimer::default();
        look_at(&mut timer.sleep(HEAD)).await;
        ends_when_due(&timer, Instant::now() + SHORT).await;
    }

    #[tokio::test]
    async fn whichever_task_looks_last_is_woken() {
        let timer = HeadTimer::default();
        look_at(&mut timer.sleep(SHORT)).await;
        let due = Instant::now() + 3 * SHORT;
        let mut sleep = timer.sleep_until(due);
        look_at(&mut sleep).await;
        time::timeout(SOON, tokio::spawn(sleep)).await.expect("woken").unwrap();
        assert!(Instant::now() >= due);
    }
}
