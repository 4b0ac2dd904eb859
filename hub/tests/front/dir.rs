//! A folder is read as a commit of it is read.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use rimward_hub::core::model::{GitRef, GitSpec, LeftOut};
use rimward_hub::source::{DirError, UNCOMMITTED, read_dir, read_tree};

fn write(folder: &Path, files: &[(&str, &str)]) {
    for (path, text) in files {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

fn git(folder: &Path, args: &[&str]) {
    let config = ["-c", "user.name=x", "-c", "user.email=x@example.com", "-c", "init.defaultBranch=main"];
    let mut command = Command::new("git");
    // What this machine is configured for is not what is tested.
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null");
    let out = command.current_dir(folder).args(config).args(args).output().unwrap();
    assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
}

#[test]
fn a_folder_is_what_its_commit_is() {
    let temp = tempfile::tempdir().unwrap();
    let top = temp.path();
    write(
        top,
        &[
            ("rimward.yaml", "a: 1\n"),
            ("readme.md", "x"),
            ("deploy/a.yml", "b: 1\n"),
            ("deploy/deep/er/c.json", "{}"),
            ("deploy/.hidden/d.yaml", "d: 1\n"),
            ("deploy/back\\slash.yaml", "e: 1\n"),
            ("other/f.yaml", "f: 1\n"),
            ("module/g.yaml", "g: 1\n"),
        ],
    );
    let odd = top.join("deploy").join(std::ffi::OsStr::from_bytes(b"odd\xff.yaml"));
    fs::write(odd, "h: 1\n").unwrap();
    for (link, target) in [
        ("deploy/file", "a.yml"),
        ("deploy/folder", "deep"),
        ("deploy/outside-file", "../other/f.yaml"),
        ("deploy/outside-folder", "../other"),
        ("deploy/out", "../../x"),
        ("deploy/absolute", "/etc"),
        ("deploy/nothing", "nothing-there"),
        ("deploy/through", "folder/er/c.json"),
        ("deploy/again", "file"),
        ("deploy/self", "."),
        ("deploy/module", "../module"),
        ("deploy/into-module", "../module/g.yaml"),
        ("deploy/git", "../.git"),
    ] {
        symlink(target, top.join(link)).unwrap();
    }
    let module = top.join("module");
    for folder in [&module, top] {
        git(folder, &["init", "-q"]);
        git(folder, &["add", "-A"]);
        git(folder, &["commit", "-q", "-m", "x"]);
    }
    let repo = gix::open(top).unwrap();
    let commit = repo.head_id().unwrap().detach();
    for path in [".", "deploy"] {
        let spec = GitSpec {
            url: "https://git.example/x".into(),
            reference: GitRef::Head,
            path: path.into(),
            credentials: None,
        };
        let committed = read_tree(&repo, &spec, commit, None).unwrap();
        let folder = read_dir(&top.join(path)).unwrap();
        assert_eq!(folder.tree.files, committed.tree.files, "{path}");
        assert_eq!(folder.tree.left_out, committed.tree.left_out, "{path}");
        assert_eq!(folder.tree.commit, UNCOMMITTED);
        let said = |notes: &[rimward_hub::core::note::Note]| {
            notes.iter().map(ToString::to_string).collect::<std::collections::BTreeSet<_>>()
        };
        assert_eq!(said(&folder.notes), said(&committed.notes));
        assert!(folder.tree.left_out.len() > 10, "{:?}", folder.tree.left_out);
    }
    let all = read_dir(top).unwrap();
    assert_eq!(all.tree.left_out.get("module"), Some(&LeftOut::Submodule));
    assert!(all.tree.files.keys().all(|path| !path.starts_with(".git/") && !path.starts_with("module/")));
}

#[test]
fn what_is_no_folder_or_too_much_is_said() {
    let temp = tempfile::tempdir().unwrap();
    let nothing = temp.path().join("nothing");
    assert!(matches!(read_dir(&nothing), Err(DirError::NotThere(dir)) if dir == nothing));
    let file = temp.path().join("file.yaml");
    fs::write(&file, "x").unwrap();
    assert!(matches!(read_dir(&file), Err(DirError::NotThere(_))));
    // Not one byte of it is written: the length alone is too much.
    fs::File::create(&file).unwrap().set_len((10 << 20) + 1).unwrap();
    let error = read_dir(temp.path()).unwrap_err();
    assert!(error.to_string().starts_with("the file file.yaml of"), "{error}");
    fs::remove_file(&file).unwrap();
    let deep = (0..70).fold(temp.path().to_owned(), |path, _| path.join("d"));
    fs::create_dir_all(deep).unwrap();
    assert!(matches!(read_dir(temp.path()), Err(DirError::Limit { .. })));
}
