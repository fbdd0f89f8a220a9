//! `gatekeeper doctor`, and the nonces with which it recognises its gate.

use serde_json::Value;

use crate::support::{
    HOST, TOKEN,
    client::Response,
    frames::{Frames, StreamResult},
    gate::{CommandOutput, Folder, Gate, guarded, run},
    http2::request_fields,
    message::Message,
    tls::{Authority, Pair, Relay},
    upstream::{Answer, Then, Upstream},
};

const ADMIN: &str = "http2_cleartext = true\n[admin]\nlisten = \"127.0.0.1:0\"\n";
const POST: &str = "POST /doctor/nonce HTTP/1.1\r\nHost: localhost\r\n";

fn ask(gate: &Gate, head: &str) -> Response {
    let mut admin = gate.admin();
    admin.send(format!("{head}\r\n").as_bytes());
    admin.response()
}

/// The well-known path with a new nonce.
fn path(gate: &Gate) -> String {
    let response = ask(gate, POST);
    assert_eq!(response.status, 201);
    let nonce = response.text();
    let nonce = nonce.trim_end();
    assert!(nonce.len() == 32 && nonce.bytes().all(|byte| byte.is_ascii_hexdigit()), "{nonce}");
    format!("/.well-known/gatekeeper/{nonce}")
}

/// What arrived with the nonce of this path.
fn arrival(gate: &Gate, path: &str) -> Value {
    let nonce = path.rsplit('/').next().unwrap();
    let response = ask(gate, &format!("GET /doctor/nonce/{nonce} HTTP/1.1\r\nHost: localhost\r\n"));
    assert_eq!(response.status, 200);
    serde_json::from_slice(&response.body).unwrap()
}

/// Everything but the date.
fn without_date(response: &Response) -> (String, Vec<(String, String)>, Vec<u8>) {
    let fields = response.fields.iter().filter(|(name, _)| name != "Date").cloned().collect();
    (response.line.clone(), fields, response.body.clone())
}

#[test]
fn a_pending_nonce_is_answered_once_and_never_reaches_the_app() {
    let app = Upstream::start();
    let gate = Gate::with(&app, ADMIN);
    let unsigned = gate.answer(&Message::get("/voice"));
    let path = path(&gate);
    assert_eq!(arrival(&gate, &path), Value::Null);
    let call = Message::get(&path).host("10.0.0.1:8080");
    let call = call.field("x-forwarded-proto", "https").field("Cookie", "no");
    let answer = gate.answer(&call);
    assert_eq!((answer.line.as_str(), answer.fields.len()), ("HTTP/1.1 204 No Content", 1));
    assert_eq!(answer.fields[0].0, "Date");
    let arrived = arrival(&gate, &path);
    assert_eq!((&arrived["host"], &arrived["prefix"]), (&"10.0.0.1:8080".into(), &"".into()));
    assert_eq!(arrived["forwarded"], serde_json::json!([["x-forwarded-proto", "https"]]));
    assert_eq!((&arrived["peer"], &arrived["tls"]), (&"127.0.0.1".into(), &false.into()));
    let again = gate.answer(&call.host(HOST));
    assert_eq!(without_date(&again), without_date(&unsigned));
    assert_eq!(app.bytes(), 0);
    assert_eq!(gate.log_entry("request", 1)["verdict"], "doctor");
}

/// Also while another nonce is pending.
#[test]
fn a_nonce_that_is_not_pending_is_answered_like_any_unsigned_request() {
    let app = Upstream::start();
    let gate = Gate::with(&app, ADMIN);
    let unsigned = without_date(&gate.answer(&Message::get("/voice")));
    let unknown = format!("/.well-known/gatekeeper/{}", "0".repeat(32));
    assert_eq!(without_date(&gate.answer(&Message::get(&unknown))), unsigned);
    let pending = path(&gate);
    for target in [unknown, pending.to_uppercase(), format!("{pending}/"), format!("{pending}0")] {
        assert_eq!(without_date(&gate.answer(&Message::get(&target))), unsigned, "{target}");
    }
    assert_eq!(arrival(&gate, &pending), Value::Null, "it is pending still");
    assert_eq!(gate.answer(&Message::get(&format!("/prod{pending}"))).status, 204);
    assert_eq!(arrival(&gate, &pending)["prefix"], "/prod");
    assert_eq!(app.bytes(), 0);
}

#[test]
fn a_nonce_is_answered_over_http2_and_with_a_body_that_is_not_read() {
    let app = Upstream::start();
    let gate = Gate::with(&app, ADMIN);
    let mut frames = Frames::open(gate.connect());
    for expected in [204, 418] {
        let path = path(&gate);
        let target = if expected == 204 { path.as_str() } else { "/.well-known/gatekeeper/x" };
        let stream = frames.stream();
        frames.fields(stream, &request_fields(&Message::get(target)), true);
        assert_eq!(frames.result_of(stream), StreamResult::Status(expected));
    }
    let form = Message::form(&path(&gate), "a=b").signed();
    assert_eq!(gate.answer(&form).status, 204);
    assert_eq!(app.bytes(), 0);
}

#[test]
fn the_number_of_nonces_is_bounded_and_no_web_page_gets_one() {
    let app = Upstream::start();
    let gate = Gate::with(&app, ADMIN);
    assert_eq!(ask(&gate, &format!("{POST}Origin: https://evil.example\r\n")).status, 403);
    let paths: Vec<String> = (0..16).map(|_| path(&gate)).collect();
    assert_eq!(ask(&gate, POST).status, 429);
    assert_eq!(gate.answer(&Message::get(&paths[0])).status, 204);
    assert_eq!(ask(&gate, POST).status, 429, "one that has arrived counts for its minute");
    let nonce = paths[0].rsplit('/').next().unwrap();
    let delete = format!("DELETE /doctor/nonce/{nonce} HTTP/1.1\r\nHost: localhost\r\n");
    assert_eq!(ask(&gate, &format!("{delete}Origin: https://evil.example\r\n")).status, 403);
    let arrived = ask(&gate, &delete);
    assert!(arrived.status == 200 && arrived.text().contains("\"peer\":\"127.0.0.1\""));
    assert_eq!((ask(&gate, &delete).status, ask(&gate, POST).status), (404, 201));
    let unknown = "GET /doctor/nonce/0 HTTP/1.1\r\nHost: localhost\r\n";
    assert_eq!(ask(&gate, unknown).status, 404);
    let get = "GET /doctor/nonce HTTP/1.1\r\nHost: localhost\r\n";
    assert_eq!(ask(&gate, get).status, 404);
}

/// A gate with an admin listener, and a configuration for doctor that names both as they are bound.
struct Patient {
    gate: Gate,
    app: Upstream,
    folder: Folder,
}

impl Patient {
    fn new() -> Self {
        let app = Upstream::start();
        Self { gate: Gate::with(&app, ADMIN), app, folder: Folder::new() }
    }

    fn admin(&self) -> String {
        let line = self.gate.log_entry("admin listening", 0);
        format!("[admin]\nlisten = \"{}\"\n", line["address"].as_str().unwrap())
    }

    /// The report for this public URL; connections to HOST go to this machine.
    fn report(&self, public_url: &str, admin: &str, more: &[&str]) -> CommandOutput {
        let config = format!(
            "listen = \"{}\"\npublic_url = \"{public_url}\"\nupstream = \"{}\"\n\
             auth_tokens = [{{ env = \"TWILIO_AUTH_TOKEN\" }}]\n{admin}",
            self.gate.address(),
            self.app.url()
        );
        let file = self.folder.write("doctor.toml", &config).display().to_string();
        let port = public_url.rsplit(':').next().unwrap().split('/').next().unwrap();
        let resolve = format!("{HOST}:{port}:127.0.0.1");
        run(&[&["doctor", "-c", &file, "--resolve", &resolve], more].concat())
    }
}

fn grades(said: &CommandOutput) -> Vec<(&str, &str)> {
    let lines = said.stdout.lines().filter(|line| !line.starts_with(' '));
    lines.filter_map(|line| line.split_once(' ').map(|(g, r)| (g, r.trim_start()))).collect()
}

/// Asserts that a line begins with this grade and check and has this text, with this cure below.
fn assert_says(said: &CommandOutput, grade: &str, check: &str, text: &str, cure: &str) {
    let found = grades(said)
        .iter()
        .any(|(own, rest)| *own == grade && rest.starts_with(check) && rest.contains(text));
    assert!(found && said.stdout.contains(cure), "{grade} {check} {text}: {}", said.all());
    assert_eq!(said.code, Some(i32::from(said.stdout.contains("FAIL"))), "{}", said.all());
    assert!(!said.all().contains(TOKEN), "{}", said.all());
}

fn relay(gate: &Gate, issuer: &Authority, pair: &Pair) -> Relay {
    Relay::from_tls(issuer.server(pair, false, &["http/1.1"]), gate.address())
}

#[test]
fn doctor_proves_that_the_public_url_leads_to_this_gate() {
    let (patient, authority) = (Patient::new(), Authority::new());
    let front = relay(&patient.gate, &authority, &authority.issue(HOST, 2099));
    let url = format!("https://{HOST}:{}", front.address.port());
    let ca = authority.ca().display().to_string();
    let said = patient.report(&url, &patient.admin(), &["--cacert", &ca]);
    let checks: Vec<&str> =
        grades(&said).iter().map(|(_, rest)| rest.split(' ').next().unwrap()).collect();
    assert_eq!(
        checks,
        [
            "configuration",
            "tokens",
            "upstream",
            "around",
            "gate",
            "certificate",
            "public_url",
            "signed"
        ]
    );
    assert!(grades(&said).iter().all(|(grade, _)| *grade == "ok"), "{}", said.all());
    let arrived = format!(
        "leads to this gate; arrives from 127.0.0.1 over HTTP/1.1 without TLS; Host: {HOST}:"
    );
    assert_says(&said, "ok", "public_url", &arrived, "");
    let said = patient.report(&url, &patient.admin(), &["--cacert", &ca, "--json"]);
    let json: Value = serde_json::from_str(&said.stdout).unwrap();
    assert!(json.as_array().unwrap().iter().all(|line| line["verdict"] == "ok"), "{json}");
    assert_eq!(patient.app.bytes(), 0);
}

#[test]
fn doctor_follows_the_public_url_to_tls_of_the_gate_itself() {
    let (app, authority, folder) = (Upstream::start(), Authority::new(), Folder::new());
    authority.issue(HOST, 2099).write(&folder, "gate");
    let tls = "[tls]\ncert = \"gate.pem\"\nkey = \"gate.key\"\n";
    let gate = Gate::start_in(folder, &guarded(&app, &format!("{ADMIN}{tls}")), &[]);
    let patient = Patient { gate, app, folder: Folder::new() };
    let url = format!("https://{HOST}:{}", patient.gate.address().port());
    let ca = authority.ca().display().to_string();
    let said = patient.report(&url, &patient.admin(), &["--cacert", &ca]);
    assert_says(&said, "ok", "public_url", "over HTTP/1.1 with TLS of its own; Host: ", "");
    assert_says(&said, "ok", "signed", "would pass", "");
}

#[test]
fn doctor_says_in_plain_words_what_is_wrong_with_a_certificate() {
    let (patient, root) = (Patient::new(), Authority::new());
    let (lower, stranger) = (root.intermediate(), Authority::new());
    let ca = root.ca().display().to_string();
    for (issuer, name, until, says) in [
        (&root, "other.example.com", 2099, "the certificate is for "),
        (&root, HOST, 2001, "the certificate expired on 2001-01-01"),
        (&lower, HOST, 2099, "an intermediate certificate is missing: 1 certificate is sent"),
        (&stranger, HOST, 2099, "it is not signed by the CA that it names"),
    ] {
        let front = relay(&patient.gate, issuer, &issuer.issue(name, until));
        let url = format!("https://{HOST}:{}", front.address.port());
        let said = patient.report(&url, &patient.admin(), &["--cacert", &ca]);
        assert_says(&said, "FAIL", "certificate", says, "cure: ");
    }
    let front = relay(&patient.gate, &root, &root.issue(HOST, 2032)); // its life began in 1975
    let url = format!("https://{HOST}:{}", front.address.port());
    let said = patient.report(&url, &patient.admin(), &["--cacert", &ca]);
    assert_says(&said, "warn", "certificate", "less than a third of its life", "its renewal works");
    let url = format!("https://{HOST}:{}", patient.gate.address().port());
    let said = patient.report(&url, &patient.admin(), &["--cacert", &ca]);
    assert_says(&said, "FAIL", "certificate", "does not speak TLS", "correct the scheme");
}

#[test]
fn doctor_says_what_answers_in_place_of_the_gate() {
    let patient = Patient::new();
    let other = "HTTP/1.1 404 Not Found\r\nServer: other\r\nContent-Length: 0\r\n\r\n";
    let web = Upstream::answering(Answer::raw(other).then(Then::Close));
    let second = Gate::before(&patient.app);
    let gone = Upstream::start().address();
    for (address, says, cure) in [
        (web.address(), "is answered by something else: 404, Server: other", "every path"),
        (second.address(), "leads to another gate: it answers 418", "forward to this gate"),
        (gone, "connection refused", "start the proxy or tunnel"),
    ] {
        let url = format!("http://{HOST}:{}", address.port());
        let said = patient.report(&url, &patient.admin(), &[]);
        assert_says(&said, "FAIL", "public_url", says, cure);
    }
}

#[test]
fn doctor_without_an_admin_listener_says_how_to_add_one() {
    let patient = Patient::new();
    let url = format!("http://{HOST}:{}", patient.gate.address().port());
    let said = patient.report(&url, "", &[]);
    assert_says(&said, "warn", "gate", "no admin listener", "[admin]\n");
    assert!(said.stdout.contains("listen = \"127.0.0.1:9090\""), "{}", said.all());
    assert_says(&said, "warn", "public_url", "leads to a gate, which may be another one", "");
    let gone = format!("[admin]\nlisten = \"{}\"\n", Upstream::start().address());
    let said = patient.report(&url, &gone, &[]);
    assert_says(&said, "FAIL", "gate", "connection refused", "start the gate");
}

#[test]
fn doctor_reports_faults_of_the_configuration_and_an_app_that_is_down() {
    let folder = Folder::new();
    let config =
        "public_url = \"hooks\"\nupstream = \"http://127.0.0.1:1\"\nauth_tokens = [\"$TOKEN\"]\n";
    let file = folder.write("gatekeeper.toml", config).display().to_string();
    let said = run(&["doctor", "-c", &file]);
    assert_says(
        &said,
        "FAIL",
        "configuration",
        "gatekeeper.toml:1:14: public_url",
        "cure: write it",
    );
    assert_says(&said, "FAIL", "configuration", "it is the name of a variable", "{ env = ");
    let url = "http://127.0.0.1:1";
    let said = run(&["doctor", "--upstream", url, "--public-url", url]);
    assert_says(&said, "FAIL", "upstream", "connection refused", "start the app");
    assert_says(&said, "warn", "public_url", "which Twilio cannot reach", "that of a tunnel");
    assert_eq!(run(&["doctor"]).code, Some(64));
    assert_eq!(run(&["doctor", "-c", &file, "--resolve", "h:1"]).code, Some(64));
}
