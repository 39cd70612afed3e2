//! A connection whose client must read: one that takes nothing for long is closed, so that it holds no answer, no
//! exchange with upstream and no place among the connections. hyper has no such limit.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep},
};

/// A stream whose writes fail once none of them has made progress for a time.
#[derive(Debug)]
pub(super) struct WriteTimeout<S> {
    stream: S,
    limit: Duration,
    /// The moment since which the peer has taken nothing that it was sent; `None` as long as it takes all.
    stalled: Option<Instant>,
    /// Fires when the peer has stalled for too long; `None` as long as it never did. It is not reset for each write, which would cost more than
    /// the write.
    timer: Option<Pin<Box<Sleep>>>,
}

impl<S> WriteTimeout<S> {
    pub(super) const fn new(stream: S, limit: Duration) -> Self {
        Self { stream, limit, stalled: None, timer: None }
    }

    /// Passes on the result of a write. One that waits fails if the peer has stalled for too long.
    fn limited<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let deadline = *self.stalled.get_or_insert_with(Instant::now) + self.limit;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        loop {
            ready!(timer.as_mut().poll(context));
            if timer.deadline() >= deadline {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            timer.as_mut().reset(deadline);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WriteTimeout<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WriteTimeout<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.limited(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.limited(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.limited(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let closed = Pin::new(&mut self.stream).poll_shutdown(context);
        self.limited(context, closed)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

    use super::*;

    const LIMIT: Duration = Duration::from_mins(1);
    /// A little less.
    const PAUSE: Duration = Duration::from_secs(59);

    fn pipe() -> (WriteTimeout<DuplexStream>, DuplexStream) {
        let (ours, theirs) = tokio::io::duplex(4);
        (WriteTimeout::new(ours, LIMIT), theirs)
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_nothing_for_long_is_given_up() {
        let (mut ours, _theirs) = pipe();
        let began = Instant::now();
        let error = ours.write_all(b"more than fits").await.unwrap_err();
        assert_eq!((error.kind(), began.elapsed()), (io::ErrorKind::TimedOut, LIMIT));
    }

    #[tokio::test(start_paused = true)]
    async fn each_byte_that_it_takes_gives_it_as_long_again() {
        let (mut ours, mut theirs) = pipe();
        let began = Instant::now();
        let reads = async {
            for _ in 0..10 {
                tokio::time::sleep(PAUSE).await;
                theirs.read_u8().await.unwrap();
            }
        };
        let (written, ()) = tokio::join!(ours.write_all(&[b'x'; 14]), reads);
        written.unwrap();
        assert_eq!(began.elapsed(), PAUSE * 10);
        // Nothing was written meanwhile: a pause of ours is not the peer's.
        tokio::time::sleep(LIMIT * 10).await;
        let stalled = Instant::now();
        let error = ours.write_all(b"more").await.unwrap_err();
        assert_eq!((error.kind(), stalled.elapsed()), (io::ErrorKind::TimedOut, LIMIT));
    }
}
