//! HTTP/1.1 on a socket, as much of it as both ends of the tests need: a head, a body in any framing, and the moment
//! when the peer goes away.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use tokio::net::TcpStream;

/// More than one write of a test: what comes in one read was in the socket's buffer together.
const READ: usize = 64 * 1024;

/// A connection and what was read from it but not yet used.
#[derive(Debug)]
pub(super) struct Wire {
    stream: TcpStream,
    buffer: BytesMut,
}

/// A request's or a response's first line and headers.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) line: String,
    pub(super) headers: HeaderMap,
}

impl Wire {
    pub(super) fn new(stream: TcpStream) -> io::Result<Self> {
        // Every write is a packet of its own: the tests say what arrives together.
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: BytesMut::new() })
    }

    /// Writes all of it, in one system call unless the socket's buffer is full.
    pub(super) async fn write(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            self.stream.writable().await?;
            match self.stream.try_write(bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Waits until there is something to read, without reading it.
    pub(super) async fn readable(&self) -> io::Result<()> {
        self.stream.readable().await
    }

    /// One read; 0 when the peer has closed. May be dropped while it waits.
    pub(super) async fn read(&mut self) -> io::Result<usize> {
        loop {
            self.stream.readable().await?;
            let used = self.buffer.len();
            self.buffer.resize(used + READ, 0);
            let read = self.stream.try_read(&mut self.buffer[used..]);
            self.buffer.truncate(used + read.as_ref().map_or(0, |length| *length));
            match read {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read,
            }
        }
    }

    /// Makes the end of this connection a reset.
    pub(super) fn reset(&self) {
        // Without it the end is a usual one.
        let _ = self.stream.set_zero_linger();
    }

    /// Ends when the peer has gone. What it still sends is kept for the next head.
    pub(super) async fn gone(&mut self) {
        while let Ok(1..) = self.read().await {}
    }

    /// The next head; `None` when the peer closes before one is complete.
    pub(super) async fn head(&mut self) -> Option<Head> {
        let end = loop {
            if let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break end;
            }
            if !matches!(self.read().await, Ok(1..)) {
                return None;
            }
        };
        let text = self.buffer.split_to(end + 4);
        let text = str::from_utf8(&text).expect("a head is text");
        let mut lines = text.split("\r\n");
        let line = lines.next().unwrap_or_default().to_owned();
        let headers = lines
            .filter(|line| !line.is_empty())
            .map(|line| {
                let (name, value) = line.split_once(':').expect("a header has a colon");
                let name = HeaderName::from_bytes(name.as_bytes()).expect("a header's name");
                (name, HeaderValue::from_str(value.trim()).expect("a header's value"))
            })
            .collect();
        Some(Head { line, headers })
    }

    /// Takes what is buffered of a body.
    pub(super) fn take(&mut self, framing: &mut Framing) -> Bytes {
        framing.take(&mut self.buffer)
    }
}

/// How a body's end is found, and how much of it is still to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    Length(usize),
    /// What is left of the current chunk's data.
    Chunk(usize),
    /// The line break after a chunk's data, then the next chunk's size.
    ChunkEnd,
    ChunkSize,
    UntilClose,
    Done,
}

impl Framing {
    pub(super) fn of_request(headers: &HeaderMap) -> Self {
        Self::declared(headers).unwrap_or(Self::Done)
    }

    pub(super) fn of_response(headers: &HeaderMap) -> Self {
        Self::declared(headers).unwrap_or(Self::UntilClose)
    }

    fn declared(headers: &HeaderMap) -> Option<Self> {
        if headers.get(header::TRANSFER_ENCODING).is_some_and(|value| value == "chunked") {
            return Some(Self::ChunkSize);
        }
        let length = headers.get(header::CONTENT_LENGTH)?;
        match length.to_str().ok().and_then(|text| text.parse().ok()) {
            Some(0) => Some(Self::Done),
            Some(length) => Some(Self::Length(length)),
            None => panic!("content-length: {length:?}"),
        }
    }

    /// Moves the buffered part of the body out of the buffer, without its framing.
    fn take(&mut self, buffer: &mut BytesMut) -> Bytes {
        let mut body = BytesMut::new();
        loop {
            match *self {
                Self::Done => return body.freeze(),
                Self::UntilClose => {
                    body.extend_from_slice(&buffer.split());
                    return body.freeze();
                }
                Self::Length(left) | Self::Chunk(left) => {
                    let part = buffer.split_to(left.min(buffer.len()));
                    body.extend_from_slice(&part);
                    *self = match (*self, left - part.len()) {
                        (Self::Length(_), 0) => Self::Done,
                        (Self::Length(_), left) => Self::Length(left),
                        (_, 0) => Self::ChunkEnd,
                        (_, left) => Self::Chunk(left),
                    };
                    if buffer.is_empty() {
                        return body.freeze();
                    }
                }
                Self::ChunkEnd => {
                    if buffer.len() < 2 {
                        return body.freeze();
                    }
                    assert_eq!(&buffer[..2], b"\r\n", "a chunk ends in a line break");
                    buffer.advance(2);
                    *self = Self::ChunkSize;
                }
                Self::ChunkSize => {
                    let Some(end) = buffer.windows(2).position(|two| two == b"\r\n") else {
                        return body.freeze();
                    };
                    let size = str::from_utf8(&buffer[..end]).expect("a chunk's size is text");
                    let size = usize::from_str_radix(size.trim(), 16).expect("a chunk's size");
                    if size > 0 {
                        buffer.advance(end + 2);
                        *self = Self::Chunk(size);
                    } else if buffer.len() < end + 4 {
                        return body.freeze();
                    } else {
                        assert_eq!(&buffer[end + 2..end + 4], b"\r\n", "no trailers");
                        buffer.advance(end + 4);
                        *self = Self::Done;
                    }
                }
            }
        }
    }
}
