//! Bodies that come at once, slowly, or without end.

use core::convert::Infallible;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;

use hyper::body::{Bytes, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

/// How much of an endless body comes at a time.
const BLANKS: &[u8] = &[b' '; 16_384];

/// The body of an answer.
#[derive(Debug)]
pub(super) struct Body {
    left: Bytes,
    pace: Pace,
}

#[derive(Debug)]
enum Pace {
    Whole,
    Slow(Duration, Pin<Box<Sleep>>),
    Endless,
}

impl Body {
    pub(super) fn whole(bytes: Vec<u8>) -> Self {
        Self { left: bytes.into(), pace: Pace::Whole }
    }

    /// One byte at a time.
    pub(super) fn slow(bytes: Vec<u8>, pause: Duration) -> Self {
        Self { left: bytes.into(), pace: Pace::Slow(pause, Box::pin(sleep(pause))) }
    }

    /// Blanks after the bytes.
    pub(super) fn endless(bytes: Vec<u8>) -> Self {
        Self { left: bytes.into(), pace: Pace::Endless }
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Self { left, pace } = &mut *self;
        let next = match pace {
            Pace::Endless if left.is_empty() => Bytes::from_static(BLANKS),
            _ if left.is_empty() => return Poll::Ready(None),
            Pace::Whole | Pace::Endless => core::mem::take(left),
            Pace::Slow(pause, timer) => {
                ready!(timer.as_mut().poll(context));
                *timer = Box::pin(sleep(*pause));
                left.split_to(1)
            }
        };
        Poll::Ready(Some(Ok(Frame::data(next))))
    }

    fn size_hint(&self) -> SizeHint {
        match self.pace {
            Pace::Whole | Pace::Slow(..) => {
                SizeHint::with_exact(self.left.len().try_into().unwrap_or(u64::MAX))
            }
            Pace::Endless => SizeHint::default(),
        }
    }
}
