//! Reloads of the configuration: complete or without effect, and without a lost request.

use std::{
    fs,
    os::unix::fs::symlink,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use crate::support::{
    HOST, ORIGIN, TOKEN,
    client::Client,
    gate::{Folder, Gate, guarded},
    message::Message,
    tls::{Authority, Relay},
    upstream::Upstream,
};

const ADMIN: &str = "[admin]\nlisten = \"127.0.0.1:0\"\n";
const OTHER_TOKEN: &str = "00112233445566778899aabbccddeeff";

const SUCCESS: &str = "gatekeeper_reloads_total{result=\"success\"}";
const FAILURE: &str = "gatekeeper_reloads_total{result=\"failure\"}";

fn voice() -> Message {
    Message::form("/voice", "To=%2B1").signed()
}

#[test]
fn changed_file_applies_at_once_to_open_connections() {
    let app = Upstream::start();
    let gate = Gate::with(&app, ADMIN);
    let mut client = gate.connect();
    client.send(&Message::get("/").bytes());
    assert_eq!(client.response().status, 418);
    gate.rewrite(&guarded(&app, &format!("missing_status = 401\n{ADMIN}")));
    gate.log_entry("reloaded", 0);
    client.send(&Message::get("/").bytes());
    assert_eq!(client.response().status, 401);
    assert_eq!(gate.figure(SUCCESS), Some(1.0));
    assert_eq!(gate.figure("gatekeeper_last_reload_successful"), Some(1.0));
}

#[test]
fn sighup_reloads_unchanged_files() {
    let app = Upstream::start();
    let gate = Gate::with(&app, ADMIN);
    assert_eq!(gate.figure(SUCCESS), Some(0.0));
    gate.hang_up();
    gate.log_entry("reloaded", 0);
    assert_eq!(gate.figure(SUCCESS), Some(1.0));
    assert_eq!(gate.answer(&voice()).status, 200);
}

#[test]
fn faulty_reload_changes_nothing_logs_the_line_and_is_counted() {
    let (authority, app) = (Authority::new(), Upstream::start());
    let folder = Folder::new();
    let pair = authority.issue(HOST, 2099);
    pair.write(&folder, "gate");
    folder.write("token", TOKEN);
    let top = format!(
        "public_url = \"{ORIGIN}\"\nupstream = \"{}\"\nauth_tokens = [{{ file = \"token\" }}]\n",
        app.url()
    );
    let right = format!("{top}{ADMIN}[tls]\ncert = \"gate.pem\"\nkey = \"gate.key\"\n");
    let gate = Gate::start_in(folder, &right, &[]);
    let relay = Relay::to_tls(authority.client(None, &["http/1.1"]), gate.address());
    let fault = |number: usize, expected: &str| {
        let said = gate.log_entry("the configuration is faulty", number);
        let fault = said["fault"].as_str().unwrap();
        assert!(fault.contains(expected), "{fault}");
        gate.log_entry("not reloaded: the configuration before is still in force", number);
        let mut client = Client::connect(relay.address);
        client.send(&voice().bytes());
        assert_eq!(client.response().status, 200);
        assert_eq!(gate.figure(FAILURE), Some(number as f64 + 1.0));
        assert_eq!(gate.figure("gatekeeper_last_reload_successful"), Some(0.0));
    };
    gate.rewrite(&right.replace("[admin]", "[admin"));
    fault(0, "gatekeeper.toml:5:");
    gate.rewrite(&right.replace("\"token\"", "\"no-such-token\""));
    fault(1, "gatekeeper.toml:4:16: auth_tokens: the file ");
    gate.rewrite(&right);
    gate.log_entry("reloaded", 0);
    assert_eq!(gate.figure("gatekeeper_last_reload_successful"), Some(1.0));
    gate.folder().write("gate.key", &authority.issue(HOST, 2099).key);
    fault(2, "gatekeeper.toml:9:7: tls.key: the private key in ");
    fs::remove_file(gate.folder().path().join("token")).unwrap();
    let said = gate.log_entry("the configuration is faulty", 3);
    assert!(said["fault"].as_str().unwrap().contains("gatekeeper.toml:4:16"), "{said}");
    assert!(!gate.log().contains(TOKEN) && !gate.log().contains(&pair.key[40..80]));
}

/// Files that only the faulty configuration names are watched too, since they may cure the fault.
#[test]
fn missing_secret_file_is_loaded_once_it_appears() {
    let app = Upstream::start();
    let gate = Gate::with(&app, ADMIN);
    let named = |file: &str| {
        let token = format!("[{{ file = \"{file}\" }}]");
        gate.rewrite(&guarded(&app, ADMIN).replace(&format!("[\"{TOKEN}\"]"), &token));
    };
    named("later");
    gate.log_entry("not reloaded: the configuration before is still in force", 0);
    gate.folder().write("later", OTHER_TOKEN);
    gate.log_entry("reloaded", 0);
    let other = Message::form("/voice", "To=%2B1").signed_by(OTHER_TOKEN);
    assert_eq!((gate.answer(&voice()).status, gate.answer(&other).status), (403, 200));
    named("not/yet/here");
    gate.log_entry("not reloaded: the configuration before is still in force", 1);
    fs::create_dir_all(gate.folder().path().join("not/yet")).unwrap();
    gate.folder().write("not/yet/here", TOKEN);
    gate.log_entry("reloaded", 1);
    assert_eq!((gate.answer(&voice()).status, gate.answer(&other).status), (200, 403));
    assert_eq!(gate.figure("gatekeeper_last_reload_successful"), Some(1.0));
}

#[test]
fn log_file_beside_the_configuration_does_not_delay_a_reload() {
    let app = Upstream::start();
    let gate = Gate::with(&app, ADMIN);
    let enough = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let turns = (0..500).take_while(|_| !enough.load(Ordering::Relaxed));
            turns.for_each(|turn| {
                gate.folder().write("access.log", &turn.to_string());
                thread::sleep(Duration::from_millis(50));
            });
        });
        thread::sleep(Duration::from_millis(200));
        gate.rewrite(&guarded(&app, &format!("missing_status = 401\n{ADMIN}")));
        gate.log_entry("reloaded", 0);
        enough.store(true, Ordering::Relaxed);
    });
    assert_eq!(gate.answer(&Message::get("/")).status, 401);
}

/// Kubernetes mounts a secret as `token -> ..data/token`, `..data -> ..1` and replaces `..data`
/// atomically.
#[test]
fn secret_swapped_by_symlink_is_reloaded() {
    let app = Upstream::start();
    let folder = Folder::new();
    let at = |name: &str| folder.path().join("secret").join(name);
    for (version, token) in [("..1", TOKEN), ("..2", OTHER_TOKEN)] {
        fs::create_dir_all(at(version)).unwrap();
        fs::write(at(version).join("token"), token).unwrap();
    }
    symlink("..1", at("..data")).unwrap();
    symlink("..data/token", at("token")).unwrap();
    let (data, next) = (at("..data"), at("..data_tmp"));
    let config = format!(
        "public_url = \"{ORIGIN}\"\nupstream = \"{}\"\n\
         auth_tokens = [{{ file = \"secret/token\" }}]\n",
        app.url()
    );
    let gate = Gate::start_in(folder, &config, &[]);
    let other = Message::form("/voice", "To=%2B1").signed_by(OTHER_TOKEN);
    assert_eq!((gate.answer(&voice()).status, gate.answer(&other).status), (200, 403));
    symlink("..2", &next).unwrap();
    fs::rename(&next, &data).unwrap();
    gate.log_entry("reloaded", 0);
    assert_eq!((gate.answer(&voice()).status, gate.answer(&other).status), (403, 200));
}

#[test]
fn settings_that_need_a_restart_are_logged() {
    let app = Upstream::start();
    let gate = Gate::with(&app, ADMIN);
    gate.rewrite(&guarded(&app, "[admin]\nlisten = \"127.0.0.1:1\"\n"));
    let said = gate.log_entry("this key has changed, which needs a restart", 0);
    assert_eq!(said["key"], "admin.listen");
    assert_eq!(gate.figure("gatekeeper_last_reload_successful"), Some(1.0));
}

/// Sends two requests over each new connection until `enough` is set; counts the responses.
fn load(relay: &Relay, enough: &AtomicBool, answered: &AtomicUsize) {
    while !enough.load(Ordering::Relaxed) {
        let mut client = Client::connect(relay.address);
        for _ in 0..2 {
            client.send(&voice().bytes());
            assert_eq!(client.response().status, 200);
            answered.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[test]
fn reloads_and_a_new_certificate_lose_no_request() {
    let (before, after, app) = (Authority::new(), Authority::new(), Upstream::start());
    let folder = Folder::new();
    before.issue(HOST, 2098).write(&folder, "gate");
    let config = guarded(&app, &format!("{ADMIN}[tls]\ncert = \"gate.pem\"\nkey = \"gate.key\"\n"));
    let gate = Gate::start_in(folder, &config, &[]);
    let relay = Relay::to_tls(before.client_of_both(&after), gate.address());
    let (enough, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| load(&relay, &enough, &answered));
        }
        for reload in 0..20 {
            gate.hang_up();
            gate.log_entry("reloaded", reload);
        }
        let pair = after.issue(HOST, 2099);
        gate.folder().write("gate.pem", &pair.cert);
        gate.folder().write("gate.key", &pair.key);
        gate.log_entry("reloaded", 20);
        thread::sleep(Duration::from_millis(300));
        enough.store(true, Ordering::Relaxed);
    });
    let answered = answered.load(Ordering::Relaxed);
    println!("{answered} requests during 20 reloads and a change of certificate");
    assert!(answered > 20, "{answered}");
    assert_eq!(app.requests().len(), answered, "each once");
    // A client that trusts the new authority alone is served: 2099-01-01 is in force.
    let relay = Relay::to_tls(after.client(None, &["http/1.1"]), gate.address());
    let mut client = Client::connect(relay.address);
    client.send(&voice().bytes());
    assert_eq!(client.response().status, 200);
    let expiry = "gatekeeper_certificate_expiry_timestamp_seconds{certificate=\"listener\"}";
    assert_eq!(gate.figure(expiry), Some(4_070_908_800.0));
}
