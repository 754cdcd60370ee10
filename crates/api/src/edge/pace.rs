//! A stream whose peer has to keep a pace: the first bytes in time, and what it asked for taken in time.
//! It does not limit how long a well-paced exchange may last.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep},
};

use super::HEADER_TIMEOUT;

/// Bytes that tell HTTP/1.1 from HTTP/2. hyper's own header time-out starts only after them.
const FIRST_BYTES: usize = 24;
/// A peer that is behind must take this much ...
const BYTES_PER_PERIOD_MIN: usize = 4 << 10;
/// ... in this time. A phone on a bad line takes a hundred times as much.
const PERIOD: Duration = Duration::from_secs(10);

/// A stream with a pace.
pub(super) struct Paced<S> {
    stream: S,
    received: usize,
    first_bytes: Pin<Box<Sleep>>,
    behind: Option<Behind>,
}

/// The peer takes less than is offered to it.
struct Behind {
    deadline: Pin<Box<Sleep>>,
    taken: usize,
}

impl<S> Paced<S> {
    pub(super) fn new(stream: S) -> Self {
        let first_bytes = Box::pin(tokio::time::sleep(HEADER_TIMEOUT));
        Self {
            stream,
            received: 0,
            first_bytes,
            behind: None,
        }
    }

    /// Books a write's result: bytes taken, or a peer that is behind and may have used up its time.
    /// A write that was taken whole ends the arrears: nothing more is waiting for the peer.
    fn book(
        &mut self,
        written: Poll<io::Result<usize>>,
        offered: usize,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Ok(bytes)) => {
                self.behind.take_if(|behind| {
                    behind.taken += bytes;
                    bytes == offered || behind.taken >= BYTES_PER_PERIOD_MIN
                });
                Poll::Ready(Ok(bytes))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => self.wait(cx),
        }
    }

    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let behind = self.behind.get_or_insert_with(|| Behind {
            deadline: Box::pin(tokio::time::sleep_until(Instant::now() + PERIOD)),
            taken: 0,
        });
        match behind.deadline.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(timed_out("the peer reads too slowly"))),
            Poll::Pending => Poll::Pending,
        }
    }
}

fn timed_out(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what)
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, buf);
        if this.received >= FIRST_BYTES {
            return read;
        }
        this.received += buf.filled().len() - before;
        if read.is_pending() && this.first_bytes.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(timed_out("the peer says nothing")));
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.book(written, bytes.len(), cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, slices);
        this.book(written, slices.iter().map(|slice| slice.len()).sum(), cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
