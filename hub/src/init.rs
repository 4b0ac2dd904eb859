//! `rimward-hub init`: the data directory, the certificate authority, the head
//! key and root 1. The root key is written outside, once, for its owner to take
//! away. Each step leaves what is there, so a crash in the middle is made good
//! by running it again, and a finished directory is never changed.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rimward_proto::envelope::{EnvelopeError, SecretKey};
use zeroize::Zeroizing;

use crate::config::HubConfig;
use crate::datadir::{self, DataDir, DataError};
use crate::pki::{Authority, CA_LIFETIME, PkiError};
use crate::sign::{self, SignError, Signer};
use crate::store::{Store, StoreError};

/// Why init stopped.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The data directory.
    #[error("the data directory cannot be prepared")]
    Data(#[from] DataError),
    /// Where the root key shall go.
    #[error("--root-key {} lies in the data directory; the root key must be kept apart from it", .0.display())]
    Inside(PathBuf),
    /// The folder of the root key is not there.
    #[error("the folder of --root-key {} cannot be found", path.display())]
    NoFolder {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The directory was made for another trust domain.
    #[error("the data directory is of trust domain {found}, the configuration says {expected}")]
    Domain {
        /// As configured.
        expected: String,
        /// As in the root.
        found: String,
    },
    /// Certificates.
    #[error("the certificate authority cannot be made")]
    Pki(#[from] PkiError),
    /// Keys.
    #[error("a key cannot be made")]
    Key(#[source] EnvelopeError),
    /// Keys and roots that are there.
    #[error("keys and roots that are there cannot be used")]
    Sign(#[from] SignError),
    /// The store.
    #[error("the store cannot be made")]
    Store(#[from] StoreError),
}

/// What init did.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything was made.
    Made,
    /// Everything was there; nothing was changed.
    Nothing,
}

/// Makes what is missing.
pub fn init(
    config: &HubConfig,
    data_dir: &Path,
    root_key: &Path,
    now: Timestamp,
) -> Result<Outcome, InitError> {
    let data = DataDir::create(data_dir)?;
    if data.initialised() {
        let signer = Signer::load(&data.join("keys"), &data.join("root"))?;
        let found = signer.root().trust_domain.to_string();
        let expected = config.trust_domain.to_string();
        return if found == expected {
            Ok(Outcome::Nothing)
        } else {
            Err(InitError::Domain { expected, found })
        };
    }
    refuse_inside(&data, root_key)?;
    let keys = data.folder("keys")?;
    let roots = data.folder("root")?;
    for folder in ["content", "git", "cache"] {
        data.folder(folder)?;
    }
    let ca = authority(config, &keys, now)?;
    let head_key = key(&keys.join("head.pem"))?;
    let root_key = key(root_key)?;
    let expires = now + CA_LIFETIME;
    let root = sign::first_root(config.trust_domain.clone(), &root_key, &head_key, &ca, expires);
    datadir::write_new(&roots.join("1.json"), &root)?;
    Signer::load(&keys, &roots)?;
    Store::create(&data.folder("state")?)?;
    data.finish()?;
    Ok(Outcome::Made)
}

fn refuse_inside(data: &DataDir, root_key: &Path) -> Result<(), InitError> {
    let no_folder = |source| InitError::NoFolder { path: root_key.to_owned(), source };
    let folder = root_key.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = folder.canonicalize().map_err(no_folder)?;
    let data = data.path().canonicalize().map_err(no_folder)?;
    if folder.starts_with(data) { Err(InitError::Inside(root_key.to_owned())) } else { Ok(()) }
}

fn authority(config: &HubConfig, keys: &Path, now: Timestamp) -> Result<String, InitError> {
    let (certificate, key) = (keys.join("ca.pem"), keys.join("ca-key.pem"));
    // The certificate is written last: with it, the pair is complete.
    if !certificate.exists() {
        let (pem, secret) = Authority::generate(&config.trust_domain, now)?;
        datadir::replace(&key, Zeroizing::new(secret).as_bytes())?;
        datadir::write_new(&certificate, pem.as_bytes())?;
    }
    Ok(load_authority(keys)?.pem().to_owned())
}

/// The certificate authority in `keys`.
pub fn load_authority(keys: &Path) -> Result<Authority, InitError> {
    let text = |name: &str| -> Result<Zeroizing<String>, InitError> {
        let bytes = datadir::read(&keys.join(name))?;
        Ok(Zeroizing::new(String::from_utf8_lossy(&bytes).into_owned()))
    };
    Ok(Authority::from_pem(&text("ca.pem")?, &text("ca-key.pem")?)?)
}

fn key(path: &Path) -> Result<SecretKey, InitError> {
    let mut seed = Zeroizing::new([0; 32]);
    aws_lc_rs::rand::fill(&mut *seed).map_err(|_| InitError::Key(EnvelopeError::PrivateKey))?;
    let new = SecretKey::from_seed(&seed).map_err(InitError::Key)?;
    let pkcs8 = Zeroizing::new(new.to_pkcs8().map_err(InitError::Key)?);
    datadir::write_new(path, sign::key_to_pem(&pkcs8).as_bytes())?;
    // What an interrupted init left is used: nothing has been signed with it for anyone yet.
    Ok(sign::read_key(path)?)
}
