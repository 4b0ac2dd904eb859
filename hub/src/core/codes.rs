//! The codes of all notes the pure half makes, in one place, so that a code
//! means one thing. `docs/errors.md` has a section for each.

/// A file is not YAML, not UTF-8, or over a limit.
pub const UNREADABLE: &str = "RW3001";
/// A document that has no place where it is, or of a kind that is not known.
pub const KIND: &str = "RW3002";
/// A value that a field cannot have.
pub const VALUE: &str = "RW3003";
/// A field that is not known.
pub const UNKNOWN_FIELD: &str = "RW3004";
/// A field that must be there and is not.
pub const MISSING: &str = "RW3005";
/// A field, kind or file that is specified but not built yet.
pub const NOT_BUILT: &str = "RW3006";
/// Two documents with one kind and name.
pub const DUPLICATE: &str = "RW3007";
/// Almost one of our documents, but not quite: not used.
pub const NEAR_MISS: &str = "RW3008";
/// A cluster named that is outside the tenant's or the source's bound.
pub const OUT_OF_BOUND: &str = "RW3009";
/// A cluster named that has no document.
pub const UNKNOWN_CLUSTER: &str = "RW3010";
/// A wrong file's last good content is used.
pub const LAST_GOOD: &str = "RW3011";
/// One App in two sources of a tenant.
pub const TWO_SOURCES: &str = "RW3012";
/// An App or a default that asks for what its tenant's limits do not allow.
pub const BEYOND_LIMIT: &str = "RW3013";
/// A path to ignore that is no JSON pointer, or that Rimward needs itself.
pub const POINTER: &str = "RW3014";
/// A CEL expression that cannot be used.
pub const CEL: &str = "RW3015";
/// A former name that is not former, or of two Apps; a rename that waits.
pub const FORMER_NAME: &str = "RW3016";
/// A dependency on an App that does not exist.
pub const UNKNOWN_DEPENDENCY: &str = "RW3017";
/// Apps that wait for one another.
pub const DEPENDENCY_CYCLE: &str = "RW3018";
/// A dependency that is not on all of its App's clusters.
pub const DEPENDENCY_ELSEWHERE: &str = "RW3019";
/// A manifest that is not a Kubernetes object.
pub const MANIFEST: &str = "RW3020";
/// Metadata that a manifest must not carry.
pub const METADATA: &str = "RW3021";
/// One object twice in an App.
pub const OBJECT_TWICE: &str = "RW3022";
/// An App over a limit on its objects.
pub const TOO_LARGE: &str = "RW3023";
/// A list with a key twice that the API server would refuse.
pub const LIST_KEY: &str = "RW3024";
/// Something that is not read stands where something that is needed may be.
pub const LEFT_OUT: &str = "RW3025";
/// A kind in a list that is none of Kubernetes' own.
pub const UNKNOWN_KIND: &str = "RW3026";
/// A wrong App file in a folder of another App.
pub const WRONG_BELOW: &str = "RW3027";
/// An App that would lose what another one asks for and cannot have.
pub const HANDOVER: &str = "RW3028";
/// A variable without a value on a cluster.
pub const VARIABLE_UNSET: &str = "RW3040";
/// A variable where none may be, or a value that cannot stand where it is put.
pub const VARIABLE: &str = "RW3041";
/// A patch that cannot be applied.
pub const PATCH: &str = "RW3042";
/// A patch or an override that changes nothing.
pub const NO_MATCH: &str = "RW3043";
/// An App that renders to more different forms than it may.
pub const VARIANTS: &str = "RW3044";
/// A tenant named that has no document.
pub const UNKNOWN_TENANT: &str = "RW3050";
/// A namespace that is not the tenant's.
pub const NAMESPACE: &str = "RW4001";
/// A cluster-scoped object of a tenant that may not have it.
pub const CLUSTER_SCOPED: &str = "RW4002";
/// A kind that the tenant may not have.
pub const DENIED: &str = "RW4003";
/// A kind of which it is not known whether it is namespaced.
pub const UNKNOWN_SCOPE: &str = "RW4004";
/// One object in two Apps on one cluster.
pub const OWNED: &str = "RW4005";
/// A plan over its limit.
pub const PLAN_TOO_LARGE: &str = "RW4006";
/// A change that waits for an approval.
pub const HELD: &str = "RW4010";
/// A cluster whose document is gone.
pub const FROZEN: &str = "RW4011";
/// An App that is carried on because its source is not known.
pub const UNKNOWN_SOURCE: &str = "RW4012";
/// An App that may be in a file that cannot be read.
pub const MAYBE_BROKEN: &str = "RW4013";
/// An object that breaks a rule of a Guardrail.
pub const GUARDRAIL: &str = "RW4020";
/// A tenant at its quota.
pub const QUOTA: &str = "RW4021";
/// A plan that says more than the tenant's document, found before signing.
pub const SIGNER: &str = "RW4022";
