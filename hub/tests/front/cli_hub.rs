//! A hub in this process behind a real socket, and the real command run against
//! it.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, ChildStdout, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rimward_hub::core::explain::Located;
use rimward_hub::core::preview::{Group, Limits, ObjectChange, Preview};
use rimward_hub::core::world::World;
use rimward_hub::handle::{Action, ActionError};
use rimward_proto::Digest;
use rimward_proto::token::Token;
use tempfile::TempDir;

use crate::api::Server;

/// Plenty for anything here, also on a machine that is busy.
pub const SOON: Duration = Duration::from_secs(60);
/// A commit that a newer one came before.
pub const SKIPPED: &str = "5c1bbed";

/// A running hub. Its tasks answer everything with success, and remember it.
pub struct LiveHub {
    pub socket: PathBuf,
    pub server: Arc<Server>,
    pub asked: Arc<Mutex<Vec<String>>>,
    pub folder: Arc<TempDir>,
}

impl LiveHub {
    pub fn start(world: World) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        Self::start_in(folder, world)
    }

    /// A hub in the place of another that is dead.
    pub fn start_in(folder: Arc<TempDir>, world: World) -> Self {
        let socket = folder.path().join("admin.sock");
        // What a killed hub leaves is removed by the next, as the daemon does.
        let _ = std::fs::remove_file(&socket);
        let mut server = Server::new(world);
        let listener = tokio::net::UnixListener::bind(&socket).unwrap();
        let router = server.router.clone();
        tokio::spawn(async move { axum::serve(listener, router).await });
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (_, none) = tokio::sync::mpsc::channel(1);
        let (mut actions, heard) = (std::mem::replace(&mut server.actions, none), asked.clone());
        tokio::spawn(async move {
            while let Some(action) = actions.recv().await {
                let said = answer(action);
                heard.lock().unwrap().push(said);
            }
        });
        Self { socket, server: Arc::new(server), asked, folder }
    }

    /// Runs the command to its end.
    pub async fn run(&self, args: &[&str]) -> Ran {
        let command = command(&self.socket, args);
        tokio::task::spawn_blocking(move || finish(command, "")).await.unwrap()
    }

    /// Starts the command.
    pub fn spawn(&self, args: &[&str]) -> Running {
        let mut command = command(&self.socket, args);
        Running(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }
}

/// A command that runs; killed when the value is dropped, hence also when its test fails.
pub struct Running(Child);

impl Running {
    /// What it prints. Once.
    pub fn out(&mut self) -> BufReader<ChildStdout> {
        BufReader::new(self.0.stdout.take().unwrap())
    }

    /// What it says. Once.
    pub fn err(&mut self) -> BufReader<ChildStderr> {
        BufReader::new(self.0.stderr.take().unwrap())
    }

    /// Waits for its end.
    pub fn code(mut self) -> Option<i32> {
        self.0.wait().unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Reads what is said up to the line that begins so.
pub fn says(said: &mut BufReader<ChildStderr>, start: &str) -> String {
    let found = said.lines().map(Result::unwrap).find(|line| line.starts_with(start));
    found.unwrap_or_else(|| panic!("it ended without {start:?}"))
}

/// A token of the right form; of no use anywhere.
pub fn token() -> String {
    let digest = Digest::of(b"x");
    Token { id: "0123456789abcdef".into(), secret: [7; 32], ca: digest, root: digest }.reveal()
}

/// What a ref would change: a volume claim goes, unless there is no such ref.
fn preview(reference: &str) -> Result<Box<Preview>, ActionError> {
    if reference == "refs/pull/404/head" {
        return Err(ActionError::NotFound(format!("there is no {reference}")));
    }
    let mut preview = Preview::default();
    if reference != "main" {
        let gone = ObjectChange {
            key: "PersistentVolumeClaim/payments/data".into(),
            action: rimward_hub::core::preview::Action::Delete,
            protected: true,
            held: "Protected".into(),
            from: String::new(),
            diff: String::new(),
        };
        let changed = ObjectChange {
            key: "ConfigMap/payments/a".into(),
            action: rimward_hub::core::preview::Action::Change,
            protected: false,
            held: String::new(),
            from: String::new(),
            diff: "@@ -1,1 +1,1 @@\n-a\n+b\n".into(),
        };
        preview.groups.push(Group {
            tenant: "payments".parse().unwrap(),
            app: "web".parse().unwrap(),
            action: rimward_hub::core::preview::Action::Change,
            from: String::new(),
            clusters: vec!["eu-1".parse().unwrap(), "us-1".parse().unwrap()],
            stages: vec![],
            settings: String::new(),
            unknown: String::new(),
            objects: vec![gone, changed],
        });
    }
    Ok(Box::new(preview))
}

fn answer(action: Action) -> String {
    match action {
        Action::Reconcile { sources, reply } => {
            reply.send(Ok(())).unwrap();
            format!("reconcile {sources:?}")
        }
        Action::LookAgain { cluster, reply } => {
            let away = || ActionError::Conflict(format!("cluster/{cluster} is not connected"));
            reply.send(if cluster.as_str() == "eu-1" { Ok(()) } else { Err(away()) }).unwrap();
            format!("look {cluster}")
        }
        Action::Contains { commit, within, reply, .. } => {
            // Of all commits, the newer one has one in its history that no source ever stopped at.
            reply.send(Ok(Some(commit == SKIPPED && within.starts_with("abcdef1")))).unwrap();
            format!("contains {commit} {within}")
        }
        Action::Preview { source, reference, limits, reply } => {
            reply.send(preview(&reference)).unwrap();
            format!("preview {source} {reference} {}", limits == Limits::FULL)
        }
        Action::Locate { cluster, wanted, reply } => {
            let located = Located {
                app: "payments/web".parse().unwrap(),
                key: crate::fixture::key("ConfigMap", "a"),
                at: Some(crate::fixture::at("web/cm.yaml", 1)),
                commit: crate::fixture::COMMIT.into(),
                here: true,
            };
            let found = wanted.is(&located.key).then_some(located);
            reply.send(Ok(found.into_iter().collect())).unwrap();
            format!("locate {cluster}")
        }
        Action::IssueToken { cluster, ttl, replace, reply } => {
            let taken = cluster.as_str() == "eu-1" && !replace;
            let conflict =
                || ActionError::Conflict("eu-1 is enrolled already; --replace takes its place".into());
            reply.send(if taken { Err(conflict()) } else { Ok(token()) }).unwrap();
            format!("token {cluster} {ttl:?} {replace}")
        }
        Action::Approve { digest, reason, reply, .. } => {
            reply.send(Ok(())).unwrap();
            format!("approve {digest} {reason}")
        }
    }
}

/// The command against a socket, with nothing else of this process's environment that it looks at.
pub fn command(socket: &std::path::Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rimward"));
    command.args(args).env("RIMWARD_HUB", format!("unix:{}", socket.display())).env_remove("NO_COLOR");
    command
}

/// What a run said.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

pub fn finish(mut command: Command, input: &str) -> Ran {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: status.code().unwrap(), out: text(stdout), err: text(stderr) }
}
