//! What the command says when it cannot do what was asked, and its exit codes.

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;

use jiff::Timestamp;

use crate::cli_hub::{LiveHub, Ran, command, finish};
use crate::fixture::*;

fn run(socket: &Path, args: &[&str]) -> Ran {
    finish(command(socket, args), "")
}

fn anywhere(args: &[&str]) -> Ran {
    run(Path::new("/nonexistent/admin.sock"), args)
}

#[test]
fn without_a_hub_it_names_the_socket_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("admin.sock");
    let ran = run(&socket, &["get", "clusters"]);
    assert_eq!((ran.code, ran.out.as_str()), (3, ""));
    assert!(ran.err.contains(socket.to_str().unwrap()) && ran.err.contains("--hub unix:PATH"), "{ran:?}");
    // A hub that died leaves its socket.
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let ran = run(&socket, &["status"]);
    assert_eq!(ran.code, 3);
    assert!(ran.err.contains("no hub listens on it"), "{ran:?}");
}

#[test]
fn a_hub_that_does_not_answer_is_a_timeout() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("admin.sock");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let ran = run(&socket, &["get", "apps", "--timeout", "1s"]);
    assert_eq!(ran.code, 3);
    assert!(ran.err.contains("no answer within 1s"), "{ran:?}");
}

#[test]
fn a_socket_of_another_user_is_forbidden() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("admin.sock");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let public = tempfile::tempdir().unwrap();
    std::fs::set_permissions(public.path(), Permissions::from_mode(0o755)).unwrap();
    let binary = public.path().join("rimward");
    let built = env!("CARGO_BIN_EXE_rimward");
    std::fs::hard_link(built, &binary).or_else(|_| std::fs::copy(built, &binary).map(drop)).unwrap();
    std::fs::set_permissions(folder.path(), Permissions::from_mode(0o000)).unwrap();
    let mut command = std::process::Command::new(&binary);
    command.args(["get", "apps", "--hub", &format!("unix:{}", socket.display())]);
    if std::fs::metadata(folder.path()).unwrap().uid() == 0 {
        // Root may do everything: only as another user is there something to see.
        command.uid(65534);
    }
    let ran = finish(command, "");
    std::fs::set_permissions(folder.path(), Permissions::from_mode(0o700)).unwrap();
    assert_eq!(ran.code, 4, "{ran:?}");
    assert!(ran.err.contains("permission denied") && ran.err.contains("run as that user"), "{ran:?}");
}

#[test]
fn what_is_not_built_yet_says_so_and_is_listed() {
    let help = anywhere(&["--help"]);
    assert_eq!(help.code, 0);
    let commands = [
        "install",
        "login",
        "history",
        "reject",
        "rollback",
        "pause",
        "resume",
        "revoke",
        "remove",
        "rotate",
        "backup",
        "recover",
        "bugreport",
    ];
    for name in commands {
        let ran = anywhere(&[name, "x", "--some-flag", "-z"]);
        assert_eq!(ran.code, 2, "{name}");
        assert_eq!(ran.err, format!("rimward: `rimward {name}`: not built yet\n"));
        assert!(
            help.out.lines().any(|l| l.trim_start().starts_with(name) && l.contains("not built yet")),
            "{name}"
        );
    }
    for args in [
        &["get", "rollouts"][..],
        &["get", "audit"],
        &["status", "--context", "x"],
        &["status", "--token-file", "x"],
        &["status", "--hub", "https://hub:8444"],
    ] {
        let ran = anywhere(args);
        assert_eq!(ran.code, 2, "{args:?}");
        assert!(ran.err.contains("not built yet"), "{ran:?}");
    }
}

#[test]
fn flags_without_meaning_are_refused() {
    for args in [
        &["status", "-w"][..],
        &["describe", "cluster/a", "-t", "x"],
        &["approve", "x", "-o", "json"],
        &["get", "clusters", "-y"],
        &["wait", "cluster/a", "--for=Good"],
        &["get", "things"],
        &["describe", "a"],
        &["status", "--timeout", "5"],
        &["status", "--hub", "hub:1"],
        &[],
        &["enroll", "a", "--print", "--token-only"],
    ] {
        let ran = anywhere(args);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{args:?}");
        assert!(!ran.err.is_empty());
    }
}

#[test]
fn version_and_completions_need_no_hub() {
    assert_eq!(anywhere(&["version"]).out, concat!("rimward ", env!("CARGO_PKG_VERSION"), "\n"));
    assert!(anywhere(&["version", "-o", "json"]).out.contains("\"version\""));
    for (shell, expected) in
        [("bash", "_rimward()"), ("zsh", "#compdef rimward"), ("fish", "complete -c rimward")]
    {
        let ran = anywhere(&["completion", shell]);
        assert_eq!(ran.code, 0);
        assert!(ran.out.contains(expected), "{shell}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_of_the_hub_become_exit_codes() {
    let hub = LiveHub::start(world(Timestamp::now()));
    for (args, code, says) in [
        (&["describe", "cluster/eu-9"][..], 5, "error[RW8404]: cluster/eu-9 not found"),
        (&["get", "clusters", "eu-9"], 5, "eu-9 not found"),
        (&["get", "clusters", "-t", "payments"], 2, "unknown parameter `tenant`"),
        (&["get", "clusters", "--state", "Good"], 2, "unknown state `Good`"),
        (&["enroll", "eu-1", "--token-only"], 6, "enrolled already"),
    ] {
        let ran = hub.run(args).await;
        assert_eq!((ran.code, ran.out.as_str()), (code, ""), "{args:?}: {ran:?}");
        assert!(ran.err.contains(says), "{ran:?}");
    }
    let ran = hub.run(&["get", "clusters", "-v", "-o", "name"]).await;
    assert_eq!(ran.err, "GET /v1/clusters?limit=1000\n");
}
