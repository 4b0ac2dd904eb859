//! The roles that a spoke may give to tenants: those of the manifest, and those
//! that an operator has added to the cluster's own, which applying the manifest
//! again must not take away.

use std::collections::BTreeSet;

use serde_json::Value;

/// Adds to `wanted`, if it is a ClusterRole with such a list, the roles that only `present` lists; returns those.
pub fn keep(wanted: &mut Value, present: &Value) -> Vec<String> {
    let Some(Value::Array(names)) = binding_rule(wanted).map(|rule| &mut rule["resourceNames"]) else {
        return Vec::new();
    };
    let known: BTreeSet<String> = names.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect();
    let mut present = present.clone();
    let there = binding_rule(&mut present).map(|rule| rule["resourceNames"].take()).unwrap_or_default();
    let there = there.as_array().into_iter().flatten().filter_map(Value::as_str);
    let added: BTreeSet<&str> = there.filter(|name| !known.contains(*name)).collect();
    names.extend(added.iter().map(|name| Value::from(*name)));
    added.into_iter().map(str::to_owned).collect()
}

/// The rule of a ClusterRole by which roles may be bound.
fn binding_rule(role: &mut Value) -> Option<&mut Value> {
    let has =
        |list: &Value, name: &str| list.as_array().is_some_and(|all| all.iter().any(|item| item == name));
    let rules = role.get_mut("rules")?.as_array_mut()?;
    rules.iter_mut().find(|rule| has(&rule["verbs"], "bind") && has(&rule["resources"], "clusterroles"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn role(names: &[&str]) -> Value {
        json!({"kind": "ClusterRole", "rules": [
            {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get"]},
            {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["clusterroles"], "verbs": ["bind"],
             "resourceNames": names}]})
    }

    #[test]
    fn what_was_added_stays_and_what_was_removed_comes_back() {
        let mut wanted = role(&["view", "edit"]);
        assert_eq!(keep(&mut wanted, &role(&["deployer", "view"])), ["deployer"]);
        assert_eq!(wanted, role(&["view", "edit", "deployer"]));
        assert_eq!(keep(&mut wanted, &role(&["deployer", "view"])), [""; 0]);
    }

    #[test]
    fn where_there_is_no_such_list_nothing_is_added() {
        let mut wanted = role(&["view"]);
        for present in [json!(null), json!({"rules": null}), json!({"rules": [{"verbs": ["get"]}]})] {
            assert!(keep(&mut wanted, &present).is_empty());
        }
        let mut other = json!({"kind": "ConfigMap", "data": {}});
        assert!(keep(&mut other, &role(&["x"])).is_empty());
        assert_eq!(other, json!({"kind": "ConfigMap", "data": {}}));
    }
}
