//! A network between the service and a server, that can be cut.

use std::sync::{Arc, Mutex};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinHandle,
};

/// What passes.
#[derive(Debug, Clone, Copy, Default)]
struct Passage {
    /// Connections up to this number carry nothing any more. They stay open, and what is sent on them is lost.
    dead: usize,
    /// No connection carries anything for now, neither old nor new.
    cut: bool,
}

/// A loopback TCP proxy.
pub struct Proxy {
    port: u16,
    passage: watch::Sender<Passage>,
    connections: Arc<Mutex<usize>>,
    listener: Option<JoinHandle<()>>,
    to: u16,
}

impl Proxy {
    /// One to a port of this machine.
    pub async fn to(port: u16) -> Self {
        let mut proxy = Self {
            port: super::postgres::free_port(),
            passage: watch::Sender::default(),
            connections: Arc::default(),
            listener: None,
            to: port,
        };
        proxy.accept().await;
        proxy
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Nothing passes any more: connections can be made, old ones stay open, and nothing comes through.
    pub fn cut(&self) {
        self.passage.send_modify(|passage| passage.cut = true);
    }

    /// Everything passes again, also what was sent meanwhile.
    pub fn mend(&self) {
        self.passage.send_modify(|passage| passage.cut = false);
    }

    /// The connections that there are never carry anything again; new ones work.
    pub fn bury_connections(&self) {
        let number = *self.connections.lock().unwrap();
        self.passage.send_modify(|passage| passage.dead = number);
    }

    /// New connections are refused; those that there are work.
    pub async fn refuse(&mut self) {
        if let Some(listener) = self.listener.take() {
            listener.abort();
            let _aborted = listener.await;
        }
    }

    /// New connections are accepted.
    pub async fn accept(&mut self) {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).await.unwrap();
        let (passage, connections, to) = (self.passage.subscribe(), Arc::clone(&self.connections), self.to);
        self.listener = Some(tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let number = {
                    let mut connections = connections.lock().unwrap();
                    *connections += 1;
                    *connections
                };
                let passage = passage.clone();
                tokio::spawn(async move {
                    if let Ok(far) = TcpStream::connect(("127.0.0.1", to)).await {
                        let (from_near, to_near) = near.into_split();
                        let (from_far, to_far) = far.into_split();
                        tokio::spawn(carry(number, passage.clone(), from_near, to_far));
                        carry(number, passage, from_far, to_near).await;
                    }
                });
            }
        }));
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(listener) = self.listener.take() {
            listener.abort();
        }
    }
}

/// Carries bytes one way, as long as they pass.
async fn carry(number: usize, mut passage: watch::Receiver<Passage>, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
    let mut bytes = vec![0; 16_384];
    loop {
        let read = from.read(&mut bytes).await;
        // An end is not told either. What cannot pass waits, as it does in a network that sends it again.
        let passes = passage.wait_for(|passage| !passage.cut && number > passage.dead).await.is_ok();
        match read {
            Ok(count) if passes && count > 0 => {
                if to.write_all(&bytes[..count]).await.is_err() {
                    return;
                }
            }
            _ => {
                let _closed = to.shutdown().await;
                return;
            }
        }
    }
}
