//! The address between the program's start and the models' readiness: bound, but not listening. Leaves accepting to
//! the parent module.

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket};

/// Connections that the system completes while the program does not take them; systems bound it further.
const BACKLOG: u32 = 1024;

/// An address that this process holds and at which it does not listen: the system refuses connections as if no program
/// were there. So a client never meets a server that cannot answer yet, and who starts a second server at an address in
/// use hears of it before the models are loaded.
#[derive(Debug)]
pub struct ReservedAddress(TcpSocket);

impl ReservedAddress {
    /// Takes `address`; port 0 takes any free one.
    ///
    /// # Errors
    ///
    /// When somebody listens there, or the machine has no such address.
    pub fn reserve(address: SocketAddr) -> io::Result<Self> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // Connections of a process that has ended linger at its address for a minute. On Windows the option would let
        // two programs listen at one address.
        #[cfg(unix)]
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        Ok(Self(socket))
    }

    /// What was taken.
    ///
    /// # Errors
    ///
    /// When the system does not tell.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// From now on the system accepts connections.
    ///
    /// # Errors
    ///
    /// When another process that had reserved the address was faster.
    pub fn listen(self) -> io::Result<TcpListener> {
        self.0.listen(BACKLOG)
    }
}
