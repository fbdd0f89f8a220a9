//! Whether each app is reachable from here, and not around the gate.

use std::{
    io,
    net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs},
    os::unix::net::UnixStream,
    sync::Arc,
    time::Duration,
};

use rustls::{ClientConnection, pki_types::ServerName};

use super::finding::Finding;
use crate::cli::{connect::connect_to_any, error::describe};
use crate::config::Config;
use crate::net::Listen;
use crate::routes::{Address, Upstream};

const UPSTREAM: &str = "upstream";
const AROUND: &str = "around";
/// Timeout of a connection to an app: a local one accepts at once.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Timeout of a connection to an address of this machine: a firewall may drop the packets.
const LOCAL_TIMEOUT: Duration = Duration::from_secs(1);
/// Most addresses of this machine to try; a host of many containers has hundreds.
const MAX_ADDRESSES: usize = 16;

/// Checks every app of the configuration.
pub(super) fn findings(config: &Config) -> Vec<Finding> {
    let mut apps: Vec<&Upstream> = Vec::new();
    for route in config.table.routes() {
        if !apps.contains(&&*route.upstream) {
            apps.push(&route.upstream);
        }
    }
    let own = own_addresses();
    let both = |app: &&Upstream| [reach(app), go_around(app, &own, &config.listen)];
    apps.iter().flat_map(both).collect()
}

fn reach(app: &Upstream) -> Finding {
    let connected = match app.address() {
        Address::Unix(path) => UnixStream::connect(path).map(drop),
        Address::Host { host, port } => connect(app, host, *port),
    };
    match connected {
        Ok(()) => Finding::ok(UPSTREAM, format!("{app} accepts connections")),
        Err(error) => {
            let says = format!("{app}: {}", describe(&error, ""));
            Finding::fail(UPSTREAM, says, "start the app, or correct upstream")
        }
    }
}

fn connect(app: &Upstream, host: &str, port: u16) -> io::Result<()> {
    let addresses: Vec<SocketAddr> = (host, port).to_socket_addrs()?.collect();
    let mut socket = connect_to_any(&addresses, CONNECT_TIMEOUT)?;
    let Some(tls) = app.tls() else { return Ok(()) };
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let client = ClientConnection::new(Arc::clone(tls.config()), name);
    let mut client = client.map_err(io::Error::other)?;
    while client.is_handshaking() {
        client.complete_io(&mut socket)?;
    }
    Ok(())
}

/// The addresses of this machine that others may reach.
fn own_addresses() -> Vec<IpAddr> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let addresses = interfaces.iter().filter(|interface| !interface.is_loopback());
    let addresses = addresses.map(if_addrs::Interface::ip).filter(|ip| !is_link_local(*ip));
    addresses.take(MAX_ADDRESSES).collect()
}

/// An address that needs the name of an interface beside it.
fn is_link_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}

/// Tries the app's port on the other addresses of this machine.
fn go_around(app: &Upstream, own: &[IpAddr], listen: &[Listen]) -> Finding {
    let Address::Host { host, port } = app.address() else {
        return Finding::ok(AROUND, format!("{app} is not on a network"));
    };
    let found = (&**host, *port).to_socket_addrs().map(Iterator::collect::<Vec<_>>);
    let found = found.unwrap_or_default();
    if found.is_empty() {
        return Finding::warn(AROUND, format!("{app}: not checked"), "correct upstream first");
    }
    let is_local = found.iter().all(|address| address.ip().to_canonical().is_loopback());
    if !is_local && !found.iter().any(|address| own.contains(&address.ip())) {
        let says = format!("{app} is another machine: whoever reaches it needs no signature");
        return Finding::warn(
            AROUND,
            says,
            "let only the gate reach it: a network of their own, or a firewall",
        );
    }
    let gates = |address: &SocketAddr| listen.iter().any(|listen| is_at(listen, *address));
    let accepts = |address: &SocketAddr| TcpStream::connect_timeout(address, LOCAL_TIMEOUT).is_ok();
    let others = own.iter().map(|ip| SocketAddr::new(*ip, *port));
    let open: Vec<_> = others
        .filter(|address| !gates(address) && accepts(address))
        .map(|a| a.to_string())
        .collect();
    if open.is_empty() {
        let count = own.len();
        let says = format!("{app} is closed on the {count} other addresses of this machine");
        return Finding::ok(AROUND, says);
    }
    let says = format!("the app is reachable around the gate, at {}", open.join(", "));
    let cure =
        format!("let the app listen on 127.0.0.1:{port} only, or close the port in the firewall");
    Finding::fail(AROUND, says, cure)
}

/// Whether the gate itself listens on this address.
fn is_at(listen: &Listen, address: SocketAddr) -> bool {
    match listen {
        Listen::Tcp(own) => {
            own.port() == address.port() && (own.ip().is_unspecified() || own.ip() == address.ip())
        }
        Listen::Unix(_) | Listen::Systemd => false,
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::cli::doctor::finding::Grade;

    /// 127.0.0.2 and 127.0.0.3 stand for the other addresses of this machine.
    #[test]
    fn an_app_on_another_address_of_this_machine_is_found() {
        let own: Vec<IpAddr> =
            ["127.0.0.2", "127.0.0.3"].map(|text| text.parse().unwrap()).to_vec();
        let closed = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = closed.local_addr().unwrap().port();
        let app = Upstream::parse(&format!("http://127.0.0.1:{port}")).unwrap();
        assert_eq!(go_around(&app, &own, &[]).grade, Grade::Ok);
        let open = TcpListener::bind(("127.0.0.3", port)).unwrap();
        let found = go_around(&app, &own, &[]);
        assert_eq!(found.grade, Grade::Fail);
        assert!(found.says.ends_with(&format!(" 127.0.0.3:{port}")), "{found}");
        let gate = Listen::Tcp(open.local_addr().unwrap());
        assert_eq!(go_around(&app, &own, &[gate]).grade, Grade::Ok, "the gate's own listener");
        let socket = Upstream::parse("unix:/run/app.sock").unwrap();
        assert_eq!(go_around(&socket, &own, &[]).grade, Grade::Ok);
        let remote = Upstream::parse("http://192.0.2.1:80").unwrap();
        assert_eq!(go_around(&remote, &own, &[]).grade, Grade::Warn);
    }

    #[test]
    fn an_app_that_does_not_listen_is_not_reachable() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let app = Upstream::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        assert_eq!(reach(&app).grade, Grade::Ok);
        drop(listener);
        let found = reach(&app);
        assert!(found.is_fail() && found.says.ends_with("connection refused"), "{found}");
        let socket = Upstream::parse("unix:/nonexistent/app.sock").unwrap();
        assert!(reach(&socket).is_fail());
    }
}
