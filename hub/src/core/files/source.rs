//! One entry of a tenant's `sources`.

use rimward_proto::AppName;

use super::check::{Check, Shape};
use super::path_below;
use super::selector::selector;
use crate::core::codes;
use crate::core::model::{GitRef, GitSpec, Selector, SourceSpec};
use crate::core::yaml::{Mark, Node, Value};

const SOURCE: Shape = Shape { known: &["name", "git", "interval", "clusters"], later: &["verify"] };
const GIT: Shape = Shape { known: &["url", "ref", "path", "credentials"], later: &[] };
const REF: Shape = Shape { known: &["branch", "tag", "commit"], later: &["semver"] };

/// Seconds between looks when a source does not say.
const DEFAULT_INTERVAL: u64 = 60;

/// Reads a source and its name.
pub(super) fn source(check: &mut Check<'_>, node: &Node) -> Option<(String, SourceSpec)> {
    let node = check.mapping(node, "a source", &SOURCE)?;
    let name = check.required(node, "name", "a source")?;
    let text = check.text(name, "`name`")?;
    // A source is addressed as tenant/source, so its name follows the rules of an App's.
    let valid = AppName::new(text).map_err(|_| {
        let message = format!("source name {text:?} is not a DNS label of at most 53 characters");
        check.error(codes::VALUE, name.at, message).help =
            "use a-z, 0-9 and `-`, with a letter or digit at both ends".to_owned();
    });
    let git = check.required(node, "git", "a source")?;
    let git = check.mapping(git, "git", &GIT)?;
    let reference = git.get("ref").map_or(Some(GitRef::Head), |node| reference(check, node));
    let url = check.required(git, "url", "git")?;
    let url = url_text(check, url);
    let path = match check.optional_text(git, "path") {
        Some((path, at)) => path_below("", path).or_else(|| {
            check.error(codes::VALUE, at, "`path` leads out of the repository").help =
                "name a folder below the repository's top, as in deploy/prod".to_owned();
            None
        }),
        None => Some(String::new()),
    };
    let credentials = credentials(check, git);
    let interval_seconds = check.seconds(node, "interval").unwrap_or(DEFAULT_INTERVAL);
    let clusters = node.get("clusters").map_or_else(Selector::default, |node| selector(check, node));
    let path = path.map(|path| if path.is_empty() { ".".to_owned() } else { path });
    let git = GitSpec { url: url?, reference: reference?, path: path?, credentials };
    let spec = SourceSpec { git, interval_seconds, clusters, at: check.at(node.at) };
    valid.ok().map(|name| (name.into(), spec))
}

fn reference(check: &mut Check<'_>, node: &Node) -> Option<GitRef> {
    let node = check.mapping(node, "ref", &REF)?;
    if matches!(&node.value, Value::Map(entries) if entries.len() > 1) {
        check.error(codes::VALUE, node.at, "`ref` takes one of branch, tag, commit").help =
            "keep the one that is meant".to_owned();
        return None;
    }
    if let Some((branch, at)) = check.optional_text(node, "branch") {
        return named(check, branch, at).map(GitRef::Branch);
    }
    if let Some((tag, at)) = check.optional_text(node, "tag") {
        return named(check, tag, at).map(GitRef::Tag);
    }
    if let Some((commit, at)) = check.optional_text(node, "commit") {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if commit.len() != 40 || !commit.bytes().all(hex) {
            check
                .error(codes::VALUE, at, "`commit` must be a full commit id, 40 lower-case hex digits")
                .help =
                "write what `git rev-parse` says of it; for anything that moves, use `branch` or `tag`"
                    .to_owned();
            return None;
        }
        return Some(GitRef::Commit(commit.to_owned()));
    }
    Some(GitRef::Head)
}

/// The rules of `git check-ref-format` that keep a name from meaning something else.
fn named(check: &mut Check<'_>, name: &str, at: Mark) -> Option<String> {
    let forbidden = |c: char| {
        c.is_whitespace() || c.is_control() || matches!(c, '~' | '^' | ':' | '?' | '*' | '[' | '\\')
    };
    let part = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.ends_with(".lock");
    let good = !name.starts_with('-')
        && !name.ends_with('.')
        && !name.contains("..")
        && !name.contains("@{")
        && !name.contains(forbidden)
        && name.split('/').all(part);
    if !good {
        check.error(codes::VALUE, at, format!("{name:?} is not a name Git accepts")).help =
            "write the name alone, as in main or release/1, without refs/heads/".to_owned();
    }
    good.then(|| name.to_owned())
}

fn url_text(check: &mut Check<'_>, node: &Node) -> Option<String> {
    let url = check.text(node, "`url`")?;
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let Some(rest) = rest.filter(|rest| !rest.is_empty() && !url.contains(char::is_whitespace)) else {
        // The URL is not quoted: it may have a password in it.
        let note = check.error(codes::NOT_BUILT, node.at, "only http:// and https:// are built yet");
        note.help = "give the URL of the repository over HTTPS".to_owned();
        return None;
    };
    let authority = rest.split('/').next().unwrap_or("");
    if authority.contains('@') {
        check.error(codes::VALUE, node.at, "a URL must not carry a user or password").help =
            "use `credentials` and a folder below the hub's credentialsDir".to_owned();
        return None;
    }
    if authority.is_empty() {
        check.error(codes::VALUE, node.at, "the URL names no host").help =
            "write it like https://git.acme.example/team/apps.git".to_owned();
        return None;
    }
    Some(url.to_owned())
}

fn credentials(check: &mut Check<'_>, git: &Node) -> Option<String> {
    let (name, at) = check.optional_text(git, "credentials")?;
    if name.is_empty() {
        return None;
    }
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if name.starts_with('.') || !name.bytes().all(good) {
        let message = "`credentials` must be the plain name of a folder below the hub's credentialsDir";
        check.error(codes::VALUE, at, message).help =
            "use letters, digits, `-`, `_` and `.`; the folder holds `origin` and the credentials".to_owned();
        return None;
    }
    Some(name.to_owned())
}
