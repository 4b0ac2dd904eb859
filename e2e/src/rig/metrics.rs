//! What hub and spokes count, read from their metrics listeners as Prometheus
//! would.

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{HubProcess, SpokeProcess};
use crate::control_plane::Metrics;

impl HubProcess {
    /// A scrape of its `/metrics`.
    pub async fn metrics(&self) -> Result<Metrics> {
        scrape(&self.metrics_address).await
    }
}

impl SpokeProcess {
    /// A scrape of its `/metrics`.
    pub async fn metrics(&self) -> Result<Metrics> {
        scrape(&self.metrics_address).await
    }
}

async fn scrape(address: &str) -> Result<Metrics> {
    let mut stream = TcpStream::connect(address).await.with_context(|| format!("connecting to {address}"))?;
    // HTTP/1.0: the body ends with the connection, in one piece.
    stream.write_all(b"GET /metrics HTTP/1.0\r\nhost: rig\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").context("an answer without a body")?;
    ensure!(head.split(' ').nth(1) == Some("200"), "{address}: {head}");
    Ok(Metrics::new(body.to_owned()))
}
