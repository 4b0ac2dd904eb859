//! Fetching from real Git servers: what is found, what is kept when something
//! is lost, and where credentials never go.

use std::path::Path;

use rimward_e2e::git::{Access, GitRepo, GitServer, Kind, Scheme};
use rimward_hub::core::model::{GitRef, GitSpec, LeftOut, SourceId};
use rimward_hub::source::{Found, Look, Mirrors, Patience, Snapshot, SourceError};

const YAML: &str = "kind: ConfigMap\n";

struct Rig {
    folder: tempfile::TempDir,
    server: GitServer,
    mirrors: Mirrors,
}

impl Rig {
    fn new(scheme: Scheme) -> Self {
        // Each test binary is a process of its own; whoever is first installs it.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let server = GitServer::start_with(scheme).unwrap();
        for name in ["git", "credentials"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        let mirrors = mirrors(folder.path());
        Self { folder, server, mirrors }
    }

    fn repo(&self, access: Access) -> GitRepo {
        let repo = self.server.create("apps", access).unwrap();
        repo.commit(
            &[("a/one.yaml", Some(YAML)), ("a/readme.md", Some("x")), ("b/two.json", Some("{}"))],
            "1",
        )
        .unwrap();
        repo
    }

    fn look(&self, git: &GitSpec, held: Option<&Snapshot>) -> Result<Found, SourceError> {
        self.mirrors.look(Look { id: &SourceId::Fleet, git, held })
    }

    fn new_snapshot(&self, git: &GitSpec, held: Option<&Snapshot>) -> Snapshot {
        match self.look(git, held).unwrap() {
            Found::New(snapshot) => snapshot,
            Found::Same => panic!("nothing new was found"),
        }
    }
}

fn mirrors(folder: &Path) -> Mirrors {
    Mirrors::new(folder.join("git"), folder.join("credentials"))
}

fn spec(repo: &GitRepo) -> GitSpec {
    let reference = GitRef::Branch("main".into());
    GitSpec { url: repo.url().to_owned(), reference, path: ".".into(), credentials: None }
}

fn code(result: Result<Found, SourceError>) -> String {
    result.unwrap_err().note().code
}

#[test]
fn what_is_new_is_fetched_and_what_is_not_is_only_asked_for() {
    let rig = Rig::new(Scheme::Http);
    let repo = rig.repo(Access::Open);
    let git = spec(&repo);
    let first = rig.new_snapshot(&git, None);
    assert_eq!(first.tree.files.keys().collect::<Vec<_>>(), ["a/one.yaml", "b/two.json"]);
    assert_eq!(first.tree.commit, repo.head().unwrap());
    let before = rig.server.count("apps", Kind::UploadPack);
    assert!(matches!(rig.look(&git, Some(&first)).unwrap(), Found::Same));
    assert_eq!(rig.server.count("apps", Kind::UploadPack) - before, 1, "refs are listed, nothing is fetched");
    repo.commit(&[("b/two.json", Some("[]"))], "2").unwrap();
    let second = rig.new_snapshot(&git, Some(&first));
    assert_eq!(&*second.tree.files["b/two.json"], b"[]");
    let (old, new) = (&first.tree.files["a/one.yaml"], &second.tree.files["a/one.yaml"]);
    assert!(std::sync::Arc::ptr_eq(old, new), "what did not change is shared");
}

#[test]
fn refs_of_every_kind_and_a_path() {
    let rig = Rig::new(Scheme::Http);
    let repo = rig.repo(Access::Open);
    let first = repo.head().unwrap();
    repo.tag("v1").unwrap();
    repo.commit(&[("c.yaml", Some(YAML))], "2").unwrap();
    for (reference, files) in [
        (GitRef::Head, 3),
        (GitRef::Branch("main".into()), 3),
        (GitRef::Tag("v1".into()), 2),
        (GitRef::Commit(first.clone()), 2),
    ] {
        let git = GitSpec { reference: reference.clone(), ..spec(&repo) };
        assert_eq!(rig.new_snapshot(&git, None).tree.files.len(), files, "{reference:?}");
    }
    let below = GitSpec { path: "a".into(), ..spec(&repo) };
    assert_eq!(rig.new_snapshot(&below, None).tree.files.keys().collect::<Vec<_>>(), ["one.yaml"]);
    for path in ["nowhere", "c.yaml", "../x"] {
        assert_eq!(code(rig.look(&GitSpec { path: path.into(), ..spec(&repo) }, None)), "RW2004", "{path}");
    }
    let missing = GitSpec { reference: GitRef::Branch("other".into()), ..spec(&repo) };
    assert_eq!(code(rig.look(&missing, None)), "RW2003");
    let pinned = GitSpec { reference: GitRef::Commit(first), ..spec(&repo) };
    let held = rig.new_snapshot(&pinned, None);
    let before = rig.server.requests().len();
    assert!(matches!(rig.look(&pinned, Some(&held)).unwrap(), Found::Same));
    assert_eq!(rig.server.requests().len(), before, "a pinned commit that is here needs nobody");
}

#[test]
fn an_emptied_or_stopped_server_and_a_force_push_lose_nothing() {
    let mut rig = Rig::new(Scheme::Http);
    let repo = rig.repo(Access::Open);
    let git = spec(&repo);
    let held = rig.new_snapshot(&git, None);
    repo.replace_with_empty_repository().unwrap();
    assert_eq!(code(rig.look(&git, Some(&held))), "RW2003");
    repo.push_again().unwrap();
    repo.force_push_empty().unwrap();
    let emptied = rig.new_snapshot(&git, Some(&held));
    assert!(emptied.tree.files.is_empty(), "an empty commit is a statement, unlike an empty repository");
    rig.server.stop().unwrap();
    assert_eq!(code(rig.look(&git, Some(&held))), "RW2001");
    let again = mirrors(rig.folder.path()).recall(&git, &held.tree.commit).unwrap();
    assert_eq!(again.tree, held.tree, "the mirror still has what was in use before the force-push");
    std::fs::remove_dir_all(rig.folder.path().join("git")).unwrap();
    assert!(rig.mirrors.recall(&git, &held.tree.commit).is_none());
    std::fs::create_dir(rig.folder.path().join("git")).unwrap();
    rig.server.start_again().unwrap();
    assert!(matches!(rig.look(&git, None).unwrap(), Found::New(_)), "git/ may be deleted by hand");
}

#[test]
fn credentials_are_needed_right_and_only_for_their_origin() {
    let rig = Rig::new(Scheme::Http);
    let access = Access::basic("hub", "s3cret");
    let repo = rig.repo(access.clone());
    let folder = rig.folder.path().join("credentials");
    let open = spec(&repo);
    assert_eq!(code(rig.look(&open, None)), "RW2002");
    let git = GitSpec { credentials: Some("good".into()), ..spec(&repo) };
    assert_eq!(code(rig.look(&git, None)), "RW2006");
    rig.server.write_credentials(&folder, "good", &access).unwrap();
    assert!(matches!(rig.look(&git, None).unwrap(), Found::New(_)));
    let wrong = Access::basic("hub", "wr0ng");
    rig.server.write_credentials(&folder, "bad", &wrong).unwrap();
    let error = rig.look(&GitSpec { credentials: Some("bad".into()), ..spec(&repo) }, None).unwrap_err();
    assert_eq!(error.note().code, "RW2002");
    assert!(!format!("{error:?} {error}").contains("wr0ng"));
    // The same credentials, asked to go to another server.
    let other = Rig::new(Scheme::Http);
    let foreign = other.repo(Access::Open);
    let git = GitSpec { credentials: Some("good".into()), ..spec(&foreign) };
    let before = other.server.requests().len();
    assert_eq!(code(rig.look(&git, None)), "RW2006");
    assert_eq!(other.server.requests().len(), before, "nothing was sent there at all");
}

#[test]
fn a_private_ca_is_trusted_only_when_given() {
    let rig = Rig::new(Scheme::Https);
    let access = Access::basic("hub", "s3cret");
    let repo = rig.repo(access.clone());
    assert_eq!(code(rig.look(&spec(&repo), None)), "RW2005");
    rig.server.write_credentials(&rig.folder.path().join("credentials"), "git", &access).unwrap();
    let git = GitSpec { credentials: Some("git".into()), ..spec(&repo) };
    assert!(matches!(rig.look(&git, None).unwrap(), Found::New(_)));
}

#[test]
fn links_and_submodules_are_left_out_with_a_note_and_large_files_fail() {
    let rig = Rig::new(Scheme::Http);
    let repo = rig.repo(Access::Open);
    std::os::unix::fs::symlink("/etc/passwd", repo.work().join("link.yaml")).unwrap();
    repo.git(&["add", "-A"]).unwrap();
    let head = repo.head().unwrap();
    repo.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{head},sub")]).unwrap();
    repo.git(&["commit", "--quiet", "-m", "odd things"]).unwrap();
    repo.git(&["push", "--quiet", "origin", "main"]).unwrap();
    let snapshot = rig.new_snapshot(&spec(&repo), None);
    let mut left: Vec<_> = snapshot.notes.iter().map(|note| note.at.file.as_str()).collect();
    left.sort_unstable();
    assert_eq!(left, ["link.yaml", "sub"]);
    assert!(!snapshot.tree.files.contains_key("link.yaml"));
    repo.git(&["rm", "--quiet", "--cached", "sub"]).unwrap();
    let large = "x".repeat(11 << 20);
    repo.commit(&[("large.yaml", Some(&large))], "large").unwrap();
    assert_eq!(
        code(rig.look(&spec(&repo), Some(&snapshot))),
        "RW2008",
        "half a tree would look like deletions"
    );
}

#[test]
fn what_is_left_out_is_told_from_what_is_absent() {
    use std::os::unix::ffi::OsStrExt;
    let rig = Rig::new(Scheme::Http);
    let repo = rig.repo(Access::Open);
    let work = repo.work();
    std::fs::create_dir(work.join("a/odd")).unwrap();
    for (name, target) in [
        ("a/file.yaml", "../a/./one.yaml"),
        ("a/folder", "odd/.."),
        ("a/outside", "../b"),
        ("a/nothing", "none"),
        ("a/again", "outside"),
        ("a/absolute", "/etc"),
        ("a/out", "../../x"),
    ] {
        std::os::unix::fs::symlink(target, work.join(name)).unwrap();
    }
    for name in [&b"a/caf\xe9.yaml"[..], br"a/b\c.yaml", b"a/d\xe9r/rimward.yaml", b"a/odd/x.yaml"] {
        let path = work.join(std::ffi::OsStr::from_bytes(name));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, YAML).unwrap();
    }
    repo.git(&["add", "-A"]).unwrap();
    repo.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{},a/sub", repo.head().unwrap())])
        .unwrap();
    repo.git(&["commit", "--quiet", "-m", "odd things"]).unwrap();
    repo.git(&["push", "--quiet", "origin", "main"]).unwrap();
    let wanted = |below: &str, outside: LeftOut| {
        let left = [
            ("absolute", LeftOut::Link),
            ("again", LeftOut::Link),
            (r"b\\c.yaml", LeftOut::OddFile),
            (r"caf\xe9.yaml", LeftOut::OddFile),
            (r"d\xe9r", LeftOut::OddFolder),
            ("file.yaml", LeftOut::LinkToFile),
            ("folder", LeftOut::LinkToFolder),
            ("nothing", LeftOut::Link),
            ("out", LeftOut::Link),
            ("outside", outside),
            ("sub", LeftOut::Submodule),
        ];
        left.into_iter().map(|(path, what)| (format!("{below}{path}"), what)).collect()
    };
    let all = rig.new_snapshot(&spec(&repo), None).tree.left_out.clone();
    assert_eq!(all, wanted("a/", LeftOut::LinkToFolder));
    let below = GitSpec { path: "a".into(), ..spec(&repo) };
    let below = rig.new_snapshot(&below, None).tree.left_out.clone();
    assert_eq!(below, wanted("", LeftOut::Link), "a folder outside of the source is not read");
}

#[test]
fn a_branch_that_is_gone_is_not_in_the_way_of_one_below_its_name() {
    let rig = Rig::new(Scheme::Http);
    let repo = rig.repo(Access::Open);
    let push = |args: &[&str]| repo.git(&[&["push", "--quiet", "origin"], args].concat()).unwrap();
    let branch = |name: &str| GitSpec { reference: GitRef::Branch(name.into()), ..spec(&repo) };
    for (name, gone) in [("a", ""), ("a/b", "a"), ("a/b/c", "a/b"), ("a", "a/b/c")] {
        if !gone.is_empty() {
            push(&["--delete", gone]);
        }
        repo.commit(&[("a/one.yaml", Some(&format!("name: {name} after {gone}\n")))], "next").unwrap();
        push(&[&format!("HEAD:refs/heads/{name}")]);
        let found = rig.new_snapshot(&branch(name), None);
        assert_eq!(found.tree.commit, repo.head().unwrap(), "{name} after {gone}");
    }
}

/// A server that takes connections and sends `byte`, if any, every 50 ms; with its address.
fn hung(byte: Option<u8>) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut open = Vec::new();
        listener.set_nonblocking(true).unwrap();
        loop {
            open.extend(listener.accept().ok());
            for (stream, _) in &mut open {
                // Whoever has gone is as good as here.
                let _ = byte.map(|byte| std::io::Write::write(stream, &[byte]));
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    });
    format!("http://{address}")
}

#[test]
fn a_server_that_hangs_or_trickles_is_given_up() {
    use std::time::{Duration, Instant};
    let rig = Rig::new(Scheme::Http);
    for (byte, idle) in [(None, Duration::from_millis(200)), (Some(b'H'), Duration::from_secs(60))] {
        let patience = Patience { idle, whole: Duration::from_millis(700) };
        let mirrors = mirrors(rig.folder.path()).with_patience(patience);
        let reference = GitRef::Branch("main".into());
        let git = GitSpec { url: hung(byte) + "/apps.git", reference, path: ".".into(), credentials: None };
        let begun = Instant::now();
        let error = mirrors.look(Look { id: &SourceId::Fleet, git: &git, held: None }).unwrap_err();
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
        assert_eq!(error.note().code, "RW2001", "{error}");
    }
}

#[test]
fn what_is_not_a_repository_says_so() {
    let rig = Rig::new(Scheme::Http);
    let repo = rig.repo(Access::Open);
    let git = GitSpec { url: repo.url().replace("apps", "none"), ..spec(&repo) };
    assert_eq!(code(rig.look(&git, None)), "RW2011");
    let bad = GitSpec { url: "http://user:hunter2@127.0.0.1/x".into(), ..spec(&repo) };
    let error = rig.look(&bad, None).unwrap_err();
    assert_eq!(error.note().code, "RW2007");
    assert!(!error.to_string().contains("hunter2"));
}

#[test]
fn a_mirror_of_many_packs_is_fetched_anew_and_loses_nothing_that_is_held() {
    let mut rig = Rig::new(Scheme::Http);
    rig.mirrors = mirrors(rig.folder.path()).with_packs(3);
    let repo = rig.repo(Access::Open);
    let git = spec(&repo);
    let packs = || {
        let mirror = std::fs::read_dir(rig.folder.path().join("git")).unwrap().next().unwrap().unwrap();
        let files = std::fs::read_dir(mirror.path().join("objects/pack")).unwrap();
        files
            .filter(|file| file.as_ref().unwrap().path().extension().is_some_and(|end| end == "pack"))
            .count()
    };
    let mut held = rig.new_snapshot(&git, None);
    for n in 0..3 {
        repo.commit(&[("a/one.yaml", Some(&format!("n: {n}\n")))], "more").unwrap();
        held = rig.new_snapshot(&git, Some(&held));
    }
    assert_eq!(packs(), 1, "beyond three it was fetched anew");
    assert_eq!(rig.mirrors.recall(&git, &held.tree.commit).unwrap().tree, held.tree);
    // Another source of the same repository holds a commit that a force-push takes away on the server.
    let other = SourceId::try_from("t/s".to_owned()).unwrap();
    let kept = match rig.mirrors.look(Look { id: &other, git: &git, held: None }).unwrap() {
        Found::New(snapshot) => snapshot,
        Found::Same => panic!("nothing was held"),
    };
    repo.git(&["reset", "--quiet", "--hard", "HEAD~1"]).unwrap();
    repo.git(&["push", "--quiet", "--force", "origin", "main"]).unwrap();
    held = rig.new_snapshot(&git, Some(&held));
    for n in 0..4 {
        repo.commit(&[("b.yaml", Some(&format!("n: {n}\n")))], "after").unwrap();
        held = rig.new_snapshot(&git, Some(&held));
    }
    assert!(packs() > 3, "kept: the server no longer has all that is in use");
    assert_eq!(rig.mirrors.recall(&git, &kept.tree.commit).unwrap().tree, kept.tree);
}
