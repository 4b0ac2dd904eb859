//! The sizes both sides refuse to go beyond. Each is a constant with its reason,
//! so that a hostile or broken peer costs a bounded amount of memory.

/// One Kubernetes object, canonical JSON, bytes. etcd refuses requests over 1.5 MiB; 1 MiB leaves room for status
/// and managedFields.
pub const OBJECT_BYTES: u64 = 1 << 20;
/// Objects in one bundle: more in one App is a mistake, and the index must stay a quick read.
pub const BUNDLE_OBJECTS: u64 = 10_000;
/// All objects of one bundle, bytes: bounds what one App can make a spoke store and hold.
pub const BUNDLE_BYTES: u64 = 32 << 20;
/// One bundle index, bytes: 10,000 entries of about 400 bytes.
pub const INDEX_BYTES: u64 = 4 << 20;
/// One plan, bytes: thousands of Apps on one cluster; parsed at once, so it must fit in memory many times over.
pub const PLAN_BYTES: u64 = 1 << 20;
/// One signed envelope (root or head), bytes: a root with a CA bundle and a dozen keys is under 64 KiB.
pub const ENVELOPE_BYTES: usize = 256 << 10;
/// Signatures looked at in one envelope: more than any sane number of keys, so that verification stays bounded.
pub const ENVELOPE_SIGNATURES: usize = 16;
/// Roots accepted in one chain: a spoke that missed more rotations than this was away for decades.
pub const ROOT_CHAIN: usize = 1_024;
/// One gRPC message, bytes after decompression; tonic's own default, stated so that both sides agree.
pub const MESSAGE_BYTES: usize = 4 << 20;
/// One report, bytes: 10,000 spokes reporting at once must not flood the hub.
pub const REPORT_BYTES: usize = 256 << 10;
/// Objects named one by one in an App's report: enough to see what is wrong, bounded whatever breaks.
pub const REPORT_EXCEPTIONS: usize = 50;
/// Approved deletions in one assignment: an operator approves tens, not thousands.
pub const ASSIGNMENT_DELETES: usize = 1_000;
/// Depth of a Merkle proof: 2^32 clusters.
pub const PROOF_HASHES: usize = 32;
/// Content sent inline with an offer, bytes: saves the common small change a round trip, and with the plan stays under
/// [`MESSAGE_BYTES`].
pub const INLINE_BYTES: usize = 1 << 20;
/// One CEL expression, bytes: ten times what people write about an object; the parser's own work stays small.
/// What the hub lets through must be what a spoke takes.
pub const EXPRESSION_BYTES: usize = 1024;
/// Digests asked for in one fetch: about 1 MiB of request.
pub const FETCH_DIGESTS: usize = 10_000;
