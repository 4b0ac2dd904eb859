//! `Test`.

use schemars::JsonSchema;

use super::{ApiVersion, LongName};

/// What the platform team expects of its policy; run by `rimward test`.
#[derive(Debug, JsonSchema)]
#[schemars(title = "Test", rename_all = "camelCase", deny_unknown_fields)]
pub struct TestDocument {
    /// The version of the document.
    pub api_version: ApiVersion,
    /// What the document is.
    pub kind: TestKind,
    /// What the test is called.
    pub metadata: TestMetadata,
    /// What is expected.
    pub spec: TestSpec,
}

/// The kind.
#[derive(Debug, JsonSchema)]
pub enum TestKind {
    /// A Test.
    Test,
}

/// What the test is called.
#[derive(Debug, JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub struct TestMetadata {
    /// Its name, unique in the fleet: a DNS label of at most 63 characters.
    pub name: LongName,
}

/// What is expected.
#[derive(Debug, JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub struct TestSpec {
    /// An App each.
    #[schemars(length(min = 1))]
    pub cases: Vec<CaseSpec>,
}

/// What is expected of one App.
#[derive(Debug, JsonSchema)]
#[schemars(
    rename_all = "camelCase",
    deny_unknown_fields,
    extend("anyOf" = [{"required": ["expect"]}, {"required": ["reject"]}])
)]
pub struct CaseSpec {
    /// The App, as in payments/web.
    #[schemars(regex(pattern = r"^[a-z0-9-]{1,53}/[a-z0-9-]{1,53}$"))]
    pub app: String,
    /// Clusters it must run on.
    pub expect: Option<Vec<LongName>>,
    /// Clusters it must not run on.
    pub reject: Option<Vec<LongName>>,
}
