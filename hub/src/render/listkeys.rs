//! Lists that the API server merges by a key, or takes as sets: with one key
//! twice it refuses the whole object, with an error that names neither file nor
//! line. Found here instead. The tables are those of Kubernetes' own schema.

use std::collections::BTreeSet;

use crate::core::yaml::{Node, Value};

/// Paths to the pod templates of Kubernetes' own kinds.
const POD_SPECS: &[(&str, &[&str])] = &[
    ("Pod", &["spec"]),
    ("PodTemplate", &["template", "spec"]),
    ("ReplicationController", &["spec", "template", "spec"]),
    ("Deployment", &["spec", "template", "spec"]),
    ("ReplicaSet", &["spec", "template", "spec"]),
    ("StatefulSet", &["spec", "template", "spec"]),
    ("DaemonSet", &["spec", "template", "spec"]),
    ("Job", &["spec", "template", "spec"]),
    ("CronJob", &["spec", "jobTemplate", "spec", "template", "spec"]),
];

/// A list: where it is, its name, and the fields that make the key of an item; none if the items themselves are keys.
type List = (&'static [&'static str], &'static str, &'static [&'static str]);

const NAME: &[&str] = &["name"];
const ITSELF: &[&str] = &[];

const OF_POD: &[List] = &[
    (&[], "volumes", NAME),
    (&[], "imagePullSecrets", NAME),
    (&[], "hostAliases", &["ip"]),
    (&[], "topologySpreadConstraints", &["topologyKey", "whenUnsatisfiable"]),
    (&[], "schedulingGates", NAME),
    (&[], "resourceClaims", NAME),
    (&[], "evictionResponders", NAME),
];
const CONTAINER_LISTS: [&str; 3] = ["containers", "initContainers", "ephemeralContainers"];
const OF_CONTAINER: &[List] = &[
    (&[], "env", NAME),
    (&[], "ports", &["containerPort", "protocol"]),
    (&[], "volumeMounts", &["mountPath"]),
    (&[], "volumeDevices", &["devicePath"]),
    (&["resources"], "claims", NAME),
];

const ADMISSION: &str = "admissionregistration.k8s.io";
const FLOW: &str = "flowcontrol.apiserver.k8s.io";
const FLOW_RULES: &[&str] = &["spec", "rules", "resourceRules"];
const FLOW_OTHER_RULES: &[&str] = &["spec", "rules", "nonResourceRules"];

/// Lists of single kinds, by group and kind.
const OF_KIND: &[(&str, &str, List)] = &[
    ("", "Service", (&["spec"], "ports", &["port", "protocol"])),
    ("", "ServiceAccount", (&[], "secrets", NAME)),
    (ADMISSION, "MutatingWebhookConfiguration", (&[], "webhooks", NAME)),
    (ADMISSION, "MutatingWebhookConfiguration", (&["webhooks"], "matchConditions", NAME)),
    (ADMISSION, "ValidatingWebhookConfiguration", (&[], "webhooks", NAME)),
    (ADMISSION, "ValidatingWebhookConfiguration", (&["webhooks"], "matchConditions", NAME)),
    (ADMISSION, "MutatingAdmissionPolicy", (&["spec"], "matchConditions", NAME)),
    (ADMISSION, "ValidatingAdmissionPolicy", (&["spec"], "matchConditions", NAME)),
    (ADMISSION, "ValidatingAdmissionPolicy", (&["spec"], "variables", NAME)),
    (ADMISSION, "ValidatingAdmissionPolicyBinding", (&["spec"], "validationActions", ITSELF)),
    ("batch", "Job", (&["spec", "podFailurePolicy", "rules", "onExitCodes"], "values", ITSELF)),
    (
        "batch",
        "CronJob",
        (&["spec", "jobTemplate", "spec", "podFailurePolicy", "rules", "onExitCodes"], "values", ITSELF),
    ),
    ("discovery.k8s.io", "EndpointSlice", (&["endpoints"], "addresses", ITSELF)),
    (FLOW, "FlowSchema", (FLOW_RULES, "apiGroups", ITSELF)),
    (FLOW, "FlowSchema", (FLOW_RULES, "namespaces", ITSELF)),
    (FLOW, "FlowSchema", (FLOW_RULES, "resources", ITSELF)),
    (FLOW, "FlowSchema", (FLOW_RULES, "verbs", ITSELF)),
    (FLOW, "FlowSchema", (FLOW_OTHER_RULES, "nonResourceURLs", ITSELF)),
    (FLOW, "FlowSchema", (FLOW_OTHER_RULES, "verbs", ITSELF)),
    ("storage.k8s.io", "CSIDriver", (&["spec"], "volumeLifecycleModes", ITSELF)),
    ("storage.k8s.io", "CSINode", (&["spec"], "drivers", NAME)),
];

/// Each duplicate in a list with keys, with the list's name; `group` and `kind` are the object's.
pub(super) fn duplicates<'n>(group: &str, kind: &str, object: &'n Node) -> Vec<(&'n Node, &'static str)> {
    let mut found = Vec::new();
    twice(object, &(&["metadata"], "finalizers", ITSELF), &mut found);
    for (_, _, list) in OF_KIND.iter().filter(|(of, name, _)| (*of, *name) == (group, kind)) {
        twice(object, list, &mut found);
    }
    if !matches!(group, "" | "apps" | "batch") {
        return found;
    }
    let path = POD_SPECS.iter().find(|(name, _)| *name == kind).map(|(_, path)| *path);
    let pod = path.and_then(|path| path.iter().try_fold(object, |node, key| node.get(key)));
    let Some(pod) = pod else { return found };
    OF_POD.iter().for_each(|list| twice(pod, list, &mut found));
    for containers in CONTAINER_LISTS {
        twice(pod, &(&[], containers, NAME), &mut found);
        for container in reach(pod, &[containers]) {
            OF_CONTAINER.iter().for_each(|list| twice(container, list, &mut found));
        }
    }
    found
}

/// What is at a path; each item of a list on the way.
fn reach<'n>(node: &'n Node, path: &[&str]) -> Vec<&'n Node> {
    let mut at = vec![node];
    for key in path {
        let next = at.into_iter().filter_map(|node| node.get(key));
        at = next
            .flat_map(
                |node| if let Value::List(items) = &node.value { items } else { std::slice::from_ref(node) },
            )
            .collect();
    }
    at
}

fn twice<'n>(node: &'n Node, list: &List, found: &mut Vec<(&'n Node, &'static str)>) {
    let (path, name, keys) = *list;
    for holder in reach(node, path) {
        let Some(Value::List(items)) = holder.get(name).map(|node| &node.value) else { continue };
        let mut seen = BTreeSet::new();
        for item in items {
            let part = |key: &&str| match item.get(key) {
                Some(node) => node.to_json().to_string(),
                // The one default among these keys.
                None if *key == "protocol" => "\"TCP\"".to_owned(),
                None => String::new(),
            };
            let key: Vec<String> = match keys {
                [] => vec![item.to_json().to_string()],
                keys => keys.iter().map(part).collect(),
            };
            // An item without its key is the API server's to refuse; two of them are not the same item.
            if !key[0].is_empty() && !seen.insert(key) {
                found.push((item, name));
            }
        }
    }
}
