//! The unit of per-peer limits.

use std::net::{IpAddr, Ipv6Addr};

/// Returns the key of the per-peer limit: the IPv4 address or the IPv6 /64, which one site has.
/// Loopback is exempt: a tunnel or a proxy stands for all clients.
pub(super) fn peer_key(peer: IpAddr) -> Option<IpAddr> {
    match peer {
        _ if peer.is_loopback() => None,
        IpAddr::V4(_) => Some(peer),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Some(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into())
        }
    }
}
