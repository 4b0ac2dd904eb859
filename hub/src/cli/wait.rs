//! `rimward wait`: until something is in a state, or will not get there.

use std::collections::BTreeMap;
use std::time::Duration;

use rimward_proto::AppId;
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use super::args::{Global, WaitArgs};
use super::client::Client;
use super::columns::{self, text};
use super::exit::{Exit, Failure};
use super::output;
use super::reference::Reference;
use super::text::clean;
use super::watch::Watch;

/// How long Failed or Held must last before it is the answer: it may be news of a moment ago, from before a commit was
/// planned or an approval carried out.
const SETTLE: Duration = Duration::from_secs(2);

/// Hexadecimal digits of a whole commit id.
const COMMIT_DIGITS: usize = 40;

/// Runs the command.
pub async fn run(client: &Client, global: &Global, args: &WaitArgs) -> Result<Exit, Failure> {
    if args.commit.is_some() && matches!(args.reference, Reference::Cluster(_) | Reference::Tenant(_)) {
        return Err(Failure::usage("--commit is for an App or a source"));
    }
    until(client, global, &args.reference, &args.wanted, args.commit.as_deref()).await
}

/// Waits until `reference` is in `state`, at `commit` or a newer one if that is given.
pub async fn until(
    client: &Client,
    global: &Global,
    reference: &Reference,
    state: &str,
    commit: Option<&str>,
) -> Result<Exit, Failure> {
    let deadline = Instant::now() + client.timeout();
    let (said, first, stuck, histories) = (String::new(), None, None, BTreeMap::new());
    let mut wait = Wait { client, global, reference, state, commit, said, first, stuck, histories };
    let mut stream = timeout_at(deadline, Watch::open(client, global, "/events?watch=true".to_owned(), None))
        .await
        .map_err(|_| Failure::new(Exit::Unreachable, "no answer in time (--timeout)"))??;
    let mut last = None;
    loop {
        let look = match timeout_at(deadline, wait.look()).await {
            Ok(Ok(look)) => look,
            // The hub was there a moment ago: the stream dials it again, and says so.
            Ok(Err(failure)) if failure.exit == Exit::Unreachable => Look::NotYet { found: true },
            Ok(Err(failure)) => return Err(failure),
            Err(_) => return Err(wait.late(last)),
        };
        match look {
            Look::Done(item) => return wait.done(&item),
            Look::Never(failure) => return Err(failure),
            Look::NotYet { found } => last = Some(found),
        }
        let change = async {
            loop {
                match stream.next().await? {
                    Some(message) if message.kind != "change" => {}
                    _ => return Ok::<(), Failure>(()),
                }
            }
        };
        match timeout_at(deadline.min(Instant::now() + SETTLE), change).await {
            Ok(change) => change?,
            Err(_) if Instant::now() >= deadline => return Err(wait.late(last)),
            Err(_) => {}
        }
    }
}

/// One look at it.
enum Look {
    Done(Value),
    Never(Failure),
    NotYet { found: bool },
}

struct Wait<'a> {
    client: &'a Client,
    global: &'a Global,
    reference: &'a Reference,
    state: &'a str,
    commit: Option<&'a str>,
    said: String,
    /// The first object that was not ready at the last look, and why.
    first: Option<String>,
    stuck: Option<Instant>,
    /// Whether these commits have the wanted one in their history.
    histories: BTreeMap<String, bool>,
}

/// What is known of the commit that is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Resolved {
    /// The source has not come to it.
    No,
    /// The source has, and what is waited for is still decided on an older one.
    Source,
    /// That commit or a newer one is what is decided on.
    Yes,
}

impl Wait<'_> {
    async fn look(&mut self) -> Result<Look, Failure> {
        let item = match self.client.get(&self.reference.path()).await {
            Ok(item) => item,
            Err(failure) if failure.exit == Exit::NotFound => {
                self.say(format!("waiting: {} is not known to the hub yet", self.reference));
                return Ok(Look::NotYet { found: false });
            }
            Err(failure) => return Err(failure),
        };
        let first = Some(&item["firstNotReady"]).filter(|first| first.is_object());
        self.first = first.map(columns::problem);
        let resolved = self.resolved(&item).await?;
        let now = item["state"].as_str().unwrap_or_default().to_owned();
        if resolved == Resolved::Yes && now == self.state {
            return Ok(Look::Done(item));
        }
        let stuck = match now.as_str() {
            "Failed" => Some(Exit::No),
            "Held" => Some(Exit::Conflict),
            _ => None,
        };
        let Some(exit) = stuck.filter(|_| resolved != Resolved::No) else {
            self.stuck = None;
            self.say(self.describe(&item, &now, resolved));
            return Ok(Look::NotYet { found: true });
        };
        let since = *self.stuck.get_or_insert_with(Instant::now);
        if since.elapsed() >= SETTLE {
            let (reason, message) = (text(&item["reason"]), text(&item["message"]));
            let message = format!("{} is {now}: {reason}: {message}", self.reference);
            return Ok(Look::Never(Failure::new(exit, self.with_first(message))));
        }
        self.say(self.describe(&item, &now, resolved));
        Ok(Look::NotYet { found: true })
    }

    fn describe(&self, item: &Value, now: &str, resolved: Resolved) -> String {
        if resolved != Resolved::Yes {
            let (wanted, at) = (self.commit.unwrap_or_default(), text(&item["commit"]));
            return format!("waiting: {} is at {at}, not yet at {wanted} or newer", self.reference);
        }
        let (reason, message) = (text(&item["reason"]), text(&item["message"]));
        if now == "Ready" {
            return format!("waiting: {} is Ready, not {}", self.reference, self.state);
        }
        format!("waiting: {} is {now}: {reason}: {message}", self.reference)
    }

    /// Says what it waits for, once.
    fn say(&mut self, text: String) {
        if text != self.said {
            output::say(self.global, &text);
            self.said = text;
        }
    }

    async fn resolved(&mut self, item: &Value) -> Result<Resolved, Failure> {
        let Some(wanted) = self.commit else { return Ok(Resolved::Yes) };
        let at = item["commit"].as_str().unwrap_or_default();
        if at.starts_with(wanted) {
            return Ok(Resolved::Yes);
        }
        let source = match self.reference {
            Reference::App(id) => self.source_of(id, item).await?,
            _ => Some(item.clone()),
        };
        let list =
            source.as_ref().and_then(|source| source["resolved"].as_array()).cloned().unwrap_or_default();
        let place =
            |commit: &str| list.iter().position(|c| c.as_str().is_some_and(|c| c.starts_with(commit)));
        let Some(first) = place(wanted) else { return self.skipped(wanted, at, source.as_ref()).await };
        let newer = !at.is_empty() && place(at).is_some_and(|at| at > first);
        Ok(if newer { Resolved::Yes } else { Resolved::Source })
    }

    /// What is known of a commit that the source has not stopped at: a newer one may have come first, with it in its
    /// history.
    async fn skipped(&mut self, wanted: &str, at: &str, source: Option<&Value>) -> Result<Resolved, Failure> {
        // A longer name than any commit of these repositories has is nobody's.
        let Some(source) = source.filter(|_| wanted.len() <= COMMIT_DIGITS) else { return Ok(Resolved::No) };
        let newest = source["commit"].as_str().unwrap_or_default();
        let path = match self.reference {
            Reference::App(id) => {
                let name = super::client::percent(source["name"].as_str().unwrap_or_default());
                format!("/tenants/{}/sources/{name}", id.tenant)
            }
            reference => reference.path(),
        };
        for (within, found) in [(at, Resolved::Yes), (newest, Resolved::Source)] {
            if within.is_empty() {
                continue;
            }
            // What a commit contains does not change: it is asked once.
            let contained = match self.histories.get(within) {
                Some(contained) => *contained,
                None => {
                    let answer = self.client.get(&format!("{path}/commits/{wanted}?within={within}")).await?;
                    let contained = answer["contained"].as_bool();
                    self.histories.extend(contained.map(|contained| (within.to_owned(), contained)));
                    contained.unwrap_or(false)
                }
            };
            if contained {
                return Ok(found);
            }
        }
        Ok(Resolved::No)
    }

    async fn source_of(&self, id: &AppId, item: &Value) -> Result<Option<Value>, Failure> {
        let Some(source) = item["source"].as_str() else { return Ok(None) };
        let path = format!("/tenants/{}/sources/{}", id.tenant, super::client::percent(source));
        match self.client.get(&path).await {
            Ok(source) => Ok(Some(source)),
            Err(failure) if failure.exit == Exit::NotFound => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    fn done(&self, item: &Value) -> Result<Exit, Failure> {
        let commit: String = item["commit"].as_str().unwrap_or_default().chars().take(7).collect();
        let at = if commit.is_empty() { String::new() } else { format!(" at {commit}") };
        let clusters = item["clusters"].as_object().and_then(|clusters| clusters.get("total"));
        let on = clusters.map(|total| format!(" on {total} clusters")).unwrap_or_default();
        if !self.global.quiet {
            output::print(&(clean(&format!("{} is {}{at}{on}", self.reference, self.state)) + "\n"))?;
        }
        Ok(Exit::Yes)
    }

    fn late(&self, found: Option<bool>) -> Failure {
        let waited = self.client.timeout();
        match found {
            Some(false) => {
                Failure::new(Exit::NotFound, format!("{} not found, for {waited:?}", self.reference))
            }
            _ => {
                let said = self.said.trim_start_matches("waiting: ");
                let message = format!("not {} within {waited:?} (--timeout): {said}", self.state);
                Failure::new(Exit::Unreachable, self.with_first(message))
            }
        }
    }

    /// The message, and below it the first object that is not ready.
    fn with_first(&self, message: String) -> String {
        match &self.first {
            Some(first) => format!("{message}\n  first not ready: {}", clean(first)),
            None => message,
        }
    }
}
