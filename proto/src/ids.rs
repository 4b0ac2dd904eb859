//! Names and digests, each its own type, so that a tenant can never be passed
//! where a cluster is meant and no unchecked string becomes part of a path, a
//! certificate or a label.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a text is not a valid name or digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The text is not a DNS-1123 label of at most `max` characters.
    #[error("{what} {text:?} is not a DNS label (a-z, 0-9, '-', at most {max} characters)")]
    Label {
        /// What kind of name was expected.
        what: &'static str,
        /// The offending text.
        text: String,
        /// The longest length accepted.
        max: usize,
    },
    /// The text is not `sha256:` followed by 64 lower-case hex digits.
    #[error("{0:?} is not a digest (sha256:<64 hex digits>)")]
    Digest(String),
    /// The text is not a SPIFFE trust domain (lower-case letters, digits, '.', '-', '_', at most 255).
    #[error("{0:?} is not a trust domain (a-z, 0-9, '.', '-', '_', at most 255 characters)")]
    TrustDomain(String),
    /// The text is not a Kubernetes UID.
    #[error("{0:?} is not a cluster uid (letters, digits and '-', at most 64 characters)")]
    ClusterUid(String),
    /// The text is not `tenant/app`.
    #[error("{0:?} is not of the form tenant/app")]
    AppId(String),
}

/// True if `text` is a DNS-1123 label of at most `max` characters.
pub fn is_dns_label(text: &str, max: usize) -> bool {
    let bytes = text.as_bytes();
    !bytes.is_empty()
        && bytes.len() <= max
        && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-')
        && bytes[0] != b'-'
        && bytes[bytes.len() - 1] != b'-'
}

macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks `text` and wraps it.
            pub fn new(text: impl Into<String>) -> Result<Self, IdError> {
                let text = text.into();
                let check: fn(&str) -> Result<(), IdError> = $check;
                check(&text)?;
                Ok(Self(text))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }
    };
}

fn label(what: &'static str, text: &str, max: usize) -> Result<(), IdError> {
    if is_dns_label(text, max) { Ok(()) } else { Err(IdError::Label { what, text: text.to_owned(), max }) }
}

checked_text!(
    /// A cluster's name in the fleet: a DNS-1123 label of at most 63 characters.
    ClusterName,
    |text| label("cluster name", text, 63)
);
checked_text!(
    /// A tenant's name: a DNS-1123 label of at most 53 characters, so that names derived from it still fit in 63.
    TenantName,
    |text| label("tenant name", text, 53)
);
checked_text!(
    /// An App's name within its tenant: a DNS-1123 label of at most 53 characters.
    AppName,
    |text| label("app name", text, 53)
);
checked_text!(
    /// The UID of a cluster's `kube-system` namespace; tells a re-created cluster from the one it replaces.
    ClusterUid,
    |text| {
        let ok = !text.is_empty()
            && text.len() <= 64
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if ok { Ok(()) } else { Err(IdError::ClusterUid(text.to_owned())) }
    }
);
checked_text!(
    /// A SPIFFE trust domain (SPIFFE-ID §2.1).
    TrustDomain,
    |text| {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_');
        let ok = !text.is_empty() && text.len() <= 255 && text.bytes().all(allowed);
        if ok { Ok(()) } else { Err(IdError::TrustDomain(text.to_owned())) }
    }
);

impl TrustDomain {
    /// The SPIFFE ID of a spoke: `spiffe://<trust domain>/spoke/<cluster>`.
    pub fn spoke_id(&self, cluster: &ClusterName) -> String {
        format!("spiffe://{self}/spoke/{cluster}")
    }

    /// The cluster named by a spoke's SPIFFE ID, if `uri` is one of this trust domain.
    pub fn cluster_of(&self, uri: &str) -> Option<ClusterName> {
        let rest = uri.strip_prefix("spiffe://")?.strip_prefix(self.as_str())?.strip_prefix("/spoke/")?;
        ClusterName::new(rest).ok()
    }
}

/// Which App: (tenant, name), never a path. Displayed as `tenant/app`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AppId {
    /// The tenant that owns the App.
    pub tenant: TenantName,
    /// The App's name.
    pub app: AppName,
}

impl fmt::Display for AppId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.tenant, self.app)
    }
}

impl FromStr for AppId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let (tenant, app) = text.split_once('/').ok_or_else(|| IdError::AppId(text.to_owned()))?;
        Ok(Self { tenant: TenantName::new(tenant)?, app: AppName::new(app)? })
    }
}

/// The SHA-256 of some exact bytes; displayed and serialized as `sha256:<hex>`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
        Self(hash.as_ref().try_into().expect("SHA-256 is 32 bytes"))
    }

    /// A digest from its 32 bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes of the hash.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The hash as 64 lower-case hex digits, without the `sha256:` in front.
    pub fn hex(&self) -> String {
        hex(&self.0)
    }
}

/// `bytes` as lower-case hex digits.
pub fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a String cannot fail");
        text
    })
}

/// The bytes that lower-case hex digits stand for; `None` for anything else.
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |b: u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        _ => None,
    };
    let pairs = text.as_bytes().chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return None;
    }
    pairs.map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        text.strip_prefix("sha256:")
            .and_then(unhex)
            .and_then(|bytes| bytes.try_into().ok())
            .map(Self)
            .ok_or_else(|| IdError::Digest(text.to_owned()))
    }
}

impl TryFrom<String> for Digest {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> String {
        digest.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels() {
        assert!(ClusterName::new("eu-1").is_ok());
        for bad in ["", "-a", "a-", "A", "a.b", "a/b", "ä", &"a".repeat(64)] {
            assert!(ClusterName::new(bad).is_err(), "{bad:?}");
        }
        assert!(TenantName::new("a".repeat(54)).is_err());
    }

    #[test]
    fn digest_round_trip() {
        let digest = Digest::of(b"abc");
        assert_eq!(
            digest.to_string(),
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert!("sha256:BA".parse::<Digest>().is_err());
        assert!("ba7816bf".parse::<Digest>().is_err());
    }

    #[test]
    fn spiffe() {
        let domain = TrustDomain::new("acme.example").unwrap();
        let id = domain.spoke_id(&ClusterName::new("eu-1").unwrap());
        assert_eq!(id, "spiffe://acme.example/spoke/eu-1");
        assert_eq!(domain.cluster_of(&id), ClusterName::new("eu-1").ok());
        assert_eq!(domain.cluster_of("spiffe://acme.example/spoke/eu-1/x"), None);
        assert_eq!(domain.cluster_of("spiffe://acme.example.evil/spoke/eu-1"), None);
    }
}
