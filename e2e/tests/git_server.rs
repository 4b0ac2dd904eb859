//! Repositories are served to a real git client, as a public server would.

use std::path::Path;
use std::process::Output;

use anyhow::Result;
use rimward_e2e::git::{Access, GitServer, Kind, Scheme, isolated};
use rimward_e2e::scratch::Scratch;

/// A git client with the credentials in the URL and no others.
fn client(folder: &Path, arguments: &[&str]) -> Result<Output> {
    let mut git = isolated();
    Ok(git.current_dir(folder).args(arguments).output()?)
}

fn with_login(url: &str, login: &str) -> String {
    url.replacen("://", &format!("://{login}@"), 1)
}

#[test]
fn a_clone_needs_the_password() -> Result<()> {
    let server = GitServer::start()?;
    let repo = server.create("payments/apps", Access::basic("bot", "right"))?;
    let first = repo.commit(&[("a/b.yaml", Some("x: 1\n"))], "first")?;
    let scratch = Scratch::new("clones")?;

    for login in ["bot:wrong", "other:right"] {
        let url = with_login(repo.url(), login);
        let refused = client(scratch.path(), &["clone", &url, "refused"])?;
        assert!(!refused.status.success(), "{login} got in");
    }
    assert_eq!(server.count("payments/apps", Kind::UploadPack), 0);

    let url = with_login(repo.url(), "bot:right");
    let cloned = client(scratch.path(), &["clone", &url, "clone"])?;
    assert!(cloned.status.success(), "{cloned:?}");
    let folder = scratch.path().join("clone");
    assert_eq!(std::fs::read_to_string(folder.join("a/b.yaml"))?, "x: 1\n");
    assert!(server.count("payments/apps", Kind::UploadPack) > 0);

    // Any commit by its id, as GitHub and Gitea allow.
    repo.commit(&[("a/b.yaml", Some("x: 2\n"))], "second")?;
    let fetched = client(&folder, &["fetch", "--depth=1", "origin", &first])?;
    assert!(fetched.status.success(), "{fetched:?}");

    // A rotated password counts at once.
    server.set_access("payments/apps", Access::basic("bot", "rotated"));
    assert!(!client(&folder, &["fetch", "origin"])?.status.success());
    Ok(())
}

#[test]
fn protocol_two_is_spoken() -> Result<()> {
    let server = GitServer::start()?;
    let repo = server.create("r", Access::Open)?;
    repo.commit(&[("f", Some("1"))], "first")?;
    let out = isolated()
        .args(["-c", "protocol.version=2", "ls-remote", repo.url()])
        .env("GIT_TRACE_PACKET", "1")
        .output()?;
    assert!(out.status.success());
    let trace = String::from_utf8_lossy(&out.stderr);
    assert!(trace.contains("< version 2"), "{trace}");
    Ok(())
}

#[test]
fn it_stops_and_starts_again_on_the_same_port() -> Result<()> {
    let mut server = GitServer::start()?;
    let repo = server.create("r", Access::Open)?;
    repo.commit(&[("f", Some("1"))], "first")?;
    let scratch = Scratch::new("clones")?;
    let list = || client(scratch.path(), &["ls-remote", repo.url(), "main"]);
    let before = list()?;
    assert!(before.status.success());

    server.stop()?;
    assert!(!list()?.status.success());
    let second = repo.commit(&[("f", Some("2"))], "while it is down")?;

    server.start_again()?;
    let after = list()?;
    assert!(after.status.success());
    assert!(String::from_utf8(after.stdout)?.starts_with(&second));
    server.hide("r");
    assert!(!list()?.status.success());
    let last = server.requests().pop().map(|r| r.status);
    assert_eq!(last, Some(404));
    Ok(())
}

#[tokio::test]
async fn it_can_be_stopped_inside_a_runtime() -> Result<()> {
    let mut server = GitServer::start()?;
    server.stop()?;
    server.start_again()
}

#[test]
fn history_can_be_lost_and_brought_back() -> Result<()> {
    let server = GitServer::start()?;
    let repo = server.create("r", Access::Open)?;
    repo.commit(&[("keep", Some("1")), ("go", Some("1"))], "first")?;
    let second = repo.commit(&[("go", None), ("keep", Some("2"))], "second")?;
    repo.branch("release")?;
    repo.tag("v1.0.0")?;
    let reverted = repo.revert(&second)?;
    assert_eq!(std::fs::read_to_string(repo.work().join("keep"))?, "1");
    assert!(repo.work().join("go").exists());

    let scratch = Scratch::new("clones")?;
    let refs = || -> Result<String> {
        let out = client(scratch.path(), &["ls-remote", repo.url()])?;
        anyhow::ensure!(out.status.success(), "{out:?}");
        Ok(String::from_utf8(out.stdout)?)
    };
    let all = refs()?;
    for name in ["refs/heads/main", "refs/heads/release", "refs/tags/v1.0.0"] {
        assert!(all.contains(name), "{all}");
    }

    let empty = repo.force_push_empty()?;
    assert!(refs()?.contains(&format!("{empty}\trefs/heads/main")));
    assert_eq!(repo.git(&["ls-tree", &empty])?, "");

    repo.replace_with_empty_repository()?;
    assert_eq!(refs()?, "");

    assert_eq!(repo.push_again()?, reverted);
    assert!(refs()?.contains(&format!("{reverted}\trefs/heads/main")));
    Ok(())
}

#[test]
fn https_needs_the_authority() -> Result<()> {
    let server = GitServer::start_with(Scheme::Https)?;
    let access = Access::basic("bot", "right");
    let repo = server.create("r", access.clone())?;
    repo.commit(&[("f", Some("1"))], "first")?;
    let scratch = Scratch::new("clones")?;
    let url = with_login(repo.url(), "bot:right");
    assert!(!client(scratch.path(), &["ls-remote", &url])?.status.success());

    server.write_credentials(scratch.path(), "apps", &access)?;
    let ca = scratch.path().join("apps/ca.crt");
    let trust = format!("http.sslCAInfo={}", ca.display());
    let out = client(scratch.path(), &["-c", &trust, "ls-remote", &url])?;
    assert!(out.status.success(), "{out:?}");
    let origin = std::fs::read_to_string(scratch.path().join("apps/origin"))?;
    assert_eq!(origin, server.origin());
    Ok(())
}
