//! The files of the repository, as values.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rimward_e2e::git::isolated;

/// Path from the workspace's root, with `/`, to content. Binary files are
/// left out.
pub type Files = BTreeMap<String, String>;

/// Everything that is tracked, or would be if added now.
pub fn of_workspace() -> Result<Files> {
    let root = root()?;
    let output = isolated()
        .current_dir(&root)
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .output()
        .context("starting git")?;
    anyhow::ensure!(output.status.success(), "git ls-files: {output:?}");
    let list = String::from_utf8(output.stdout)?;
    let mut files = Files::new();
    for path in list.split_terminator('\0') {
        // A file removed but not yet staged is listed and absent.
        if let Ok(bytes) = std::fs::read(root.join(path))
            && let Ok(text) = String::from_utf8(bytes)
        {
            files.insert(path.to_owned(), text);
        }
    }
    Ok(files)
}

fn root() -> Result<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    Ok(here.parent().context("no workspace above")?.to_owned())
}

/// Files for the rules' own tests.
pub fn fake(files: &[(&str, &str)]) -> Files {
    let owned = |(path, text): &(&str, &str)| ((*path).to_owned(), (*text).to_owned());
    files.iter().map(owned).collect()
}

/// The Rust sources among them.
pub fn rust(files: &Files) -> impl Iterator<Item = (&str, &str)> {
    files.iter().map(|(path, text)| (path.as_str(), text.as_str())).filter(|(path, _)| path.ends_with(".rs"))
}

/// Rust source with comments and the contents of string literals blanked out;
/// lines stay where they were.
pub fn code(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let end = skipped(rest);
        if end == 0 {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        } else {
            let lines = rest[..end].matches('\n').count();
            out.push_str(&"\n".repeat(lines));
            rest = &rest[end..];
        }
    }
    out
}

/// How many bytes at the start are a comment, a string or a character.
fn skipped(rest: &str) -> usize {
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if let Some(comment) = rest.strip_prefix("/*") {
        return comment.find("*/").map_or(rest.len(), |at| at + 4);
    }
    if let Some(raw) = rest.strip_prefix('r') {
        let hashes = raw.bytes().take_while(|b| *b == b'#').count();
        if raw[hashes..].starts_with('"') {
            let close = format!("\"{}", "#".repeat(hashes));
            let begin = 1 + hashes + 1;
            let end = rest[begin..].find(&close);
            return end.map_or(rest.len(), |at| begin + at + close.len());
        }
        return 0;
    }
    // A quote as a character would otherwise open a string.
    if rest.starts_with("'\"'") {
        return 3;
    }
    if rest.starts_with('"') {
        return string_end(rest);
    }
    0
}

fn string_end(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_strings_are_blanked_and_lines_kept() {
        let text = "a // tokio\n/* tokio\n */ b \"to\\\"kio\" '\"' c r#\"tokio\" \"# d\n";
        let code = code(text);
        assert!(!code.contains("tokio"), "{code}");
        assert_eq!(code.lines().count(), text.lines().count());
        for kept in ["a", "b", "c", "d"] {
            assert!(code.contains(kept), "{code}");
        }
    }
}
