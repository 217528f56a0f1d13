//! The network of real nodes, inside a namespace of its own: one bridge for all nodes and pods, which also holds the
//! address of the API server's Service. No firewall rule, no forwarding, no way out.

use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::GONE;
use crate::wait::{Seen, eventually};

/// The bridge.
pub(super) const BRIDGE: &str = "smartops0";
/// The Service `kubernetes`, as the control plane's certificate has it.
const SERVICE: &str = "10.96.0.1/32";
/// Nodes and pods; the gateway is .1, the nodes follow.
const NET: &str = "10.244.0";
/// The first address for pods, and how many a node has.
const FIRST_POD: usize = 16;
const PODS: usize = 56;

/// The address of a node.
pub(super) fn node(index: usize) -> String {
    format!("{NET}.{}", 2 + index)
}

/// The whole net, its gateway, and the first and last address of a node's pods.
pub(super) fn pods(index: usize) -> [String; 4] {
    let first = FIRST_POD + index * PODS;
    let host = |number: usize| format!("{NET}.{number}");
    [format!("{NET}.0/24"), host(1), host(first), host(first + PODS - 1)]
}

/// Why this network namespace must not be touched; none when there is nothing in it but loopback.
pub(super) fn obstacle() -> Result<Option<String>> {
    let devices = devices()?;
    let others = others(&devices);
    Ok((!others.is_empty()).then(|| {
        format!(
            "a real node needs a network namespace of its own, and this one has {}: run `cargo xtask test --node`, or \
             begin with `unshare --net`",
            others.join(", ")
        )
    }))
}

fn devices() -> Result<String> {
    fs::read_to_string("/proc/net/dev").context("cannot tell network devices")
}

/// The devices besides loopback in what the kernel says in `/proc/net/dev`.
fn others(devices: &str) -> Vec<&str> {
    let names = devices.lines().skip(2).filter_map(|line| line.split_once(':'));
    names.map(|(name, _)| name.trim()).filter(|name| *name != "lo").collect()
}

/// Makes the bridge.
pub(super) fn raise() -> Result<()> {
    ip(&["link", "set", "lo", "up"])?;
    ip(&["link", "add", BRIDGE, "type", "bridge"])?;
    ip(&["addr", "add", &format!("{NET}.1/24"), "dev", BRIDGE])?;
    ip(&["addr", "add", SERVICE, "dev", BRIDGE])?;
    ip(&["link", "set", BRIDGE, "up"])
}

/// Removes it, where it is, and the links of pods. Those would go by themselves, but only when the kernel gets round to
/// letting go of the namespaces of pods that ended, which takes a busy machine a while.
pub(super) fn lower() -> Result<()> {
    if !has(BRIDGE)? {
        return Ok(());
    }
    for link in names(&output(&["-json", "link", "show", "master", BRIDGE])?)? {
        if let Err(error) = ip(&["link", "del", &link])
            && has(&link)?
        {
            return Err(error);
        }
    }
    ip(&["link", "del", BRIDGE])?;
    eventually(GONE, "nothing but loopback is left in the network namespace", || {
        let left = devices()?;
        Ok(Seen::when(others(&left).is_empty(), left))
    })
}

/// The names of the links that `ip -json` lists; it prints nothing at all when there are none.
fn names(listed: &str) -> Result<Vec<String>> {
    #[derive(Deserialize)]
    struct Link {
        ifname: String,
    }
    if listed.trim().is_empty() {
        return Ok(Vec::new());
    }
    let links: Vec<Link> =
        serde_json::from_str(listed).context("ip lists links in a way we cannot read")?;
    Ok(links.into_iter().map(|link| link.ifname).collect())
}

/// Gives the bridge a node's address.
pub(super) fn add(address: &str) -> Result<()> {
    ip(&["addr", "add", &format!("{address}/24"), "dev", BRIDGE])
}

/// Takes it away again, where it is.
pub(super) fn remove(address: &str) -> Result<()> {
    let listed = output(&["-o", "addr", "show", "to", address])?;
    if listed.contains(BRIDGE) {
        ip(&["addr", "del", &format!("{address}/24"), "dev", BRIDGE])?;
    }
    Ok(())
}

/// What `ip` prints.
pub(super) fn output(arguments: &[&str]) -> Result<String> {
    let output = command(arguments).output().context("cannot start ip")?;
    if !output.status.success() {
        bail!("ip {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn ip(arguments: &[&str]) -> Result<()> {
    output(arguments).map(|_| ())
}

fn has(link: &str) -> Result<bool> {
    let status = command(&["link", "show", "dev", link])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    Ok(status.context("cannot start ip")?.success())
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new("ip");
    command.args(arguments).stdin(Stdio::null());
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_with_a_way_out_is_somebody_elses() {
        let head = "Inter-|   Receive\n face |bytes packets\n";
        assert!(others(&format!("{head}    lo: 0 0\n")).is_empty());
        assert_eq!(others(&format!("{head}    lo: 0 0\n  eth0: 7 1\n")), ["eth0"]);
    }

    #[test]
    fn links_are_known_by_their_names_and_none_is_none() {
        let two =
            r#"[{"ifindex":4,"link":"eth0","ifname":"vetha","flags":["UP"]},{"ifname":"vethb"}]"#;
        assert_eq!(names(two).unwrap(), ["vetha", "vethb"]);
        assert!(names("[]").unwrap().is_empty() && names("\n").unwrap().is_empty());
        assert!(names("Device does not exist").is_err());
    }

    #[test]
    fn the_addresses_of_four_nodes_and_their_pods_never_meet() {
        let number = |address: &str| address.rsplit('.').next().unwrap().parse::<u8>().unwrap();
        let mut last = 1;
        for index in 0..4 {
            assert!(number(&node(index)) > 1 && number(&node(index)) < 16);
            let [_, _, from, to] = pods(index);
            assert!(number(&from) > last, "{from}");
            last = number(&to);
        }
    }
}
