//! Binding: on one address, or on every address of either family.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

use super::{HEAD_TIMEOUT, Listener};

/// Connections that may wait to be accepted.
const QUEUE: i32 = 1024;

/// The address could not be listened on.
#[derive(Debug, thiserror::Error)]
#[error(
    "the {name} listener cannot use {address}: {source}; choose another address or port 0 for a free one"
)]
pub struct BindError {
    name: &'static str,
    address: SocketAddr,
    source: io::Error,
}

/// Binds, and tells the bound address in one log line. `name` is `api`, `webhook` or `health`. The address `[::]` means
/// every address, of IPv4 too, and those of IPv4 alone where the kernel knows no IPv6.
pub async fn bind(name: &'static str, address: SocketAddr) -> Result<Listener, BindError> {
    let failed = |source| BindError { name, address, source };
    let tcp = open(address).or_else(|error| {
        let instead = without_ipv6(address, &error).ok_or(error)?;
        let opened = open(instead)?;
        tracing::warn!(listener = name, "this kernel knows no IPv6: listening on IPv4 alone");
        Ok(opened)
    });
    let tcp = tcp.map_err(failed)?;
    let address = tcp.local_addr().map_err(failed)?;
    tracing::info!(listener = name, %address, "listening");
    Ok(Listener { name, tcp, address, patience: HEAD_TIMEOUT })
}

/// Where to listen instead, once this failed on every address of both families: on every one of IPv4, unless it failed
/// for a reason that has nothing to do with the family.
fn without_ipv6(address: SocketAddr, error: &io::Error) -> Option<SocketAddr> {
    let is_about_the_port =
        matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied);
    let is_every = address.is_ipv6() && address.ip().is_unspecified();
    (is_every && !is_about_the_port)
        .then(|| SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port())))
}

fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // Whatever the machine's net.ipv6.bindv6only says.
        socket.set_only_v6(false)?;
    }
    // A program that starts again takes the port at once, though connections of the last one still linger.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(QUEUE)?;
    TcpListener::from_std(socket.into())
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv6Addr, TcpStream};

    use super::*;

    #[tokio::test]
    async fn a_listener_of_ipv6_takes_callers_of_ipv4_too() {
        // Where the machine has no IPv6 there is nothing to see.
        if std::net::TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
            return;
        }
        let loopback = Ipv4Addr::LOCALHOST.to_ipv6_mapped();
        let listener = bind("api", SocketAddr::from((loopback, 0))).await.unwrap();
        TcpStream::connect((Ipv4Addr::LOCALHOST, listener.address().port())).unwrap();
        let taken = bind("health", listener.address()).await.unwrap_err();
        assert!(taken.to_string().contains("choose another address"), "{taken}");
        let alone = bind("api", SocketAddr::from((Ipv6Addr::LOCALHOST, 0))).await.unwrap();
        TcpStream::connect((Ipv6Addr::LOCALHOST, alone.address().port())).unwrap();
    }

    #[test]
    fn ipv4_alone_is_enough_where_there_is_no_ipv6_and_nowhere_else() {
        // What socket() says of a kernel without IPv6 (EAFNOSUPPORT), and bind() of a machine without an address.
        let missing = io::Error::from_raw_os_error(97);
        let (unavailable, taken, refused) = (
            io::Error::from(io::ErrorKind::AddrNotAvailable),
            io::Error::from(io::ErrorKind::AddrInUse),
            io::Error::from(io::ErrorKind::PermissionDenied),
        );
        for (address, error, expected) in [
            ("[::]:8443", &missing, Some("0.0.0.0:8443")),
            ("[::]:8443", &unavailable, Some("0.0.0.0:8443")),
            ("[::]:8443", &taken, None),
            ("[::]:443", &refused, None),
            ("[::1]:8443", &missing, None),
            ("0.0.0.0:8443", &unavailable, None),
        ] {
            let instead = without_ipv6(address.parse().unwrap(), error);
            assert_eq!(instead.map(|a| a.to_string()).as_deref(), expected, "{address} {error}");
        }
    }
}
