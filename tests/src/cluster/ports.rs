//! Free ports on loopback.

use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{LazyLock, Mutex, PoisonError};

use anyhow::{Result, bail};

/// Below the range from which the kernel takes ports for outgoing connections, which would come and go under us.
const LOWEST: u16 = 18_000;
const HIGHEST: u16 = 32_000;

/// Ports this process has handed out: their servers may not have bound them yet, or may be starting again.
static HANDED_OUT: LazyLock<Mutex<HashSet<u16>>> = LazyLock::new(Mutex::default);

/// As many different ports as asked for, free at this moment. Whoever starts a server on one must be ready to ask
/// again: between here and there it may be taken.
pub fn free<const N: usize>() -> Result<[u16; N]> {
    // A different start in every process and call, so that harnesses side by side seldom try the same ports.
    let span = u64::from(HIGHEST - LOWEST);
    let start = RandomState::new().build_hasher().finish() % span;
    let mut found = [0; N];
    let mut held = Vec::with_capacity(N);
    let mut handed_out = HANDED_OUT.lock().unwrap_or_else(PoisonError::into_inner);
    for offset in 0..span {
        let port = LOWEST + u16::try_from((start + offset) % span)?;
        if handed_out.contains(&port) {
            continue;
        }
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            found[held.len()] = port;
            held.push(listener);
            if held.len() == N {
                handed_out.extend(found);
                return Ok(found);
            }
        }
    }
    bail!("no {N} free ports between {LOWEST} and {HIGHEST}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_free_and_never_handed_out_twice() {
        let ports = [free::<6>().unwrap(), free::<6>().unwrap()].concat();
        let unique: HashSet<u16> = ports.iter().copied().collect();
        assert_eq!(unique.len(), 12);
        for port in ports {
            assert!((LOWEST..HIGHEST).contains(&port));
        }
    }
}
