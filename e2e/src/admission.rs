//! An admission webhook over real TLS: what an organisation puts between people
//! and their API server. What it says to which change a test says in a closure.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::https::HttpsServer;

/// Name of the object that only asks whether the webhook is in force; it is let through and not counted.
pub(crate) const PROBE: &str = "rimward-e2e-probe";

/// Where reviews are posted.
const PATH: &str = "/review";

/// Says what becomes of a change.
type Script = Arc<dyn Fn(&Review) -> Verdict + Send + Sync>;

/// A change that wants to be let in.
#[derive(Clone, Debug)]
pub struct Review {
    /// `CREATE` or `UPDATE`.
    pub operation: String,
    /// Who asks; of an impersonated request, whom it is made as.
    pub user: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Whether nothing would be kept of it.
    pub dry_run: bool,
    /// The object as it would be.
    pub object: Value,
}

impl Review {
    fn parse(request: &Value) -> Self {
        let text = |path: &str| request.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
        Self {
            operation: text("/operation"),
            user: text("/userInfo/username"),
            namespace: text("/namespace"),
            name: text("/name"),
            dry_run: request["dryRun"] == true,
            object: request["object"].clone(),
        }
    }
}

/// What a webhook says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As it is.
    Allow,
    /// No, for that reason.
    Deny(String),
    /// With these operations of a JSON patch.
    Mutate(Value),
    /// Nothing at all: the API server gives up after its timeout.
    Silence,
}

/// Which configuration a webhook is registered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It may change what it sees.
    Mutating,
    /// It may only refuse.
    Validating,
}

impl Kind {
    /// The plural of the kind of its configuration.
    pub(crate) fn plural(self) -> &'static str {
        match self {
            Self::Mutating => "mutatingwebhookconfigurations",
            Self::Validating => "validatingwebhookconfigurations",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Mutating => "MutatingWebhookConfiguration",
            Self::Validating => "ValidatingWebhookConfiguration",
        }
    }
}

#[derive(Default)]
struct Seen {
    reviews: Vec<Review>,
    probes: usize,
}

struct Shared {
    script: Mutex<Script>,
    seen: Mutex<Seen>,
}

/// A running webhook; it ends when dropped.
pub struct Webhook {
    server: HttpsServer,
    shared: Arc<Shared>,
}

impl Webhook {
    /// Starts one that allows everything.
    pub fn start() -> Result<Self> {
        let shared =
            Arc::new(Shared { script: Mutex::new(Arc::new(|_| Verdict::Allow)), seen: Mutex::default() });
        let routes = Router::new().route(PATH, post(review)).with_state(Arc::clone(&shared));
        Ok(Self { server: HttpsServer::start("admission-webhook", routes)?, shared })
    }

    /// From now on `script` says what becomes of each change.
    pub fn play(&self, script: impl Fn(&Review) -> Verdict + Send + Sync + 'static) {
        *lock(&self.shared.script) = Arc::new(script);
    }

    /// Every change it was asked about.
    pub fn reviews(&self) -> Vec<Review> {
        lock(&self.shared.seen).reviews.clone()
    }

    /// How often it was asked by the probe.
    pub(crate) fn probes(&self) -> usize {
        lock(&self.shared.seen).probes
    }

    /// The configuration that has the API server ask it, and wait `seconds` for the answer, about every ConfigMap of
    /// `namespace` that is made or changed. No answer means no.
    pub(crate) fn configuration(&self, kind: Kind, name: &str, namespace: &str, seconds: u32) -> Value {
        let rule = json!({"apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"],
                          "operations": ["CREATE", "UPDATE"], "scope": "Namespaced"});
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": kind.name(),
            "metadata": {"name": name},
            "webhooks": [{
                "name": format!("{name}.e2e.rimward.dev"),
                "clientConfig": {
                    "url": format!("{}{PATH}", self.server.url()),
                    "caBundle": STANDARD.encode(self.server.ca()),
                },
                "rules": [rule],
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
                "failurePolicy": "Fail",
                "sideEffects": "None",
                "timeoutSeconds": seconds,
                "admissionReviewVersions": ["v1"],
            }],
        })
    }
}

async fn review(State(shared): State<Arc<Shared>>, Json(body): Json<Value>) -> Json<Value> {
    let request = &body["request"];
    let review = Review::parse(request);
    if review.name == PROBE {
        lock(&shared.seen).probes += 1;
        return Json(answer(request, &Verdict::Allow));
    }
    let script = Arc::clone(&lock(&shared.script));
    let verdict = script(&review);
    lock(&shared.seen).reviews.push(review);
    if verdict == Verdict::Silence {
        // Whoever asked gives up and hangs up, and with that this ends.
        std::future::pending::<()>().await;
    }
    Json(answer(request, &verdict))
}

fn answer(request: &Value, verdict: &Verdict) -> Value {
    let mut response = json!({"uid": request["uid"], "allowed": true});
    match verdict {
        Verdict::Allow | Verdict::Silence => {}
        Verdict::Deny(message) => {
            response["allowed"] = json!(false);
            response["status"] = json!({"code": 403, "message": message});
        }
        Verdict::Mutate(patch) => {
            response["patchType"] = json!("JSONPatch");
            response["patch"] = json!(STANDARD.encode(patch.to_string()));
        }
    }
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})
}

/// A poisoned lock means that a script has panicked; the data are fine.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_the_uid_and_says_what_was_decided() {
        let request = json!({"uid": "7"});
        let denied = answer(&request, &Verdict::Deny("no".into()));
        assert_eq!(denied["response"]["uid"], "7");
        assert_eq!(denied["response"]["allowed"], false);
        let patch = json!([{"op": "add", "path": "/data/a", "value": "b"}]);
        let changed = answer(&request, &Verdict::Mutate(patch.clone()));
        let sent = STANDARD.decode(changed["response"]["patch"].as_str().unwrap()).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&sent).unwrap(), patch);
        assert_eq!(changed["response"]["allowed"], true);
    }
}
