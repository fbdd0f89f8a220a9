//! A client that writes bytes and reads one response at a time, with a deadline on everything.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
};

use super::{TEST_TIMEOUT, fields_of, find, latin1, values};

/// One connection to the gate.
pub(crate) struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// A response as received.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    /// `HTTP/1.1 200 OK`
    pub(crate) line: String,
    pub(crate) status: u16,
    /// With the case of their names kept.
    pub(crate) fields: Vec<(String, String)>,
    /// Decoded if it was chunked.
    pub(crate) body: Vec<u8>,
}

impl Response {
    pub(crate) fn values(&self, name: &str) -> Vec<&str> {
        values(&self.fields, name)
    }

    pub(crate) fn text(&self) -> String {
        latin1(&self.body)
    }
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&address, TEST_TIMEOUT).expect("the gate listens");
        stream.set_read_timeout(Some(TEST_TIMEOUT)).unwrap();
        stream.set_write_timeout(Some(TEST_TIMEOUT)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: Vec::new() }
    }

    /// Writes the bytes. Ignores an error, since a gate that has refused may close early.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        let _closed = self.stream.write_all(bytes);
    }

    /// Closes the sending direction. Ignores an error, since the gate may have closed already.
    pub(crate) fn half_close(&self) {
        let _closed = self.stream.shutdown(Shutdown::Write);
    }

    /// The next response, interim ones included.
    pub(crate) fn response(&mut self) -> Response {
        self.try_response().expect("a whole response")
    }

    /// The same; an error if the connection ends instead.
    pub(crate) fn try_response(&mut self) -> io::Result<Response> {
        let response = self.try_head()?;
        let body = self.body(response.status, &response.fields)?;
        Ok(Response { body, ..response })
    }

    /// The same without a body, for a response to HEAD.
    pub(crate) fn try_head(&mut self) -> io::Result<Response> {
        let head = self.until(b"\r\n\r\n")?;
        let text = latin1(&head);
        let line = text.lines().next().unwrap_or_default().to_owned();
        let status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("no status in {line:?}")))?;
        Ok(Response { line, status, fields: fields_of(&head), body: Vec::new() })
    }

    fn body(&mut self, status: u16, fields: &[(String, String)]) -> io::Result<Vec<u8>> {
        if status < 200 || matches!(status, 204 | 304) {
            return Ok(Vec::new());
        }
        if values(fields, "Transfer-Encoding") == ["chunked"] {
            return self.chunks();
        }
        match values(fields, "Content-Length")[..] {
            [length] => self.exactly(length.parse().map_err(io::Error::other)?),
            _ => self.rest(),
        }
    }

    fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = latin1(&self.until(b"\r\n")?);
            let size = usize::from_str_radix(line.trim_end(), 16).map_err(io::Error::other)?;
            body.extend(self.exactly(size)?);
            self.until(b"\r\n")?;
            if size == 0 {
                return Ok(body);
            }
        }
    }

    /// Everything up to and including `end`.
    pub(crate) fn until(&mut self, end: &[u8]) -> io::Result<Vec<u8>> {
        loop {
            if let Some(at) = find(&self.buffer, end) {
                return Ok(self.buffer.drain(..at + end.len()).collect());
            }
            self.fill()?;
        }
    }

    /// The next `length` bytes.
    pub(crate) fn exactly(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < length {
            self.fill()?;
        }
        Ok(self.buffer.drain(..length).collect())
    }

    /// Everything up to the end of the connection.
    pub(crate) fn rest(&mut self) -> io::Result<Vec<u8>> {
        loop {
            match self.fill() {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Ok(std::mem::take(&mut self.buffer));
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether the gate closes or resets the connection without another byte.
    pub(crate) fn is_at_end(&mut self) -> bool {
        match self.fill() {
            Ok(()) => false,
            Err(error) => {
                !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
            }
        }
    }

    /// Whether nothing is received during `pause`.
    pub(crate) fn stays_silent(&mut self, pause: std::time::Duration) -> bool {
        self.stream.set_read_timeout(Some(pause)).unwrap();
        let filled = self.fill();
        self.stream.set_read_timeout(Some(TEST_TIMEOUT)).unwrap();
        filled.is_err_and(|error| {
            matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
        })
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut piece = [0; 16 * 1024];
        match self.stream.read(&mut piece)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            length => {
                self.buffer.extend_from_slice(&piece[..length]);
                Ok(())
            }
        }
    }
}
