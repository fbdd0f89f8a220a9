//! Sends every vector to the real binary over raw sockets.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use serde::Deserialize;

use crate::support::{
    client::{Client, Response},
    gate::{Folder, Gate, check},
    signer::bytes_of_base64,
    upstream::{Recorded, Upstream},
};

/// The SharedKey that the gate holds for vectors with an `algorithm`.
const KEY_ID: &str = "webhooks_sharedkey_01h00000000000000000000000";

/// Vectors of the older collection that need `allow_empty_form`; its format has no field for it.
const EMPTY_FORMS: [&str; 2] = ["only-ampersands", "form-empty-body"];

/// Vectors whose token the configuration refuses: anyone can sign with an empty token.
const UNCONFIGURABLE: [&str; 1] = ["token-empty"];

#[derive(Debug, Deserialize)]
struct Vector {
    id: String,
    valid: bool,
    method: String,
    url: String,
    token: String,
    signature: String,
    body: String,
    #[serde(default)]
    body_b64: Option<String>,
    #[serde(default)]
    content_type: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    algorithm: Option<String>,
    #[serde(default)]
    public_url: Option<String>,
    #[serde(default)]
    target: Option<String>,
    #[serde(default)]
    allow_empty_form: bool,
}

/// The configuration of one gate.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Setting {
    token: String,
    public_url: String,
    algorithm: Option<String>,
    allow_empty_form: bool,
}

#[test]
fn sdk_vectors_are_judged_correctly() {
    judge_all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/sdk.json"), 358);
}

/// The collection from the SDKs' tests and captured requests is optional and lies beside the
/// checkout.
#[test]
fn older_vectors_are_judged_correctly() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/vectors.json");
    if file.exists() {
        judge_all(&file, 112);
    }
}

fn judge_all(file: &Path, at_least: usize) {
    let vectors: Vec<Vector> = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    assert!(vectors.len() >= at_least, "only {} vectors", vectors.len());
    let mut groups: BTreeMap<Setting, Vec<&Vector>> = BTreeMap::new();
    for vector in &vectors {
        groups.entry(vector.setting()).or_default().push(vector);
    }
    let mut faults = Vec::new();
    for (setting, group) in groups {
        match group.iter().filter(|vector| UNCONFIGURABLE.contains(&vector.id.as_str())).count() {
            0 => judge_group(&setting, &group, &mut faults),
            count => {
                assert_eq!(count, group.len(), "a token that is no good for some is for none");
                assert_is_refused_at_start(&setting);
            }
        }
    }
    assert!(faults.is_empty(), "{} vectors:\n{}", faults.len(), faults.join("\n"));
}

fn assert_is_refused_at_start(setting: &Setting) {
    let folder = Folder::new();
    let config = format!("upstream = \"http://127.0.0.1:9\"\n{}", setting.config());
    let output = check(&folder.write("gatekeeper.toml", &config));
    assert_eq!(output.code, Some(78), "{output:?}");
    let whole_token = setting.token.is_empty() || !output.all().contains(&setting.token);
    assert!(whole_token, "the token is shown: {output:?}");
}

fn judge_group(setting: &Setting, group: &[&Vector], faults: &mut Vec<String>) {
    let upstream = Upstream::start();
    let config = format!("upstream = \"{}\"\n{}", upstream.url(), setting.config());
    let gate = Gate::start(&config);
    for vector in group {
        let seen = (upstream.requests().len(), upstream.bytes());
        let mut client = gate.connect();
        let answered = vector.ask(&mut client);
        let verdict = if vector.valid {
            vector.fault_of_admitted(&answered, &upstream.requests()[seen.0..])
        } else {
            vector.fault_of_refused(&answered, upstream.bytes() - seen.1)
        };
        let outcome = gate.outcome_at(&vector.method, &vector.target());
        if let Some(fault) = verdict {
            faults.push(format!("{} under {setting:?}: {fault}; logged {outcome:?}", vector.id));
        }
    }
    let valid = group.iter().filter(|vector| vector.valid).count();
    assert!(upstream.requests().len() <= valid, "the app saw more than was proven: {setting:?}");
}

impl Setting {
    fn config(&self) -> String {
        let token = toml::Value::from(self.token.as_str());
        let tokens = self.algorithm.as_ref().map_or_else(
            || format!("[{token}]"),
            |algorithm| {
                format!(
                    "[{{ value = {token}, key_id = \"{KEY_ID}\", algorithm = \"{algorithm}\" }}]"
                )
            },
        );
        format!(
            "public_url = \"{}\"\nauth_tokens = {tokens}\nallow_empty_form = {}\n",
            self.public_url, self.allow_empty_form
        )
    }
}

impl Vector {
    fn setting(&self) -> Setting {
        Setting {
            token: self.token.clone(),
            public_url: self.public_url.clone().unwrap_or_else(|| self.origin()),
            algorithm: self.algorithm.clone(),
            allow_empty_form: self.allow_empty_form || EMPTY_FORMS.contains(&self.id.as_str()),
        }
    }

    /// The URL up to its path; for a handshake the configured URL begins with http too.
    fn origin(&self) -> String {
        let origin = self.url.strip_suffix(&self.rest_of_url()).unwrap();
        if self.url.starts_with("ws") { origin.replacen("ws", "http", 1) } else { origin.into() }
    }

    fn rest_of_url(&self) -> String {
        let (_, rest) = self.url.split_once("://").unwrap();
        let at = rest.find(['/', '?']).unwrap_or(rest.len());
        rest[at..].to_owned()
    }

    /// The target of the request line: with a path, without a fragment.
    fn target(&self) -> String {
        if let Some(target) = &self.target {
            return target.clone();
        }
        let rest = self.rest_of_url();
        let rest = rest.split('#').next().unwrap_or_default();
        if rest.starts_with('/') { rest.to_owned() } else { format!("/{rest}") }
    }

    fn host(&self) -> String {
        let origin = self.setting().public_url;
        let (_, rest) = origin.split_once("://").unwrap();
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        authority.rsplit('@').next().unwrap_or_default().to_owned()
    }

    fn is_handshake(&self) -> bool {
        self.headers.contains_key("Upgrade")
    }

    fn body(&self) -> Vec<u8> {
        self.body_b64
            .as_ref()
            .map_or_else(|| self.body.clone().into_bytes(), |b| bytes_of_base64(b))
    }

    /// The headers as they are sent and as they must arrive.
    fn fields(&self) -> Vec<(String, String)> {
        let mut fields: Vec<(String, String)> = self.headers.clone().into_iter().collect();
        if !self.headers.contains_key("Host") {
            fields.insert(0, ("Host".into(), self.host()));
        }
        if self.is_handshake() {
            fields.push(("Sec-WebSocket-Key".into(), "dGhlIHNhbXBsZSBub25jZQ==".into()));
        }
        fields.extend(self.content_type.clone().map(|value| ("Content-Type".into(), value)));
        if !self.signature.is_empty() {
            fields.push(("X-Twilio-Signature".into(), self.signature.clone()));
        }
        if self.method != "GET" || !self.body().is_empty() {
            fields.push(("Content-Length".into(), self.body().len().to_string()));
        }
        fields
    }

    fn line(&self) -> String {
        format!("{} {} HTTP/1.1", self.method, self.target())
    }

    fn ask(&self, client: &mut Client) -> Response {
        assert!(self.line().bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{}", self.id);
        let fields = self.fields().into_iter().map(|(name, value)| format!("{name}: {value}\r\n"));
        let head = format!("{}\r\n{}\r\n", self.line(), fields.collect::<String>());
        client.send(&[head.into_bytes(), self.body()].concat());
        client.response()
    }

    fn fault_of_admitted(&self, response: &Response, seen: &[Recorded]) -> Option<String> {
        let wanted = if self.is_handshake() { 101 } else { 200 };
        let [arrived] = seen else {
            return Some(format!("{}, and the app saw {} requests", response.line, seen.len()));
        };
        let sent: BTreeSet<_> = self.fields().into_iter().collect();
        let received: BTreeSet<_> = arrived.fields().into_iter().collect();
        if response.status != wanted {
            Some(format!("answered {}", response.line))
        } else if arrived.line() != self.line() {
            Some(format!("request line arrived as {}", arrived.line()))
        } else if arrived.body != self.body() {
            Some(format!("body arrived as {:?}", arrived.body))
        } else if sent != received {
            let differing: Vec<_> = sent.symmetric_difference(&received).collect();
            Some(format!("fields differ: {differing:?}"))
        } else {
            None
        }
    }

    fn fault_of_refused(&self, response: &Response, bytes: usize) -> Option<String> {
        if bytes > 0 {
            Some(format!("{bytes} bytes reached the app"))
        } else if !(400..500).contains(&response.status) {
            Some(format!("answered {}", response.line))
        } else {
            None
        }
    }
}
