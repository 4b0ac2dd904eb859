//! What the file may name but this version does not build yet: known, so that it
//! can be refused by name instead of as a typo.

use std::time::Duration;

use serde::Deserialize;

use super::{days, duration};

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Verify {
    mode: String,
    signers_file: String,
}

/// `store` or `content`: only the embedded kind is built, the other kinds' fields are known so that they can be named.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Kind {
    kind: String,
    endpoints: Option<Vec<String>>,
    endpoint: Option<String>,
    bucket: Option<String>,
    region: Option<String>,
    prefix: Option<String>,
    credentials: Option<String>,
    ca_file: Option<String>,
    cert_file: Option<String>,
    key_file: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct AdminTls {
    cert_file: String,
    key_file: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RenderConfig {
    workers: u32,
    helm: String,
    kustomize: String,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Access {
    oidc: Oidc,
    bindings: Vec<serde_yaml::Value>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Oidc {
    issuer: String,
    audience: String,
    groups_claim: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Retention {
    revisions: u32,
    #[serde(deserialize_with = "duration")]
    history: Duration,
    #[serde(deserialize_with = "duration")]
    events: Duration,
    #[serde(deserialize_with = "duration")]
    audit: Duration,
}

impl Default for Verify {
    fn default() -> Self {
        Self { mode: "none".into(), signers_file: String::new() }
    }
}

impl Default for RenderConfig {
    fn default() -> Self {
        Self { workers: 0, helm: "helm".into(), kustomize: "kustomize".into() }
    }
}

impl Default for Oidc {
    fn default() -> Self {
        Self { issuer: String::new(), audience: "rimward".into(), groups_claim: "groups".into() }
    }
}

impl Default for Retention {
    fn default() -> Self {
        Self { revisions: 10, history: days(90), events: days(7), audit: days(365) }
    }
}

fn kind(kind: &str) -> Kind {
    Kind {
        kind: kind.into(),
        endpoints: None,
        endpoint: None,
        bucket: None,
        region: None,
        prefix: None,
        credentials: None,
        ca_file: None,
        cert_file: None,
        key_file: None,
    }
}

pub(super) fn sled_kind() -> Kind {
    kind("sled")
}

pub(super) fn dir_kind() -> Kind {
    kind("dir")
}
