//! Bare mirrors: one for each URL and credentials, shared by the sources that
//! read it. What is in use is kept under a ref of our own, so that a force-push
//! cannot lose it, and is synced to disk before anyone relies on it.

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gix::protocol::transport::client::blocking_io::http;
use gix::remote::fetch::{Status, Tags};
use gix::remote::{Direction, ref_map};
use gix::{ObjectId, Repository};

use super::tls::Tls;
use super::tree::{self, Snapshot, reference_text};
use super::watch::Watch;
use super::{CONNECT_TIME, Credentials, FETCH_TIME, IDLE_TIME, SourceError, check_url};
use super::{compact, history, stale, track};
use crate::core::model::{GitRef, GitSpec, SourceId};

/// All mirrors, below `git/`.
#[derive(Debug)]
pub struct Mirrors {
    folder: PathBuf,
    credentials: PathBuf,
    busy: Mutex<HashMap<String, Arc<Mutex<Turn>>>>,
    tls: Tls,
    packs: usize,
    patience: Patience,
}

/// How long to wait for a server.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// While it says nothing.
    pub idle: Duration,
    /// For one answer, however slowly it comes.
    pub whole: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { idle: IDLE_TIME, whole: FETCH_TIME }
    }
}

/// The name of the mirror that a source is read from, which it may share.
pub fn mirror_name(git: &GitSpec) -> String {
    Credentials::mirror_name(&git.url, git.credentials.as_deref())
}

/// Whose turn it is with a mirror.
#[derive(Debug, Default)]
struct Turn {
    /// What a killed hub left in it was removed.
    swept: bool,
}

/// One look at a source.
#[derive(Debug, Clone, Copy)]
pub struct Look<'a> {
    /// Which source.
    pub id: &'a SourceId,
    /// Where it is.
    pub git: &'a GitSpec,
    /// The snapshot in use, if it is of the same `git`.
    pub held: Option<&'a Snapshot>,
}

/// What a look found.
#[derive(Debug)]
pub enum Found {
    /// The commit in use is still the one.
    Same,
    /// Another commit; it is on disk, durably.
    New(Snapshot),
}

impl Mirrors {
    /// Mirrors in `folder`, with credentials from the folder `credentials`.
    pub fn new(folder: PathBuf, credentials: PathBuf) -> Self {
        let (busy, tls, patience) = (Mutex::default(), Tls::default(), Patience::default());
        Self { folder, credentials, busy, tls, packs: compact::PACKS, patience }
    }

    /// Waits for servers as long as this, instead of the default.
    pub fn with_patience(self, patience: Patience) -> Self {
        Self { patience, ..self }
    }

    /// Fetches mirrors anew from this many packs on, instead of the default.
    pub fn with_packs(self, packs: usize) -> Self {
        Self { packs, ..self }
    }

    /// Asks the server, and fetches if there is something new.
    pub fn look(&self, look: Look<'_>) -> Result<Found, SourceError> {
        self.in_turn(look.git, |repo, path, server| self.look_in(look, repo, path, server))
    }

    fn look_in(
        &self,
        look: Look<'_>,
        repo: &Repository,
        path: &Path,
        server: &str,
    ) -> Result<Found, SourceError> {
        let git = look.git;
        let held = look.held.and_then(|held| ObjectId::from_hex(held.tree.commit.as_bytes()).ok());
        let pinned = pinned(git)?.filter(|id| repo.has_object(id));
        let commit = match pinned {
            Some(commit) => commit,
            None => self.fetch(repo, path, git, server)?.run(held, true)?,
        };
        if held == Some(commit) {
            return Ok(Found::Same);
        }
        let snapshot = tree::read(repo, git, commit, look.held)?;
        hold(repo, path, &held_ref(look.id), commit)
            .map_err(|why| SourceError::Mirror { url: git.url.clone(), why })?;
        self.compact(repo, path, git, server);
        Ok(Found::New(snapshot))
    }

    /// Works with the mirror of `git`, alone: with it, its folder and the server.
    pub(super) fn in_turn<T>(
        &self,
        git: &GitSpec,
        work: impl FnOnce(&Repository, &Path, &str) -> Result<T, SourceError>,
    ) -> Result<T, SourceError> {
        let server = check_url(&git.url)?;
        let name = mirror_name(git);
        let lock = self.lock(&name);
        let mut turn = lock.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.folder.join(name);
        compact::recover(&path);
        if !turn.swept {
            stale::sweep(&path);
            turn.swept = true;
        }
        let repo = open_or_make(&path).map_err(|error| local(git, &error))?;
        work(&repo, &path, &server)
    }

    /// A conversation with the server of `git`.
    pub(super) fn fetch<'a>(
        &'a self,
        repo: &'a Repository,
        path: &'a Path,
        git: &'a GitSpec,
        server: &'a str,
    ) -> Result<Fetch<'a>, SourceError> {
        let credentials = self.credentials(git)?;
        Ok(Fetch { repo, path, git, server, credentials, tls: &self.tls, patience: self.patience })
    }

    /// Fetches a mirror of too many packs anew. If that fails, the old one is still good.
    fn compact(&self, repo: &Repository, path: &Path, git: &GitSpec, server: &str) {
        if compact::packs(path) <= self.packs {
            return;
        }
        match compact::compact(repo, path, git, server, || self.credentials(git), (&self.tls, self.patience))
        {
            Ok(true) => tracing::info!(url = git.url, "mirror fetched anew, as one pack"),
            Ok(false) => {
                tracing::info!(url = git.url, "mirror kept: the server no longer has all that is in use")
            }
            Err(error) => tracing::warn!(url = git.url, %error, "mirror could not be fetched anew"),
        }
    }

    fn credentials(&self, git: &GitSpec) -> Result<Option<Credentials>, SourceError> {
        let name = git.credentials.as_deref();
        name.map(|name| Credentials::load(&self.credentials, name, &git.url)).transpose()
    }

    /// Asks the server what the ref names, with a mirror in `scratch` that nothing is fetched into.
    pub fn probe(&self, git: &GitSpec, scratch: &Path) -> Result<String, SourceError> {
        let server = check_url(&git.url)?;
        let repo = open_or_make(scratch).map_err(|error| local(git, &error))?;
        let fetch = self.fetch(&repo, scratch, git, &server)?;
        fetch.run(None, false).map(|commit| commit.to_string())
    }

    /// The snapshot of a commit that was held before, without asking anyone. None if the mirror lacks it.
    pub fn recall(&self, git: &GitSpec, commit: &str) -> Option<Snapshot> {
        let path = self.folder.join(mirror_name(git));
        compact::recover(&path);
        let repo = gix::open_opts(path, options()).ok()?;
        tree::read(&repo, git, ObjectId::from_hex(commit.as_bytes()).ok()?, None).ok()
    }

    /// Whether the commit `within` has in its history the one that `commit` begins; none if the mirror cannot tell.
    pub fn contains(&self, git: &GitSpec, within: &str, commit: &str) -> Option<bool> {
        let repo = gix::open_opts(self.folder.join(mirror_name(git)), options()).ok()?;
        history::contains(&repo, ObjectId::from_hex(within.as_bytes()).ok()?, commit)
    }

    /// Removes the mirrors that none of `used` needs.
    pub fn keep_only<'a>(&self, used: impl Iterator<Item = &'a GitSpec>) -> std::io::Result<()> {
        let names: Vec<String> = used.map(mirror_name).collect();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            // What is being fetched anew has the mirror's name in front.
            let of = |used: &String| {
                entry.file_name().to_str().is_some_and(|name| name.starts_with(used.as_str()))
            };
            if !names.iter().any(of) {
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }

    fn lock(&self, name: &str) -> Arc<Mutex<Turn>> {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(busy.entry(name.to_owned()).or_default())
    }
}

fn local(git: &GitSpec, error: &gix::Error) -> SourceError {
    SourceError::Mirror { url: git.url.clone(), why: error.to_string() }
}

/// Nothing but the mirror's own files decides: no system or user configuration, no environment.
fn options() -> gix::open::Options {
    gix::open::Options::isolated().with(gix::sec::Trust::Full).open_path_as_is(true)
}

/// The mirror at `path`, made if it is not there.
pub(super) fn open_or_make(path: &Path) -> Result<Repository, gix::Error> {
    if path.join("HEAD").exists() {
        return gix::open_opts(path, options());
    }
    let create = gix::create::Options { destination_must_be_empty: Some(false), ..Default::default() };
    let made = gix::ThreadSafeRepository::init_opts(path, gix::create::Kind::Bare, create, options())?;
    Ok(made.into())
}

fn pinned(git: &GitSpec) -> Result<Option<ObjectId>, SourceError> {
    match &git.reference {
        GitRef::Commit(text) => ObjectId::from_hex(text.as_bytes()).map(Some).map_err(|_| no_ref(git)),
        _ => Ok(None),
    }
}

fn no_ref(git: &GitSpec) -> SourceError {
    SourceError::NoRef { url: git.url.clone(), reference: reference_text(git) }
}

/// The ref that keeps what a source uses.
fn held_ref(id: &SourceId) -> String {
    match id {
        SourceId::Fleet => "refs/rimward/held/fleet".to_owned(),
        SourceId::Tenant { tenant, source } => format!("refs/rimward/held/tenant/{tenant}/{source}"),
    }
}

/// Keeps `commit` under the ref `name`, durably.
pub(super) fn hold(repo: &Repository, path: &Path, name: &str, commit: ObjectId) -> Result<(), String> {
    use gix::refs::transaction::PreviousValue;
    let edited = repo.reference(name, commit, PreviousValue::Any, "held");
    edited.map_err(|error| error.to_string())?;
    let file = path.join(name);
    let folders = file.ancestors().skip(1).take_while(|folder| folder.starts_with(path));
    [file.as_path()]
        .into_iter()
        .chain(folders)
        .try_for_each(|durable| File::open(durable)?.sync_all())
        .map_err(|error| error.to_string())
}

/// One conversation with a server.
pub(super) struct Fetch<'a> {
    pub(super) repo: &'a Repository,
    pub(super) path: &'a Path,
    pub(super) git: &'a GitSpec,
    pub(super) server: &'a str,
    pub(super) credentials: Option<Credentials>,
    pub(super) tls: &'a Tls,
    pub(super) patience: Patience,
}

impl Fetch<'_> {
    /// The commit that the ref names now; if `fetch`, with all its objects in the mirror.
    pub(super) fn run(&self, held: Option<ObjectId>, fetch: bool) -> Result<ObjectId, SourceError> {
        self.run_as(&track::refspec(&self.git.reference), held, fetch)
    }

    /// [`Fetch::run`] for another ref than the source's own.
    pub(super) fn run_as(
        &self,
        refspec: &str,
        held: Option<ObjectId>,
        fetch: bool,
    ) -> Result<ObjectId, SourceError> {
        let failed = |error: gix::Error| self.explain(&error);
        let remote = self
            .repo
            .remote_at_without_url_rewrite(self.git.url.as_str())
            .and_then(|remote| remote.with_refspecs([refspec], Direction::Fetch))
            .map_err(failed)?
            .with_fetch_tags(Tags::None);
        let connection = remote
            .connect(Direction::Fetch)
            .map_err(failed)?
            // Never prompt: what is needed was in the first request, and a refusal is an answer.
            .with_credentials(|_| Ok(None))
            .with_transport_options(Box::new(self.transport()?));
        let prepared =
            connection.prepare_fetch(gix::progress::Discard, ref_map::Options::default()).map_err(failed)?;
        let wanted = prepared
            .ref_map()
            .mappings
            .iter()
            .find_map(|mapping| mapping.remote.peeled_id().map(ToOwned::to_owned));
        let wanted = wanted.ok_or_else(|| no_ref(self.git))?;
        if !fetch || held == Some(wanted) || self.complete(wanted) {
            return Ok(wanted);
        }
        let watch = Watch::new(self.path);
        let status = watch.run(|stop| prepared.receive(gix::progress::Discard, stop));
        let outcome =
            status.map_err(|error| watch.limit(self.git).unwrap_or_else(|| self.explain(&error)))?;
        self.sync(&outcome.status)?;
        // A tag of a tag of something else than a commit is no commit.
        self.repo.find_commit(wanted).map(|_| wanted).map_err(|_| no_ref(self.git))
    }

    /// True if a ref of the mirror says that the commit and all it needs are here.
    fn complete(&self, wanted: ObjectId) -> bool {
        let Ok(references) = self.repo.references() else { return false };
        let Ok(all) = references.prefixed("refs/rimward/") else { return false };
        let mut targets =
            all.flatten().filter_map(|mut reference| reference.peel_to_id().ok().map(|id| id.detach()));
        targets.any(|id| id == wanted) && self.repo.has_object(wanted)
    }

    fn transport(&self) -> Result<http::Options, SourceError> {
        let mut options = http::reqwest::Options::default();
        let ca = self.credentials.as_ref().and_then(|credentials| credentials.ca.as_deref());
        let encrypted = self.git.url.starts_with("https:");
        let tls = encrypted.then(|| self.tls.config(ca)).transpose();
        let tls = tls.map_err(|why| SourceError::Tls { server: self.server.to_owned(), why })?;
        let patience = self.patience;
        options.configure_client = Some(Box::new(move |_| {
            // The time of the inner builder is for a whole answer, that of the blocking one begins anew with each byte.
            let client = reqwest::ClientBuilder::new()
                .http1_title_case_headers()
                .connect_timeout(CONNECT_TIME)
                .timeout(patience.whole);
            let client = match &tls {
                Some(tls) => client.tls_backend_preconfigured(tls.clone()),
                // Nothing is trusted where nothing is encrypted; this also spares reading what would be.
                None => client.tls_certs_only([]),
            };
            Ok(reqwest::blocking::ClientBuilder::from(client).timeout(patience.idle))
        }));
        if let Some(authorization) = self.credentials.as_ref().and_then(|given| given.authorization.clone()) {
            // gix follows no redirect once a request is configured, so this goes to the origin that was checked and
            // nowhere else.
            options.configure_request = Some(Box::new(move |request| {
                let value = reqwest::header::HeaderValue::from_str(&authorization);
                let mut value = value.map_err(gix::Error::from_error)?;
                value.set_sensitive(true);
                request.headers_mut().insert(reqwest::header::AUTHORIZATION, value);
                Ok(())
            }));
        }
        Ok(http::Options { backend: Some(Arc::new(Mutex::new(options))), ..Default::default() })
    }

    fn explain(&self, error: &gix::Error) -> SourceError {
        let sent = self.credentials.as_ref().is_some_and(|given| given.authorization.is_some());
        SourceError::from_gix(error, self.server, &self.git.url, sent)
    }

    fn sync(&self, status: &Status) -> Result<(), SourceError> {
        let Status::Change { write_pack_bundle: pack, .. } = status else { return Ok(()) };
        let files = [pack.data_path.as_deref(), pack.index_path.as_deref()];
        let pack_folder = self.path.join("objects").join("pack");
        files
            .into_iter()
            .flatten()
            .chain([pack_folder.as_path()])
            .try_for_each(|durable| File::open(durable)?.sync_all())
            .map_err(|error| SourceError::Mirror { url: self.git.url.clone(), why: error.to_string() })
    }
}
