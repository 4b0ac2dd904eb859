//! Loopback ports that stay ours.
//!
//! The usual trick (bind port 0, close, hand the number to a server) loses
//! races among parallel test processes, and once more each time a server is
//! stopped and started again. Here a bound, never listening socket keeps the
//! port, and the server binds beside it with `SO_REUSEPORT`.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::{Context, Result};
use tokio::net::{TcpListener, TcpSocket};

/// How many connections may wait to be accepted; as most servers have it.
const BACKLOG: u32 = 1024;

/// A loopback port that nobody else gets while this value lives.
#[derive(Debug)]
pub struct Port {
    socket: TcpSocket,
}

impl Port {
    /// Takes a free one.
    pub fn reserve() -> Result<Self> {
        let socket = bound(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        Ok(Self { socket })
    }

    /// 127.0.0.1 and the port.
    pub fn address(&self) -> SocketAddr {
        self.socket.local_addr().expect("a bound socket has an address")
    }

    /// The port's number.
    pub fn number(&self) -> u16 {
        self.address().port()
    }

    /// Listens on it. Must be called inside a tokio runtime.
    pub fn listen(&self) -> Result<TcpListener> {
        let socket = bound(self.address())?;
        socket.listen(BACKLOG).with_context(|| format!("listening on {}", self.address()))
    }
}

fn bound(address: SocketAddr) -> Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseport(true)?;
    socket.bind(address).with_context(|| format!("binding {address}"))?;
    Ok(socket)
}

/// A free port for a program that binds it itself, again after each restart, and so cannot share it with a [`Port`]: below
/// the range that the kernel gives to outgoing connections, so that none of those takes it in between.
pub fn outside_the_ephemeral() -> Result<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    const FIRST: u16 = 20_000;
    const SPAN: u16 = 10_000;
    // Processes start far apart, so that tests running side by side do not meet.
    let start = u16::try_from(std::process::id() * 97 % u32::from(SPAN))?;
    (0..SPAN)
        .map(|_| FIRST + (start + NEXT.fetch_add(1, Ordering::Relaxed) % SPAN) % SPAN)
        .find(|port| std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .context("no free port")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream;

    #[tokio::test]
    async fn a_port_refuses_when_nobody_listens_and_comes_back() {
        let port = Port::reserve().unwrap();
        assert!(TcpStream::connect(port.address()).is_err());
        for _ in 0..2 {
            let listener = port.listen().unwrap();
            assert!(TcpStream::connect(port.address()).is_ok());
            drop(listener);
            assert!(TcpStream::connect(port.address()).is_err());
        }
    }

    #[test]
    fn two_reservations_differ() {
        let ports: Vec<Port> = (0..50).map(|_| Port::reserve().unwrap()).collect();
        let mut numbers: Vec<u16> = ports.iter().map(Port::number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), ports.len());
    }
}
