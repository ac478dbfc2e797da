//! What is between a mail server and `lettre`: a line at a time, and not without end.

use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::io;
use std::net::SocketAddr;

use lettre::transport::smtp::client::AsyncTokioStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// How much a server may say before it is asked again: the longest answers to commands and the handshake of TLS have a
/// few kilobytes.
const MOST_UNASKED: usize = 64 * 1024;
const CHUNK: usize = 4096;

/// A connection that gives out at most one line with each read.
///
/// `lettre` keeps what it has read of a plain connection when TLS begins on it (`STARTTLS`), so that whoever is on the
/// wire could put answers behind the one that is waited for and have them taken for the server's own (CVE-2011-0411).
/// Here it has never read past that line: what comes behind it goes to the handshake, which fails.
pub(super) struct Lines {
    stream: TcpStream,
    /// Read and not given out yet.
    held: Vec<u8>,
    /// How much was given out since the last write.
    unasked: usize,
}

impl Lines {
    pub(super) const fn new(stream: TcpStream) -> Self {
        Self { stream, held: Vec::new(), unasked: 0 }
    }

    fn stream(&mut self) -> Pin<&mut TcpStream> {
        Pin::new(&mut self.stream)
    }
}

impl AsyncRead for Lines {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.held.is_empty() {
            let mut chunk = [0; CHUNK];
            let mut chunk = ReadBuf::new(&mut chunk);
            ready!(self.stream().poll_read(cx, &mut chunk))?;
            self.held.extend_from_slice(chunk.filled());
        }
        let line = self
            .held
            .iter()
            .position(|byte| *byte == b'\n')
            .map_or(self.held.len(), |at| at.saturating_add(1));
        let given: Vec<u8> = self.held.drain(..line.min(out.remaining())).collect();
        self.unasked = self.unasked.saturating_add(given.len());
        if self.unasked > MOST_UNASKED {
            return Poll::Ready(Err(io::Error::other("the server says too much")));
        }
        out.put_slice(&given);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Lines {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(self.stream().poll_write(cx, bytes))?;
        self.unasked = 0;
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_shutdown(cx)
    }
}

impl AsyncTokioStream for Lines {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.stream.peer_addr()
    }
}

impl fmt::Debug for Lines {
    /// What a server says repeats addresses.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lines")
            .field("stream", &self.stream)
            .field("held", &self.held.len())
            .finish_non_exhaustive()
    }
}
