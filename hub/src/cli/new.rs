//! `rimward new`: the first files of a fleet, a tenant or an App. Nothing that is
//! there is ever written over.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use rimward_proto::{AppName, ClusterName, TenantName};

use super::args::Global;
use super::exit::{Exit, Failure};
use super::offline_args::{New, NewArgs};
use super::output::{self, say};

const FLEET: &str = include_str!("new/fleet.yaml");
const CLUSTERS: &str = include_str!("new/clusters.yaml");
const TENANT: &str = include_str!("new/tenant.yaml");
const APP: &str = include_str!("new/app.yaml");
const CONFIG_MAP: &str = include_str!("new/configmap.yaml");

/// Runs the command.
pub fn run(global: &Global, args: &NewArgs) -> Result<Exit, Failure> {
    let name = &args.name;
    let checked = match args.what {
        // A fleet is called as a cluster may be.
        New::Fleet => ClusterName::new(name).map(drop),
        New::Tenant => TenantName::new(name).map(drop),
        New::App => AppName::new(name).map(drop),
    };
    checked.map_err(|error| Failure::usage(error.to_string()))?;
    // Which namespaces there are is for the tenant to say; a tenant's first is called like itself.
    let namespace = global.tenant.as_deref().unwrap_or(name);
    TenantName::new(namespace).map_err(|error| Failure::usage(error.to_string()))?;
    let fill = |text: &str| text.replace("${NAMESPACE}", namespace).replace("${NAME}", name);
    let files: Vec<(PathBuf, String)> = match args.what {
        New::Fleet => vec![("fleet.yaml".into(), fill(FLEET)), ("clusters.yaml".into(), fill(CLUSTERS))],
        New::Tenant => vec![(format!("tenants/{name}.yaml").into(), fill(TENANT))],
        New::App => vec![
            (format!("{name}/rimward.yaml").into(), fill(APP)),
            (format!("{name}/configmap.yaml").into(), fill(CONFIG_MAP)),
        ],
    };
    let files: Vec<(PathBuf, String)> =
        files.into_iter().map(|(path, text)| (join(&args.dir, &path), text)).collect();
    if let Some((path, _)) = files.iter().find(|(path, _)| fs::symlink_metadata(path).is_ok()) {
        return Err(there(path));
    }
    for (path, text) in &files {
        write(path, text)?;
        output::print(&format!("{}\n", path.display()))?;
    }
    say(global, next(args));
    Ok(Exit::Yes)
}

/// The path as it is said: without a `./` that nobody wrote.
fn join(dir: &Path, path: &Path) -> PathBuf {
    if dir == Path::new(".") { path.to_owned() } else { dir.join(path) }
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let failed = |error: std::io::Error| match error.kind() {
        ErrorKind::AlreadyExists => there(path),
        _ => Failure::new(Exit::No, format!("cannot write {}: {error}", path.display())),
    };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    let mut file = OpenOptions::new().write(true).create_new(true).open(path).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)
}

fn there(path: &Path) -> Failure {
    Failure::new(Exit::Conflict, format!("{} is there already, and is not written over", path.display()))
}

fn next(args: &NewArgs) -> String {
    let dir = args.dir.display();
    let check = match args.dir == Path::new(".") {
        true => "rimward validate".to_owned(),
        false => format!("rimward validate {dir}"),
    };
    match args.what {
        New::Fleet => {
            format!("next: write your clusters into clusters.yaml, then: rimward new tenant TEAM --dir {dir}")
        }
        New::Tenant => format!("next: write the URL of its repository into the file, then: {check}"),
        New::App => format!(
            "next: put its manifests into {}, then: {check}",
            join(&args.dir, Path::new(&args.name)).display()
        ),
    }
}
