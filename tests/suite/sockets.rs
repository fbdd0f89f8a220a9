//! Unix socket listeners and sockets passed by systemd.

use std::{
    io::{Read, Write},
    net::TcpListener,
    os::{
        fd::OwnedFd,
        unix::net::{UnixListener, UnixStream},
    },
    path::Path,
    process::{Command, Stdio},
};

use crate::support::{
    TEST_TIMEOUT,
    client::Client,
    gate::{Folder, Gate, command, guarded, run},
    latin1,
    message::Message,
    upstream::Upstream,
};

/// Passes its standard input and output as systemd passes sockets (sd_listen_fds(3)).
const PASS: &str =
    "exec 3<&0 4>&1 0</dev/null 1>/dev/null; export LISTEN_FDS=2 LISTEN_PID=$$; exec \"$0\" \"$@\"";

fn listening(folder: &Folder, listen: &str, app: &Upstream) -> String {
    let text = format!("listen = {listen}\n{}", guarded(app, ""));
    folder.write("gatekeeper.toml", &text).display().to_string()
}

fn activated(folder: Folder, app: &Upstream, tcp: TcpListener, unix: UnixListener) -> Gate {
    let file = listening(&folder, "\"systemd\"", app);
    let gatekeeper = env!("CARGO_BIN_EXE_gatekeeper");
    let mut command = Command::new("/bin/sh");
    command.args(["-c", PASS, gatekeeper, "run", "-c", &file]).env_clear();
    command.stdin(OwnedFd::from(tcp)).stdout(OwnedFd::from(unix));
    Gate::launch(command, folder)
}

/// Sends a request and returns the status line of the response.
fn answer(path: &Path, message: &Message) -> String {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(TEST_TIMEOUT)).unwrap();
    stream.write_all(&message.clone().field("Connection", "close").bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    latin1(&answer).lines().next().unwrap_or_default().to_owned()
}

fn proven() -> Message {
    Message::form("/voice", "a=b").signed()
}

#[test]
fn systemd_sockets_are_served_and_not_unlinked() {
    let app = Upstream::start();
    let folder = Folder::new();
    let path = folder.path().join("passed");
    let (tcp, unix) = (TcpListener::bind("127.0.0.1:0"), UnixListener::bind(&path));
    let (tcp, unix) = (tcp.unwrap(), unix.unwrap());
    let address = tcp.local_addr().unwrap();
    let mut early = Client::connect(address);
    early.send(&proven().bytes());
    let mut gate = activated(folder, &app, tcp, unix);
    assert_eq!(gate.address(), address);
    assert_eq!(gate.log_entry("listening", 1)["address"], format!("unix:{}", path.display()));
    assert_eq!(early.response().status, 200, "a connection from before the start is served");
    assert_eq!(answer(&path, &proven()), "HTTP/1.1 200 OK");
    assert!(answer(&path, &Message::get("/voice")).starts_with("HTTP/1.1 418 "));
    assert_eq!(app.requests().len(), 2);
    gate.hang_up();
    gate.log_entry("reloaded", 0);
    assert_eq!(answer(&path, &proven()), "HTTP/1.1 200 OK");
    gate.terminate();
    assert_eq!(gate.exit_code(), Some(0));
    assert!(path.exists(), "systemd listens on it still");
}

#[test]
fn missing_systemd_socket_fails_the_start() {
    let (app, folder) = (Upstream::start(), Folder::new());
    let output = run(&["run", "-c", &listening(&folder, "\"systemd\"", &app)]);
    assert_eq!(output.code, Some(1));
    assert!(output.stderr.contains("cannot listen on systemd: systemd has passed no socket"));
}

#[test]
fn stale_unix_socket_is_replaced_and_unlinked_at_shutdown() {
    let (app, folder) = (Upstream::start(), Folder::new());
    let path = folder.path().join("own");
    drop(UnixListener::bind(&path).unwrap()); // its file stays
    let listen = format!("[\"127.0.0.1:0\", \"unix:{}\"]", path.display());
    let file = listening(&folder, &listen, &app);
    let mut starting = command(&["run", "-c", &file]);
    starting.stdin(Stdio::null()).stdout(Stdio::null());
    let mut gate = Gate::launch(starting, folder);
    assert_eq!(gate.answer(&proven()).status, 200);
    assert_eq!(answer(&path, &proven()), "HTTP/1.1 200 OK");
    assert!(answer(&path, &Message::get("/voice")).starts_with("HTTP/1.1 418 "));
    let second = run(&["run", "-c", &file]);
    assert_eq!(second.code, Some(1), "it is in use");
    assert!(second.stderr.contains("cannot listen on unix:"), "{}", second.stderr);
    assert_eq!(answer(&path, &proven()), "HTTP/1.1 200 OK", "a second gate has taken nothing");
    gate.terminate();
    assert_eq!(gate.exit_code(), Some(0));
    assert!(!path.exists());
}
