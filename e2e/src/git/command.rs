//! Runs git the same way on every machine: no configuration of the user's, no
//! prompt, no `GIT_DIR` inherited from a hook.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail};

/// The git program, isolated from the user's settings.
pub fn isolated() -> Command {
    let mut command = Command::new("git");
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("GIT_") {
            command.env_remove(name);
        }
    }
    command
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_AUTHOR_NAME", "Rimward Tests")
        .env("GIT_AUTHOR_EMAIL", "tests@rimward.invalid")
        .env("GIT_COMMITTER_NAME", "Rimward Tests")
        .env("GIT_COMMITTER_EMAIL", "tests@rimward.invalid")
        .stdin(Stdio::null());
    command
}

/// Runs git in `folder` and returns its trimmed stdout.
pub(crate) fn git(folder: &Path, args: &[&str]) -> Result<String> {
    let Output { status, stdout, stderr } =
        isolated().current_dir(folder).args(args).output().context("starting git: is it installed?")?;
    if !status.success() {
        bail!("git {args:?}: {}", String::from_utf8_lossy(&stderr).trim());
    }
    Ok(String::from_utf8(stdout)?.trim().to_owned())
}
