//! What is sent to the API server for a wanted object: its exact content plus
//! the two labels that say whose it is, and the one precondition that makes an
//! apply either a create or an update.

use rimward_proto::AppId;
use rimward_proto::object::{APP_LABEL, TENANT_LABEL};
use serde_json::{Map, Value, json};

use super::effect::{ApplyMode, Overlay};
use super::ignore;

/// The wanted object with its owner labels. Anything but an object with metadata comes back unchanged; the server
/// refuses it.
pub fn decorate(mut body: Value, app: &AppId) -> Value {
    if let Some(meta) = body.get_mut("metadata").and_then(Value::as_object_mut) {
        let labels = meta.entry("labels").or_insert_with(|| Value::Object(Map::new()));
        if !labels.is_object() {
            *labels = Value::Object(Map::new());
        }
        labels[TENANT_LABEL] = json!(app.tenant.as_str());
        labels[APP_LABEL] = json!(app.app.as_str());
    }
    body
}

/// The decorated object as the apply's body: with the precondition of `mode`, and the live values that go back.
pub fn apply_body(mut decorated: Value, mode: &ApplyMode, overlay: Option<&Overlay>) -> Value {
    if let Some(overlay) = overlay {
        decorated = ignore::lay(decorated, overlay);
    }
    if let Some(meta) = decorated.get_mut("metadata").and_then(Value::as_object_mut) {
        match mode {
            ApplyMode::Create => meta.insert("resourceVersion".into(), json!("1")),
            ApplyMode::Update { uid } => meta.insert("uid".into(), json!(uid)),
        };
    }
    decorated
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_preconditions() {
        let app: AppId = "shop/web".parse().unwrap();
        let body = decorate(json!({"metadata": {"name": "a", "labels": {"x": "y"}}}), &app);
        assert_eq!(
            body["metadata"]["labels"],
            json!({"x": "y", "rimward.dev/tenant": "shop", "rimward.dev/app": "web"})
        );
        let create = apply_body(body.clone(), &ApplyMode::Create, None);
        assert_eq!(create["metadata"]["resourceVersion"], "1");
        let update = apply_body(body, &ApplyMode::Update { uid: "u".into() }, None);
        assert_eq!(
            (&update["metadata"]["uid"], &update["metadata"]["resourceVersion"]),
            (&json!("u"), &Value::Null)
        );
        assert_eq!(decorate(json!([]), &app), json!([]));
    }
}
