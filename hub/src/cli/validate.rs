//! `rimward validate`: what is wrong with files before they are committed, by the
//! hub's own loaders and renders.

use std::path::PathBuf;

use rimward_hub::core::files::API_VERSION;
use rimward_hub::core::note::{Note, Severity};
use rimward_hub::core::validate::{self, Repo, Validated};
use rimward_hub::source::Folder;
use serde_json::{Value, json};

use super::args::{Global, Output};
use super::exit::{Exit, Failure};
use super::notes::{self, Files, counted};
use super::offline_args::ValidateArgs;
use super::output::{self, say};
use super::text::clean_json;
use super::{folders, sarif};

/// A folder that was read.
struct Read {
    dir: PathBuf,
    folder: Folder,
}

impl Read {
    fn new(dir: PathBuf) -> Result<Self, Failure> {
        Ok(Self { folder: folders::read(&dir)?, dir })
    }
}

/// What was looked at, and what was found.
struct Found {
    fleet: Option<Read>,
    tenant: Option<Read>,
    validated: Validated,
}

impl Found {
    fn read(&self, repo: Repo) -> Option<&Read> {
        match repo {
            Repo::Fleet => self.fleet.as_ref(),
            Repo::Tenant => self.tenant.as_ref(),
        }
    }

    /// Each note with the files it is about.
    fn notes(&self) -> impl Iterator<Item = (Repo, Files<'_>, &Note)> {
        self.validated.notes.iter().filter_map(|(repo, note)| {
            let read = self.read(*repo)?;
            Some((*repo, Files { dir: &read.dir, tree: &read.folder.tree }, note))
        })
    }
}

/// Runs the command.
pub fn run(global: &Global, args: &ValidateArgs) -> Result<Exit, Failure> {
    let found = look(args)?;
    output::print(&match global.output.unwrap_or(Output::Text) {
        Output::Json => clean_json(&format!("{:#}\n", report(&found))),
        Output::Sarif => {
            clean_json(&format!("{:#}\n", sarif::log(found.notes().map(|(_, files, note)| (files, note)))))
        }
        _ => {
            let color = output::colored(global);
            let notes: Vec<String> =
                found.notes().map(|(_, files, note)| notes::text(note, files, color)).collect();
            let end = if notes.is_empty() { "" } else { "\n" };
            notes.join("\n") + end
        }
    })?;
    if let (None, Some(tenant)) = (&found.fleet, &found.tenant) {
        let what = "clusters, namespaces, kinds and limits of the tenant are not checked";
        say(global, format!("{}: {what} without --fleet DIR", tenant.dir.display()));
    }
    say(global, summary(&found));
    Ok(if found.validated.count(Severity::Error) == 0 { Exit::Yes } else { Exit::No })
}

fn look(args: &ValidateArgs) -> Result<Found, Failure> {
    let mut found = files_of(args)?;
    for repo in [Repo::Fleet, Repo::Tenant] {
        let notes = found.read(repo).map(|read| read.folder.notes.clone());
        found.validated.say(repo, notes.into_iter().flatten());
    }
    Ok(found)
}

fn files_of(args: &ValidateArgs) -> Result<Found, Failure> {
    let Some(fleet) = args.fleet.clone() else {
        let read = Read::new(args.dir.clone())?;
        return match validate::repo_of(&read.folder.tree) {
            Some(Repo::Fleet) => {
                let (validated, _) = validate::fleet(&read.folder.tree);
                Ok(Found { fleet: Some(read), tenant: None, validated })
            }
            Some(Repo::Tenant) => {
                let validated = validate::tenant_alone(read.folder.tree.clone());
                Ok(Found { fleet: None, tenant: Some(read), validated })
            }
            None => Err(nothing(&read)),
        };
    };
    let fleet = Read::new(fleet)?;
    let (mut validated, policy) = validate::fleet(&fleet.folder.tree);
    let source = match &args.source {
        Some(source) => folders::known(&policy, source).map(|()| source.clone()),
        None => folders::source_of(&policy, &args.dir),
    };
    let source = match source {
        Ok(source) => source,
        // The source may be in a file that is wrong, so that comes first.
        Err(_) if validated.count(Severity::Error) > 0 => {
            return Ok(Found { fleet: Some(fleet), tenant: None, validated });
        }
        Err(failure) => return Err(failure),
    };
    let tenant = Read::new(folders::content(&policy, &source, &args.dir))?;
    if validate::repo_of(&tenant.folder.tree) != Some(Repo::Tenant) {
        return Err(nothing(&tenant));
    }
    validated.add(validate::tenant(&policy, &source, tenant.folder.tree.clone()));
    Ok(Found { fleet: Some(fleet), tenant: Some(tenant), validated })
}

fn nothing(read: &Read) -> Failure {
    let what = match validate::repo_of(&read.folder.tree) {
        Some(Repo::Fleet) => "it is no tenant's repo: no rimward.yaml is in it",
        _ => "nothing of Rimward is in it: no rimward.yaml, and no Fleet, Cluster or Tenant document",
    };
    Failure::new(Exit::NotFound, format!("{}: {what}", read.dir.display()))
}

fn report(found: &Found) -> Value {
    let notes: Vec<Value> = found
        .notes()
        .map(|(repo, files, note)| {
            let mut value = notes::value(note);
            value["repo"] = if repo == Repo::Fleet { "fleet" } else { "tenant" }.into();
            value["path"] = files.path(&note.at.file).into();
            value
        })
        .collect();
    let (count, of) = (|severity| found.validated.count(severity), &found.validated.counts);
    json!({
        "apiVersion": API_VERSION,
        "kind": "ValidationReport",
        "notes": notes,
        "summary": {
            "errors": count(Severity::Error),
            "warnings": count(Severity::Warning),
            "infos": count(Severity::Info),
            "clusters": of.clusters,
            "tenants": of.tenants,
            "tests": of.tests,
            "apps": of.apps,
        },
    })
}

fn summary(found: &Found) -> String {
    let count = |severity| found.validated.count(severity);
    let (errors, warnings, of) = (count(Severity::Error), count(Severity::Warning), &found.validated.counts);
    let mut read = Vec::new();
    if found.fleet.is_some() {
        read.push(counted(of.clusters, "cluster"));
        read.push(counted(of.tenants, "tenant"));
        read.push(counted(of.tests, "test"));
    }
    if found.tenant.is_some() {
        read.push(counted(of.apps, "App"));
    }
    let errors = if errors == 0 { "no errors".to_owned() } else { counted(errors, "error") };
    let warnings = if warnings == 0 { String::new() } else { format!(", {}", counted(warnings, "warning")) };
    format!("{errors}{warnings}; {} without an error", read.join(", "))
}
