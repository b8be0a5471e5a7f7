//! The few files of `/etc` that a sandbox has of its own.

use std::fs;

/// `/etc/resolv.conf`: the host's, or empty without a network.
pub(super) fn resolv_conf(own_network: bool) -> Vec<u8> {
    if own_network {
        return Vec::new();
    }
    fs::read("/etc/resolv.conf").unwrap_or_default()
}

/// `/etc/hosts`: the host's and the step's own name, or the latter alone; then
/// what the step adds.
pub(super) fn hosts(own_network: bool, hostname: &str, added: &[(String, String)]) -> Vec<u8> {
    let mut hosts =
        if own_network { Vec::new() } else { fs::read("/etc/hosts").unwrap_or_default() };
    if hosts.is_empty() {
        hosts.extend_from_slice(b"127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n");
    }
    if !hosts.ends_with(b"\n") {
        hosts.push(b'\n');
    }
    hosts.extend_from_slice(format!("127.0.1.1 {hostname}\n").as_bytes());
    for (name, address) in added {
        hosts.extend_from_slice(format!("{address}\t{name}\n").as_bytes());
    }
    hosts
}
