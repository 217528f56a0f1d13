//! A way to the webhook that can be shut, as a firewall shuts one: what comes is carried on, until it is not.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::Result;

/// A way to a port of this machine. It ends when it is dropped.
#[derive(Debug)]
pub(super) struct Way {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    is_shut: AtomicBool,
    is_over: AtomicBool,
    /// What is carried now, and was before.
    carried: Mutex<Vec<TcpStream>>,
}

impl Way {
    /// Opens one that leads to this port.
    pub(super) fn to(port: u16) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let way = Self { address: listener.local_addr()?, state: Arc::default() };
        let state = Arc::clone(&way.state);
        thread::spawn(move || {
            for caller in listener.incoming() {
                if state.is_over.load(Ordering::SeqCst) {
                    return;
                }
                // What cannot be carried is closed, and so is whatever comes while it is shut.
                let _closed = caller.and_then(|caller| state.carry(caller, port));
            }
        });
        Ok(way)
    }

    /// How the API server comes by it.
    pub(super) fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// Ends what is under way, and carries nothing any more.
    pub(super) fn shut(&self) {
        self.state.is_shut.store(true, Ordering::SeqCst);
        let mut carried = self.state.carried.lock().unwrap_or_else(PoisonError::into_inner);
        for stream in carried.drain(..) {
            let _closed_before = stream.shutdown(Shutdown::Both);
        }
    }

    /// Carries again.
    pub(super) fn open(&self) {
        self.state.is_shut.store(false, Ordering::SeqCst);
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.state.is_over.store(true, Ordering::SeqCst);
        self.shut();
        // So that it is looked whether it is over.
        let _woken = TcpStream::connect(self.address);
    }
}

impl State {
    fn carry(&self, caller: TcpStream, port: u16) -> io::Result<()> {
        let mut carried = self.carried.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_shut.load(Ordering::SeqCst) {
            return Ok(());
        }
        let server = TcpStream::connect(("127.0.0.1", port))?;
        for (from, to) in [(&caller, &server), (&server, &caller)] {
            let (mut from, mut to) = (from.try_clone()?, to.try_clone()?);
            thread::spawn(move || {
                let _ended = io::copy(&mut from, &mut to);
                let _closed_before = to.shutdown(Shutdown::Both);
            });
        }
        carried.extend([caller, server]);
        Ok(())
    }
}
