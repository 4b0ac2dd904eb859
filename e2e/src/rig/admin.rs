//! The admin API itself, over the hub's socket: for what the command line does
//! not show.

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::HubProcess;

impl HubProcess {
    /// `GET` of `path` on `admin.sock`: status and JSON body.
    pub async fn get(&self, path: &str) -> Result<(u16, Value)> {
        self.ask("GET", path, "").await
    }

    /// `POST` of a JSON body.
    pub async fn post(&self, path: &str, body: &Value) -> Result<(u16, Value)> {
        self.ask("POST", path, &body.to_string()).await
    }

    async fn ask(&self, method: &str, path: &str, body: &str) -> Result<(u16, Value)> {
        let mut stream = UnixStream::connect(self.data().join("admin.sock")).await?;
        let length = body.len();
        // HTTP/1.0: the body ends with the connection, in one piece.
        let request = format!(
            "{method} {path} HTTP/1.0\r\nhost: hub\r\ncontent-type: application/json\r\n\
             content-length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        let answer = String::from_utf8(answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("an answer without a body")?;
        let status = head.split(' ').nth(1).context("an answer without a status")?.parse()?;
        let body = serde_json::from_str(body).with_context(|| format!("{method} {path}: {answer}"))?;
        Ok((status, body))
    }
}
