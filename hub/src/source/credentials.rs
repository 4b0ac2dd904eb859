//! Credentials for Git servers: a folder each, with the origin they are for.
//! They are never sent anywhere else, whatever a URL or a redirect says.

use std::fmt;
use std::fs;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rimward_proto::{Digest, ids::is_dns_label};
use zeroize::Zeroizing;

use super::SourceError;

/// The largest file looked at in a credentials folder: a CA bundle.
const FILE_BYTES: u64 = 1 << 20;

/// What to send to one origin. `Debug` hides it.
pub struct Credentials {
    /// Value of the `Authorization` header; none if only a CA is given.
    pub authorization: Option<Zeroizing<String>>,
    /// Extra certificate authorities, PEM.
    pub ca: Option<Vec<u8>>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(hidden)")
    }
}

/// `scheme://host[:port]` of a URL, if it is one that may be fetched: http(s), and no credentials in it.
pub fn check_url(url: &str) -> Result<String, SourceError> {
    let parsed = reqwest::Url::parse(url).map_err(|_| SourceError::Url("it is not a URL"))?;
    if !matches!(parsed.scheme(), "http" | "https") {
        return Err(SourceError::Url("only http and https are built; ssh is not built yet"));
    }
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err(SourceError::Url("it has credentials in it"));
    }
    if parsed.query().is_some() || parsed.fragment().is_some() {
        return Err(SourceError::Url("it has a query or a fragment in it"));
    }
    Ok(parsed.origin().ascii_serialization())
}

impl Credentials {
    /// Reads the folder `name` below `folder`, for use at `url`.
    pub fn load(folder: &Path, name: &str, url: &str) -> Result<Self, SourceError> {
        let refuse = |why: String| SourceError::Credentials { name: name.to_owned(), why };
        if !is_dns_label(name, 63) {
            return Err(refuse("not the name of a folder (a-z, 0-9, '-')".to_owned()));
        }
        let folder = folder.join(name);
        let file = |file: &str| read(&folder.join(file)).map_err(|why| refuse(format!("{file} {why}")));
        let origin = file("origin")?.ok_or_else(|| refuse("it has no file `origin`".to_owned()))?;
        let bound = check_url(text(&origin).ok_or_else(|| refuse("`origin` is not text".to_owned()))?)
            .map_err(|_| refuse("`origin` is not scheme://host[:port]".to_owned()))?;
        let asked = check_url(url)?;
        if bound != asked {
            return Err(refuse(format!("they are for {bound}, not for {asked}")));
        }
        let user = match (file("token")?, file("username")?, file("password")?) {
            // Every large Git server takes a token as the password of any user.
            (Some(token), None, None) => Some((Zeroizing::new(b"git".to_vec()), token)),
            (None, Some(user), Some(password)) => Some((user, password)),
            (None, None, None) => None,
            _ => return Err(refuse("give token, or username and password, not a mix".to_owned())),
        };
        let authorization = user.map(|(user, password)| basic(&user, &password));
        let ca = file("ca.crt")?.map(|pem| pem.to_vec());
        if authorization.is_none() && ca.is_none() {
            return Err(refuse("it has neither token, nor username and password, nor ca.crt".to_owned()));
        }
        Ok(Self { authorization, ca })
    }

    /// Tells mirrors of one URL with different credentials apart, without telling the credentials.
    pub fn mirror_name(url: &str, name: Option<&str>) -> String {
        Digest::of(format!("{url}\n{}", name.unwrap_or_default()).as_bytes()).hex()[..32].to_owned()
    }
}

fn basic(user: &[u8], password: &[u8]) -> Zeroizing<String> {
    let mut pair = Zeroizing::new(Vec::with_capacity(user.len() + password.len() + 1));
    pair.extend_from_slice(user.trim_ascii());
    pair.push(b':');
    pair.extend_from_slice(password.trim_ascii());
    Zeroizing::new(format!("Basic {}", STANDARD.encode(&*pair)))
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok().map(str::trim)
}

fn read(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, String> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.len() > FILE_BYTES => Err("is too large".to_owned()),
        Ok(_) => fs::read(path).map(|bytes| Some(Zeroizing::new(bytes))).map_err(|error| error.to_string()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let temp = tempfile::tempdir().unwrap();
        fs::create_dir(temp.path().join("git")).unwrap();
        for (name, content) in files {
            fs::write(temp.path().join("git").join(name), content).unwrap();
        }
        temp
    }

    #[test]
    fn only_for_their_origin() {
        let temp = folder(&[("origin", "https://git.acme.example\n"), ("token", "s3cret\n")]);
        let load = |url| Credentials::load(temp.path(), "git", url);
        let good = load("https://git.acme.example:443/a.git").unwrap();
        assert_eq!(good.authorization.as_deref().map(String::as_str), Some("Basic Z2l0OnMzY3JldA=="));
        assert!(!format!("{good:?}").contains("Z2l0"));
        for url in [
            "http://git.acme.example/a.git",
            "https://git.acme.example.evil/a",
            "https://git.acme.example:8443/a",
        ] {
            let error = load(url).unwrap_err().to_string();
            assert!(error.contains("they are for https://git.acme.example"), "{error}");
            assert!(!error.contains("s3cret"));
        }
    }

    #[test]
    fn a_folder_that_is_not_complete_says_what_is_missing() {
        for (files, expected) in [
            (&[("token", "x")][..], "no file `origin`"),
            (&[("origin", "https://a.b")], "neither token"),
            (&[("origin", "https://a.b"), ("username", "u")], "not a mix"),
            (&[("origin", "https://u:p@a.b"), ("token", "x")], "not scheme://host"),
        ] {
            let temp = folder(files);
            let error = Credentials::load(temp.path(), "git", "https://a.b/c").unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        assert!(Credentials::load(Path::new("/"), "../etc", "https://a.b/c").is_err());
    }

    #[test]
    fn urls_with_credentials_are_refused_without_repeating_them() {
        let error = check_url("https://user:hunter2@git.acme.example/a.git").unwrap_err().to_string();
        assert!(error.contains("credentials in it") && !error.contains("hunter2"), "{error}");
        assert!(check_url("ssh://git@acme.example/a").is_err());
        assert!(check_url("file:///etc").is_err());
        assert_eq!(check_url("http://127.0.0.1:8080/a.git").unwrap(), "http://127.0.0.1:8080");
    }
}
