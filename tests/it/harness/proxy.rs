//! A TCP proxy between the service and a server, whose link can fail.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinHandle,
};

/// Connections are numbered from 1.
#[derive(Debug, Clone, Copy, Default)]
struct Link {
    /// No connection carries anything for now, neither old nor new.
    cut: bool,
    /// Connections up to this number stay open and never carry anything again.
    silent: usize,
    /// Connections up to this number are closed.
    closed: usize,
    /// New connections are closed at once.
    turns_away: bool,
}

/// A proxy on a port of its own.
pub struct Proxy {
    port: u16,
    server: Arc<Mutex<String>>,
    link: watch::Sender<Link>,
    connections: Arc<AtomicUsize>,
    listener: Option<JoinHandle<()>>,
}

/// A port where nothing listens.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

impl Proxy {
    /// A proxy to the server at `host:port`.
    pub async fn to(server: impl Into<String>) -> Self {
        let mut proxy = Self {
            port: free_port(),
            server: Arc::new(Mutex::new(server.into())),
            link: watch::Sender::default(),
            connections: Arc::default(),
            listener: None,
        };
        proxy.accept().await;
        proxy
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Nothing passes any more, as when a network is cut: connections open and stay open, and hear nothing.
    pub fn cut(&self) {
        self.link.send_modify(|link| link.cut = true);
    }

    /// New connections go to another server, as when an address moves to another machine.
    pub fn lead_to(&self, server: impl Into<String>) {
        *self.server.lock().unwrap() = server.into();
    }

    /// Everything passes again, and what was sent meanwhile arrives.
    pub fn restore(&self) {
        self.link.send_modify(|link| link.cut = false);
    }

    /// The present connections never carry anything again, as when an address moves to another machine; new ones work.
    pub fn silence_connections(&self) {
        let number = self.connections.load(Ordering::SeqCst);
        self.link.send_modify(|link| link.silent = number);
    }

    pub fn close_connections(&self) {
        let number = self.connections.load(Ordering::SeqCst);
        self.link.send_modify(|link| link.closed = number);
    }

    /// Whether new connections are closed at once.
    pub fn turn_away(&self, on: bool) {
        self.link.send_modify(|link| link.turns_away = on);
    }

    /// New connections are refused; the present ones work.
    pub async fn refuse(&mut self) {
        if let Some(listener) = self.listener.take() {
            listener.abort();
            let _aborted = listener.await;
        }
    }

    /// New connections are accepted again.
    pub async fn accept(&mut self) {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).await.unwrap();
        let (link, connections, server) =
            (self.link.subscribe(), Arc::clone(&self.connections), Arc::clone(&self.server));
        self.listener = Some(tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let number = connections.fetch_add(1, Ordering::SeqCst) + 1;
                if !link.borrow().turns_away {
                    let server = server.lock().unwrap().clone();
                    tokio::spawn(connect(number, link.clone(), near, server));
                }
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

async fn connect(number: usize, mut link: watch::Receiver<Link>, near: TcpStream, server: String) {
    let Ok(far) = TcpStream::connect(server).await else { return };
    // A proxy that collects small packets adds 40 ms to each exchange.
    near.set_nodelay(true).unwrap();
    far.set_nodelay(true).unwrap();
    let (from_near, to_near) = near.into_split();
    let (from_far, to_far) = far.into_split();
    let there = forward(number, link.clone(), from_near, to_far);
    let back = forward(number, link.clone(), from_far, to_near);
    let closed = async { link.wait_for(|link| number <= link.closed).await.is_ok() };
    tokio::select! {
        ((), ()) = async { tokio::join!(there, back) } => {}
        _ = closed => {}
    }
}

/// Forwards bytes one way, whenever the link lets them pass.
async fn forward(number: usize, mut link: watch::Receiver<Link>, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
    let mut bytes = vec![0; 16_384];
    loop {
        let read = from.read(&mut bytes).await;
        // What cannot pass waits, the end of a connection too: a real network would send it again.
        let passes = link.wait_for(|link| !link.cut && number > link.silent).await.is_ok();
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
