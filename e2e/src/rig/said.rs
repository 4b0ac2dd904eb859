//! What the command line said: exit code, data, notes. And all that any part of
//! a fleet says anywhere, for those who look for what must never be said.

use std::fs;
use std::path::Path;
use std::process::Output;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::unpack::text_of;
use super::{HubProcess, Rig, Site};

/// Folders whose files are tenants' content itself, not something said about it.
const CONTENT: [&str; 3] = ["content", "git", "cache"];

/// A finished command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Exit code; -1 if a signal ended it.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let code = output.status.code().unwrap_or(-1);
        Self { code, out: text(&output.stdout), err: text(&output.stderr) }
    }
}

impl Said {
    /// Fails unless it ended with `code`; returns itself.
    pub fn exits(self, code: i32) -> Result<Self> {
        ensure!(self.code == code, "exit {} instead of {code}\n{}{}", self.code, self.out, self.err);
        Ok(self)
    }

    /// Fails unless standard error or output has all of `words`.
    pub fn says(self, words: &[&str]) -> Result<Self> {
        for word in words {
            let there = self.err.contains(word) || self.out.contains(word);
            ensure!(there, "does not say {word:?}:\n{}{}", self.out, self.err);
        }
        Ok(self)
    }

    /// Standard output as JSON.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.out).with_context(|| format!("not JSON: {}", self.out))
    }
}

impl HubProcess {
    /// Runs `rimward` against this hub.
    pub async fn say(&self, arguments: &[&str]) -> Result<Said> {
        Ok(self.cli(arguments).await?.into())
    }

    /// Describes something; what is said of it as JSON.
    pub async fn describe(&self, reference: &str) -> Result<Value> {
        self.json(&["describe", reference]).await
    }
}

impl Rig {
    /// Everything that the hub, the spokes and the command line say or keep about the fleet, apart from content itself.
    pub async fn everything_said(&mut self) -> Result<String> {
        let mut all = String::new();
        for kind in ["clusters", "apps", "tenants", "sources", "drift", "events", "holds"] {
            for output in ["table", "wide", "json", "yaml", "name"] {
                all += &self.hub.cli_ok(&["get", kind, "-o", output]).await?;
            }
        }
        for (kind, prefix) in [("apps", "app"), ("sources", "source")] {
            let list = self.hub.json(&["get", kind]).await?;
            for item in list["items"].as_array().into_iter().flatten() {
                let Some(tenant) = item["tenant"].as_str() else { continue };
                let name = item["name"].as_str().unwrap_or_default();
                let reference = format!("{prefix}/{tenant}/{name}");
                all += &self.hub.cli_ok(&["describe", &reference]).await?;
                all += &self.hub.describe(&reference).await?.to_string();
            }
        }
        all += &self.hub.log();
        all += self.hub.metrics().await?.text();
        all += &kept(self.hub.data())?;
        for site in &mut self.sites {
            all += &site.spoke().log();
            all += site.spoke().metrics().await?.text();
            all += &kept(site.spoke().data())?;
            all += &site.own_records().await?;
        }
        Ok(all)
    }
}

impl Site {
    /// What the spoke keeps in its cluster: all ConfigMaps and Secrets of its namespace, unpacked.
    async fn own_records(&self) -> Result<String> {
        let mut all = String::new();
        for plural in ["configmaps", "secrets"] {
            let list = self.there(&format!("/api/v1/namespaces/rimward-system/{plural}")).await?;
            for object in list["items"].as_array().into_iter().flatten() {
                all += &format!("\n{}: {object}\n", object["metadata"]["name"]);
                for field in ["data", "binaryData"] {
                    let values = object[field].as_object().into_iter().flat_map(|map| map.values());
                    for bytes in values.filter_map(|value| STANDARD.decode(value.as_str()?).ok()) {
                        all += &text_of(&bytes);
                    }
                }
            }
        }
        Ok(all)
    }
}

/// All files below `folder`, by name, as text however broken and unpacked, without the folders that hold content.
fn kept(folder: &Path) -> Result<String> {
    let mut all = String::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() && !CONTENT.contains(&entry.file_name().to_string_lossy().as_ref()) {
            all += &kept(&entry.path())?;
        } else if kind.is_file() {
            all += &format!("\nfile {}: ", entry.path().display());
            all += &text_of(&fs::read(entry.path()).unwrap_or_default());
        }
    }
    Ok(all)
}
