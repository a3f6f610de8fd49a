//! Open connections: how many there may be, and of whom.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;
use tokio_rustls::server::TlsStream;
use tonic::transport::server::{Connected, TcpConnectInfo, TlsConnectInfo};

use super::readers::Caller;
use super::shares::{Share, Shares};
use crate::config::{Reader, ServeSettings};
use crate::metrics::ServeMetrics;

/// Who says nothing for so long after the handshake is dropped, and gives its place back.
const SILENCE: Duration = Duration::from_secs(10);
/// Under this name are those whom the settings do not know.
const STRANGER: &str = "";

/// Who may have how many.
#[derive(Debug)]
pub(crate) struct Connections {
    shares: Shares,
    readers: Arc<[Reader]>,
    metrics: ServeMetrics,
}

impl Connections {
    /// As many as the settings allow, and of each caller a part of these.
    pub(crate) fn new(settings: &ServeSettings, metrics: ServeMetrics) -> Self {
        Self {
            shares: Shares::new(settings.connections, &settings.readers),
            readers: settings.readers.clone().into(),
            metrics,
        }
    }

    /// Whether one that has come may shake hands; counts it otherwise. What has not finished that takes no
    /// part: who has no certificate keeps nobody out.
    pub(crate) fn may_begin(&self) -> bool {
        let may_begin = !self.shares.are_taken();
        if !may_begin {
            self.metrics.refused_connections.inc();
        }
        may_begin
    }

    /// Lets one in whose caller is known now, or closes and counts it.
    pub(crate) async fn open(&self, mut stream: TlsStream<TcpStream>) -> Option<Connection> {
        let caller = self.caller(&stream);
        let Ok(share) = self.shares.take(caller.as_deref().unwrap_or(STRANGER)) else {
            self.metrics.refused_connections.inc();
            tracing::info!(caller, "a caller has as many connections as it may");
            // It may be gone already.
            let _ = stream.shutdown().await;
            return None;
        };
        self.metrics.connections.inc();
        let place = Place {
            _share: share,
            metrics: self.metrics.clone(),
        };
        Some(Connection {
            stream,
            silence: Some(Box::pin(tokio::time::sleep(SILENCE))),
            _place: place,
        })
    }

    fn caller(&self, stream: &TlsStream<TcpStream>) -> Option<String> {
        let chain = stream.get_ref().1.peer_certificates()?;
        let caller = Caller::of(chain.first()?, &self.readers).ok()?;
        Some(caller.name)
    }
}

/// Of an open connection.
#[derive(Debug)]
struct Place {
    _share: Share,
    metrics: ServeMetrics,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.metrics.connections.dec();
    }
}

/// An open connection.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TlsStream<TcpStream>,
    /// Until something is read. From then on the protocol asks whether the other side is there.
    silence: Option<Pin<Box<Sleep>>>,
    _place: Place,
}

impl Connected for Connection {
    type ConnectInfo = TlsConnectInfo<TcpConnectInfo>;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.stream.connect_info()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if read.is_ready() {
            self.silence = None;
        } else if let Some(silence) = self.silence.as_mut() {
            return silence
                .as_mut()
                .poll(context)
                .map(|()| Err(io::ErrorKind::TimedOut.into()));
        }
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
