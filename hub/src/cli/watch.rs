//! Waiting for the hub to change instead of asking again and again: the event
//! stream says when to look, a slow tick covers what only time changes, and a
//! hub that goes away for a moment is dialled again.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::args::Global;
use super::client::Client;
use super::exit::{Exit, Failure};
use super::output::say;
use super::sse::{Message, Stream};

/// A look without a change, because some states change with time alone (a head that expires).
const TICK: Duration = Duration::from_secs(5);
/// Pause between attempts to reach a hub that went away.
const RETRY: Duration = Duration::from_secs(1);

/// A stream that is opened again when it breaks, for as long as the timeout allows.
pub struct Watch<'a> {
    client: &'a Client,
    global: &'a Global,
    path: String,
    last: Option<String>,
    stream: Option<Stream>,
    gone: bool,
}

impl<'a> Watch<'a> {
    /// Opens the stream at `path`, after the item of id `last` if one is given.
    pub async fn open(
        client: &'a Client,
        global: &'a Global,
        path: String,
        last: Option<String>,
    ) -> Result<Self, Failure> {
        let stream = client.stream(&path, last.as_deref()).await?;
        Ok(Self { client, global, path, last, stream: Some(stream), gone: false })
    }

    /// The next message. After a break of the stream, and at least every few seconds, none: look for yourself.
    pub async fn next(&mut self) -> Result<Option<Message>, Failure> {
        let Some(stream) = &mut self.stream else {
            self.reopen().await?;
            return Ok(None);
        };
        match timeout(TICK, stream.next()).await {
            Err(_) => Ok(None),
            Ok(Ok(Some(message))) => {
                if !message.id.is_empty() {
                    self.last = Some(message.id.clone());
                }
                Ok(Some(message))
            }
            Ok(Ok(None) | Err(_)) => {
                self.stream = None;
                self.reopen().await?;
                Ok(None)
            }
        }
    }

    async fn reopen(&mut self) -> Result<(), Failure> {
        if !std::mem::replace(&mut self.gone, true) {
            say(self.global, "the hub went away; trying again");
        }
        let deadline = Instant::now() + self.client.timeout();
        loop {
            match self.client.stream(&self.path, self.last.as_deref()).await {
                Ok(stream) => {
                    say(self.global, "connected again");
                    (self.stream, self.gone) = (Some(stream), false);
                    return Ok(());
                }
                Err(failure) if failure.exit != Exit::Unreachable || Instant::now() + RETRY > deadline => {
                    return Err(failure);
                }
                Err(_) => sleep(RETRY).await,
            }
        }
    }
}
