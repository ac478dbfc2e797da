//! How long a step goes on where others are in its way.

use core::future::{Future, poll_fn};
use core::pin::{Pin, pin};
use core::task::Poll;
use core::time::Duration;

use crate::{Error, Runtime};

/// How long a step goes on losing races before it gives up.
const PATIENCE: Duration = Duration::from_secs(2);
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(64);

/// Two seconds of losing races and waiting, measured by the runtime's own timer and by the pauses taken.
pub(crate) struct Patience<'a> {
    runtime: &'a dyn Runtime,
    timer: Option<Pin<Box<dyn Future<Output = ()> + Send + 'a>>>,
    pause: Duration,
    paused: Duration,
}

impl<'a> Patience<'a> {
    pub(crate) fn new(runtime: &'a dyn Runtime) -> Self {
        Self { runtime, timer: None, pause: FIRST_PAUSE, paused: Duration::ZERO }
    }

    /// Waits for `future`, unless patience ends first. The timer starts at the first wait only.
    pub(crate) async fn bound<F: Future>(&mut self, future: F) -> Option<F::Output> {
        let runtime = self.runtime;
        let timer = &mut self.timer;
        let mut future = pin!(future);
        poll_fn(move |cx| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Some(output));
            }
            let timer = timer.get_or_insert_with(|| Box::pin(async move { runtime.sleep(PATIENCE).await }));
            timer.as_mut().poll(cx).map(|()| None)
        })
        .await
    }

    /// Waits a while after a lost race, longer each time, spread by `random`.
    pub(crate) async fn pause(&mut self, random: u16) -> Result<(), Error> {
        let spread = self.pause.saturating_mul(u32::from(random)).checked_div(u32::from(u16::MAX));
        let pause = spread.unwrap_or(self.pause);
        let runtime = self.runtime;
        self.bound(runtime.sleep(pause)).await.ok_or(Error::Contention)?;
        self.paused = self.paused.saturating_add(pause);
        self.pause = self.pause.saturating_mul(2).min(LONGEST_PAUSE);
        if self.paused >= PATIENCE { Err(Error::Contention) } else { Ok(()) }
    }
}
