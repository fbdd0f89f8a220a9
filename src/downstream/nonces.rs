//! The nonces of `gatekeeper doctor`, which prove that the public URL leads to this very gate.
//!
//! The admin listener hands one out. The first request for `/.well-known/gatekeeper/NONCE` within a
//! minute is answered with 204 and recorded; it never reaches the app. Any other request for such a
//! path is judged like every other one, so a nonce that is not pending reveals nothing.

use std::{
    net::IpAddr,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use rustls::crypto::ring;
use serde::{Deserialize, Serialize};

use crate::http1::{FieldName, RequestHead, Version};

/// The path that a nonce is appended to (RFC 8615).
pub const NONCE_PATH: &str = "/.well-known/gatekeeper/";
/// Lifetime of a nonce, arrived or not.
const NONCE_LIFETIME: Duration = Duration::from_secs(60);
/// Most nonces at once, arrived ones included.
const MAX_NONCES: usize = 16;
/// Length of a nonce in hex digits: 128 bits.
const NONCE_LENGTH: usize = 32;
/// Most forwarding fields that are recorded of one request.
const MAX_FIELDS: usize = 16;
/// Most bytes that are recorded of one value.
const MAX_VALUE: usize = 512;

/// The nonces that were handed out lately.
#[derive(Debug, Default)]
pub struct Nonces {
    /// The number of pending nonces. While it is zero, a request costs one relaxed load.
    pending: AtomicUsize,
    issued: Mutex<Vec<Issued>>,
}

#[derive(Debug)]
struct Issued {
    nonce: String,
    until: Instant,
    arrival: Option<Arrival>,
}

/// The request with a nonce, as it arrived.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrival {
    /// The path before `/.well-known/gatekeeper/`; empty where nothing in front added or kept a prefix.
    pub prefix: String,
    /// `Host`.
    pub host: String,
    /// `Forwarded` and `X-Forwarded-*`, in their order.
    pub forwarded: Vec<(String, String)>,
    /// The address of the client or of the proxy in front; `None` over a Unix socket.
    pub peer: Option<IpAddr>,
    /// Whether it came over TLS of the gate's own.
    pub tls: bool,
    /// `HTTP/1.1`, for example.
    pub http: String,
}

impl Arrival {
    fn of(head: &RequestHead, prefix: &[u8], peer: Option<IpAddr>, tls: bool) -> Self {
        let is_forwarding = |name: &[u8]| {
            let start = name.split_at_checked(12).map_or(name, |(start, _)| start);
            name.eq_ignore_ascii_case(b"forwarded") || start.eq_ignore_ascii_case(b"x-forwarded-")
        };
        let fields = head.fields.iter().filter(|field| is_forwarding(field.raw_name));
        let http = match head.version() {
            Version::Http10 => "HTTP/1.0",
            Version::Http11 => "HTTP/1.1",
            Version::Http2 => "HTTP/2",
        };
        Self {
            prefix: shortened(prefix),
            host: shortened(head.fields.get(FieldName::Host).unwrap_or_default()),
            forwarded: fields
                .map(|field| (shortened(field.raw_name), shortened(field.value)))
                .take(MAX_FIELDS)
                .collect(),
            peer,
            tls,
            http: http.to_owned(),
        }
    }
}

fn shortened(value: &[u8]) -> String {
    String::from_utf8_lossy(value.get(..MAX_VALUE).unwrap_or(value)).into_owned()
}

impl Nonces {
    /// Hands out a nonce; `None` while 16 are in use, or without random bytes.
    pub fn issue(&self) -> Option<String> {
        self.remove_expired();
        let mut issued = self.lock();
        if issued.len() >= MAX_NONCES {
            return None;
        }
        let nonce = random_hex()?;
        let until = Instant::now().checked_add(NONCE_LIFETIME)?;
        issued.push(Issued { nonce: nonce.clone(), until, arrival: None });
        self.count(&issued);
        Some(nonce)
    }

    /// Returns the request that arrived with this nonce; `Some(None)` while it is pending, and `None`
    /// for a nonce that is unknown or expired.
    pub fn arrival(&self, nonce: &str) -> Option<Option<Arrival>> {
        self.remove_expired();
        let issued = self.lock();
        issued.iter().find(|issued| issued.nonce == nonce).map(|issued| issued.arrival.clone())
    }

    /// The same, and forgets the nonce.
    pub fn take(&self, nonce: &str) -> Option<Option<Arrival>> {
        let arrival = self.arrival(nonce);
        let mut issued = self.lock();
        issued.retain(|issued| issued.nonce != nonce);
        self.count(&issued);
        arrival
    }

    /// Forgets what has expired.
    fn remove_expired(&self) {
        let now = Instant::now();
        let mut issued = self.lock();
        issued.retain(|issued| issued.until > now);
        self.count(&issued);
    }

    /// Records a request if its path ends with a pending nonce, which is then no longer pending.
    pub(super) fn record(&self, head: &RequestHead, peer: Option<IpAddr>, tls: bool) -> bool {
        if self.pending.load(Ordering::Relaxed) == 0 {
            return false;
        }
        let Some((prefix, nonce)) = split_path(head.path()) else { return false };
        self.remove_expired();
        let mut issued = self.lock();
        let pending =
            |issued: &&mut Issued| issued.arrival.is_none() && issued.nonce.as_bytes() == nonce;
        let Some(pending) = issued.iter_mut().find(pending) else { return false };
        pending.arrival = Some(Arrival::of(head, prefix, peer, tls));
        self.count(&issued);
        true
    }

    fn count(&self, issued: &[Issued]) {
        let pending = issued.iter().filter(|issued| issued.arrival.is_none()).count();
        self.pending.store(pending, Ordering::Relaxed);
    }

    /// A panic elsewhere cannot leave a half-changed list behind.
    fn lock(&self) -> MutexGuard<'_, Vec<Issued>> {
        self.issued.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Splits a path into what stands before [`NONCE_PATH`], and the nonce. A proxy that adds or keeps a
/// prefix is recognised by the former.
fn split_path(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let (before, nonce) = path.split_at_checked(path.len().checked_sub(NONCE_LENGTH)?)?;
    Some((before.strip_suffix(NONCE_PATH.as_bytes())?, nonce))
}

fn random_hex() -> Option<String> {
    let mut bytes = [0; 16];
    ring::default_provider().secure_random.fill(&mut bytes).ok()?;
    Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(path: &str) -> RequestHead {
        let fields = [
            (&b"Host"[..], &b"h:1"[..]),
            (b"x-forwarded-PROTO", b"https"),
            (b"Forwarded", b"for=x"),
            (b"X-Forwardedness", b"no"),
            (b"Cookie", b"no"),
        ];
        RequestHead::from_http2("GET", path, fields.into_iter())
    }

    fn head_of(nonce: &str) -> RequestHead {
        head(&path(nonce))
    }

    fn path(nonce: &str) -> String {
        format!("{NONCE_PATH}{nonce}")
    }

    #[test]
    fn a_nonce_arrives_once_and_is_recorded() {
        let nonces = Nonces::default();
        let nonce = nonces.issue().unwrap();
        assert_eq!(nonces.arrival(&nonce), Some(None));
        let arrived = head(&format!("/prod{}", path(&nonce)));
        assert!(nonces.record(&arrived, None, true));
        assert!(!nonces.record(&arrived, None, true), "it is used up");
        let arrival = nonces.arrival(&nonce).unwrap().unwrap();
        assert_eq!((arrival.prefix.as_str(), arrival.host.as_str()), ("/prod", "h:1"));
        let names: Vec<&str> = arrival.forwarded.iter().map(|(name, _)| &**name).collect();
        assert_eq!(names, ["x-forwarded-PROTO", "Forwarded"]);
        assert!(arrival.tls && arrival.http == "HTTP/2");
        assert_eq!(nonces.pending.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn other_paths_and_expired_nonces_are_not_recorded() {
        let nonces = Nonces::default();
        let nonce = nonces.issue().unwrap();
        for path in [
            String::from("/"),
            path(""),
            path(&"0".repeat(32)),
            path(&nonce.to_uppercase()) + "x",
            format!("{}/", path(&nonce)),
            format!("/.well-known/gatekeeper{nonce}"),
        ] {
            assert!(!nonces.record(&head(&path), None, false), "{path}");
        }
        for issued in nonces.lock().iter_mut() {
            issued.until = Instant::now();
        }
        assert!(!nonces.record(&head(&path(&nonce)), None, false));
        assert_eq!((nonces.arrival(&nonce), nonces.lock().len()), (None, 0));
    }

    #[test]
    fn the_number_of_nonces_and_the_size_of_an_arrival_are_bounded() {
        let nonces = Nonces::default();
        let issued: Vec<String> = std::iter::from_fn(|| nonces.issue()).collect();
        assert_eq!(issued.len(), MAX_NONCES);
        let long = "v".repeat(9000);
        let many = std::iter::repeat_n((&b"X-Forwarded-For"[..], long.as_bytes()), 99);
        let head = RequestHead::from_http2("GET", &path(&issued[0]), many);
        assert!(nonces.record(&head, None, false));
        let arrival = nonces.arrival(&issued[0]).unwrap().unwrap();
        assert_eq!(arrival.forwarded.len(), MAX_FIELDS);
        assert!(arrival.forwarded.iter().all(|(_, value)| value.len() == MAX_VALUE));
        assert_eq!(nonces.issue(), None, "an arrived one counts too");
        assert_eq!(nonces.take(&issued[0]), Some(Some(arrival)));
        assert!(nonces.take(&issued[0]).is_none() && nonces.issue().is_some());
        assert_eq!(nonces.take(&issued[1]), Some(None));
        assert!(!nonces.record(&head_of(&issued[1]), None, false), "forgotten, so not pending");
    }
}
