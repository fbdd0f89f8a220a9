//! Requests, their bytes on the wire and their signatures.

use super::{
    HOST, ORIGIN, TOKEN,
    signer::{self, Mac},
};

/// The content type of a form.
pub(crate) const FORM: &str = "application/x-www-form-urlencoded";

/// A request to send.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) host: String,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Option<Vec<u8>>,
}

impl Message {
    pub(crate) fn new(method: &str, target: &str) -> Self {
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            host: HOST.to_owned(),
            fields: Vec::new(),
            body: None,
        }
    }

    pub(crate) fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// A form POST, the usual Twilio webhook.
    pub(crate) fn form(target: &str, body: &str) -> Self {
        Self::post(target, FORM, body.as_bytes())
    }

    pub(crate) fn post(target: &str, content_type: &str, body: &[u8]) -> Self {
        Self::new("POST", target).field("Content-Type", content_type).body(body)
    }

    /// A JSON body with its hash in the URL.
    pub(crate) fn json(path: &str, body: &str) -> Self {
        let target = format!("{path}?bodySHA256={}", signer::sha256_hex(body.as_bytes()));
        Self::post(&target, "application/json", body.as_bytes())
    }

    pub(crate) fn handshake(target: &str) -> Self {
        Self::get(target)
            .field("Connection", "Upgrade")
            .field("Upgrade", "websocket")
            .field("Sec-WebSocket-Version", "13")
            .field("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
    }

    pub(crate) fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn host(mut self, host: &str) -> Self {
        host.clone_into(&mut self.host);
        self
    }

    /// Changes the target and keeps an existing signature.
    pub(crate) fn aimed_at(mut self, target: &str) -> Self {
        target.clone_into(&mut self.target);
        self
    }

    pub(crate) fn body(mut self, body: &[u8]) -> Self {
        self.body = Some(body.to_vec());
        self
    }

    /// Signs it as Twilio would.
    pub(crate) fn signed(self) -> Self {
        let signature = self.signature(TOKEN);
        self.field("X-Twilio-Signature", &signature)
    }

    pub(crate) fn signed_by(self, token: &str) -> Self {
        let signature = self.signature(token);
        self.field("X-Twilio-Signature", &signature)
    }

    pub(crate) fn signature(&self, token: &str) -> String {
        self.signature_at(token, ORIGIN)
    }

    pub(crate) fn signature_at(&self, token: &str, origin: &str) -> String {
        let origin =
            if self.is_handshake() { origin.replacen("http", "ws", 1) } else { origin.to_owned() };
        let url = format!("{origin}{}", self.target);
        let is_form = self.values("Content-Type") == [FORM];
        let form = self.body.as_deref().filter(|_| is_form).unwrap_or_default();
        signer::sign(Mac::Sha1, token, url.as_bytes(), &signer::pairs_of(form))
    }

    fn is_handshake(&self) -> bool {
        self.values("Upgrade") == ["websocket"]
    }

    fn values(&self, name: &str) -> Vec<&str> {
        super::values(&self.fields, name)
    }

    /// Everything before the body.
    pub(crate) fn head(&self) -> Vec<u8> {
        let length = self.body.as_ref().map(|body| ("Content-Length", body.len().to_string()));
        let chunked = !self.values("Transfer-Encoding").is_empty();
        let mut head =
            format!("{} {} HTTP/1.1\r\nHost: {}\r\n", self.method, self.target, self.host);
        let own = self.fields.iter().map(|(name, value)| (name.as_str(), value.clone()));
        for (name, value) in own.chain(length.filter(|_| !chunked)) {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        head.into_bytes()
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        [self.head(), self.body.clone().unwrap_or_default()].concat()
    }

    /// The same with its body in chunks of `size` bytes.
    pub(crate) fn chunked_bytes(&self, size: usize) -> Vec<u8> {
        let body = self.body.clone().unwrap_or_default();
        let mut bytes = self.clone().field("Transfer-Encoding", "chunked").head();
        for chunk in body.chunks(size) {
            bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            bytes.extend_from_slice(chunk);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"0\r\n\r\n");
        bytes
    }
}
