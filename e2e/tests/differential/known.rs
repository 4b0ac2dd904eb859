//! Differences that are known and not hidden: each by the object's name, with
//! its reason. One that is listed and does not differ is an error too, so that
//! the list stays true.

use serde_json::{Value, json};

/// Objects whose `metadata.labels` differ: the API server copies the labels of a pod template to a controller that has
/// none of its own (a default of `batch/v1` Jobs and `v1` ReplicationControllers alone). Through Rimward such an object
/// has labels already, those that say whose it is, and the server copies nothing.
const LABELS_NOT_DEFAULTED: [&str; 6] = [
    "Job migrate-2024-06",
    "ReplicationController cassandra",
    "ReplicationController frontend",
    "ReplicationController legacy",
    "ReplicationController my-nginx",
    "ReplicationController netexec",
];

/// Takes the known differences out of an object as kubectl made it, to be compared with one that has them; an error
/// if it does not have them.
pub fn without_known(key: &str, wanted: &Value) -> Result<Value, String> {
    let mut wanted = wanted.clone();
    if LABELS_NOT_DEFAULTED.contains(&key) {
        let labels = &wanted["metadata"]["labels"];
        if *labels != wanted["spec"]["template"]["metadata"]["labels"] {
            return Err(format!("{key}: its labels are not its template's: {labels}"));
        }
        wanted["metadata"]["labels"] = json!({});
    }
    Ok(wanted)
}
