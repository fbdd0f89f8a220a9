//! HTTP/2 connections whose end a test waits for, and requests in the form of HTTP/2.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use super::{
    TEST_TIMEOUT,
    frames::{Field, PING, SETTINGS, frame},
    gate::Gate,
    message::Message,
};

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// `SETTINGS_INITIAL_WINDOW_SIZE` of 0: no DATA may be sent to this client.
pub(crate) const NO_WINDOW: [u8; 6] = [0, 4, 0, 0, 0, 0];

/// A connection that reads nothing until its end is waited for.
pub(crate) struct Mute(TcpStream);

impl Mute {
    /// Connects and sends nothing yet.
    pub(crate) fn connect(gate: &Gate) -> Self {
        let stream = TcpStream::connect_timeout(&gate.address(), TEST_TIMEOUT).unwrap();
        stream.set_write_timeout(Some(TEST_TIMEOUT)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(stream)
    }

    /// Connects and sends the preface with these settings.
    pub(crate) fn open(gate: &Gate, settings: &[u8]) -> Self {
        let mut mute = Self::connect(gate);
        mute.send(&[PREFACE, &frame(SETTINGS, 0, 0, settings)].concat());
        mute
    }

    /// Writes; a gate that has closed may not want it.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        let _closed = self.0.write_all(bytes);
    }

    /// Waits until the gate has read all that was sent: until it answers a PING, or closes.
    pub(crate) fn wait_until_read(&mut self) {
        self.send(&frame(PING, 0, 0, &[7; 8]));
        self.0.set_read_timeout(Some(TEST_TIMEOUT)).unwrap();
        let mut head = [0; 9];
        while self.0.read_exact(&mut head).is_ok() {
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; usize::try_from(length).unwrap()];
            if self.0.read_exact(&mut payload).is_err() || head[3] == PING && head[4] == 1 {
                return;
            }
        }
    }

    /// Whether the gate closes the connection within this time, whatever it sends before.
    pub(crate) fn ends_within(&mut self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        let mut ignored = [0; 4096];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            self.0.set_read_timeout(Some(left)).unwrap();
            match self.0.read(&mut ignored) {
                Ok(1..) => {}
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    return false;
                }
                Ok(0) | Err(_) => return true,
            }
        }
    }
}

/// A field as HTTP/2 sends it.
pub(crate) fn field(name: &str, value: &str) -> Field {
    (name.as_bytes().to_vec(), value.as_bytes().to_vec())
}

/// The header fields of a request, pseudo-header fields first.
pub(crate) fn request_fields(message: &Message) -> Vec<Field> {
    let pseudo = [
        field(":method", &message.method),
        field(":scheme", "https"),
        field(":authority", &message.host),
        field(":path", &message.target),
    ];
    let own = message.fields.iter().map(|(name, value)| field(&name.to_lowercase(), value));
    pseudo.into_iter().chain(own).collect()
}
