//! `HTTPS_PROXY`: a tunnel through an HTTP proxy, for clusters that reach the
//! hub no other way. TLS to the hub runs inside it.

use std::io;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use zeroize::Zeroizing;

/// A proxy's answer to CONNECT is a status line and a few headers.
const ANSWER_BYTES: usize = 8 << 10;

/// A proxy and the credentials for it.
#[derive(Clone)]
pub struct Proxy {
    address: String,
    authorization: Option<Zeroizing<String>>,
    except: Vec<String>,
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Proxy({})", self.address)
    }
}

/// The proxy's address cannot be used. Does not repeat it, because it may carry a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("error[RW1040]: HTTPS_PROXY is not of the form http://[user:password@]host:port")]
pub struct ProxyError;

impl Proxy {
    /// From the values of `HTTPS_PROXY` and `NO_PROXY`; an empty proxy is none.
    pub fn parse(proxy: &str, except: &str) -> Result<Option<Self>, ProxyError> {
        if proxy.is_empty() {
            return Ok(None);
        }
        let rest = proxy.strip_prefix("http://").ok_or(ProxyError)?.trim_end_matches('/');
        let (user, address) =
            rest.rsplit_once('@').map_or((None, rest), |(user, address)| (Some(user), address));
        let port = address.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
        if port.is_none_or(|(host, _)| host.is_empty()) {
            return Err(ProxyError);
        }
        let authorization = user.map(|user| Zeroizing::new(format!("Basic {}", STANDARD.encode(user))));
        let except = except.split(',').map(|host| host.trim().trim_start_matches('.').to_owned());
        let except = except.filter(|host| !host.is_empty()).collect();
        Ok(Some(Self { address: address.to_owned(), authorization, except }))
    }

    /// True if `host` is reached through the proxy.
    pub fn applies_to(&self, host: &str) -> bool {
        let inside = |domain: &String| {
            domain == "*"
                || host == domain
                || host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
        };
        !self.except.iter().any(inside)
    }

    /// A tunnel to `target` (`host:port`).
    pub async fn connect(&self, target: &str) -> io::Result<TcpStream> {
        let mut stream = TcpStream::connect(&self.address).await?;
        let mut request = Zeroizing::new(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n"));
        if let Some(authorization) = &self.authorization {
            request.push_str(&format!("Proxy-Authorization: {}\r\n", authorization.as_str()));
        }
        request.push_str("\r\n");
        stream.write_all(request.as_bytes()).await?;
        let status = read_answer(&mut stream).await?;
        if status.split(' ').nth(1) == Some("200") {
            return Ok(stream);
        }
        Err(io::Error::other(format!("the proxy refuses the tunnel: {status}")))
    }
}

/// Reads up to the empty line and no further: what follows is TLS.
async fn read_answer(stream: &mut TcpStream) -> io::Result<String> {
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        if answer.len() == ANSWER_BYTES {
            return Err(io::Error::other("the proxy's answer is too long"));
        }
        answer.push(stream.read_u8().await?);
    }
    let text = String::from_utf8_lossy(&answer);
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[test]
    fn addresses_and_exceptions() {
        assert!(Proxy::parse("", "").unwrap().is_none());
        assert!(Proxy::parse("https://p:1", "").is_err());
        assert!(Proxy::parse("http://p", "").is_err());
        let proxy = Proxy::parse("http://u:secret@p:3128/", "example.com, .local").unwrap().unwrap();
        assert_eq!(format!("{proxy:?}"), "Proxy(p:3128)");
        assert!(proxy.applies_to("hub.acme.example") && proxy.applies_to("myexample.com"));
        assert!(!proxy.applies_to("hub.example.com") && !proxy.applies_to("x.local"));
    }

    #[tokio::test]
    async fn the_tunnel_carries_what_follows() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let request = read_answer(&mut stream).await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\nX: y\r\n\r\nhello").await.unwrap();
            request
        });
        let proxy = Proxy::parse(&format!("http://u:p@{address}"), "").unwrap().unwrap();
        let mut stream = proxy.connect("hub:8443").await.unwrap();
        let mut hello = [0; 5];
        stream.read_exact(&mut hello).await.unwrap();
        assert_eq!(&hello, b"hello");
        assert_eq!(server.await.unwrap(), "CONNECT hub:8443 HTTP/1.1");
    }
}
