//! For tests: an API server that answers what a test says, under the real
//! client, so that every error path can be walked; and a small one that keeps
//! objects with their versions.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::cluster::Connection;

/// One request as it came.
#[derive(Debug, Clone)]
pub struct Asked {
    pub method: Method,
    pub uri: String,
    pub headers: HeaderMap,
    pub body: Value,
}

/// Serves `answer` on loopback; returns a connection to it and everything it was asked.
pub async fn serve(
    answer: impl Fn(&Asked) -> Response + Clone + Send + Sync + 'static,
) -> (Connection, Arc<Mutex<Vec<Asked>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = asked.clone();
    let handler = move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
        let (seen, answer) = (seen.clone(), answer.clone());
        async move {
            let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
            let request = Asked { method, uri: uri.to_string(), headers, body };
            seen.lock().unwrap().push(request.clone());
            answer(&request)
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, axum::Router::new().fallback(handler)).await.unwrap() });
    let config = kube::Config::new(format!("http://{address}").parse().unwrap());
    (Connection::from_config(config).unwrap(), asked)
}

/// A JSON answer.
pub fn reply(code: u16, body: &Value) -> Response {
    (StatusCode::from_u16(code).unwrap(), axum::Json(body.clone())).into_response()
}

/// A `Status` that refuses.
pub fn status(code: u16, reason: &str, message: &str) -> Response {
    let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason,
        "message": message});
    reply(code, &body)
}

/// The `Status` of an object that is not there.
pub fn absent() -> Response {
    let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404, "reason": "NotFound",
        "message": "secrets \"x\" not found", "details": {"name": "x", "kind": "secrets"}});
    reply(404, &body)
}

/// An answer of several JSON lines, as a watch gives them.
pub fn lines(events: &[Value]) -> Response {
    let text: String = events.iter().map(|event| format!("{event}\n")).collect();
    Response::new(Body::from(text))
}

/// Keeps objects by path, with resourceVersions that must match on a PUT.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    objects: Arc<Mutex<(u64, BTreeMap<String, Value>)>>,
}

impl Memory {
    /// Answers as an API server would.
    pub fn answer(&self, asked: &Asked) -> Response {
        let (version, objects) = &mut *self.objects.lock().unwrap();
        let path = asked.uri.split('?').next().unwrap().to_owned();
        let mut body = asked.body.clone();
        *version += 1;
        match asked.method {
            Method::GET => match objects.get(&path) {
                Some(object) => reply(200, object),
                None => absent(),
            },
            Method::POST => {
                let path = format!("{path}/{}", body["metadata"]["name"].as_str().unwrap());
                if objects.contains_key(&path) {
                    return status(409, "AlreadyExists", "exists");
                }
                body["metadata"]["resourceVersion"] = json!(version.to_string());
                objects.insert(path, body.clone());
                reply(201, &body)
            }
            Method::PUT => {
                let held = objects.get(&path).map(|object| object["metadata"]["resourceVersion"].clone());
                if held.is_none() {
                    return absent();
                }
                if held.as_ref() != Some(&body["metadata"]["resourceVersion"]) {
                    return status(409, "Conflict", "the object has been modified");
                }
                body["metadata"]["resourceVersion"] = json!(version.to_string());
                objects.insert(path, body.clone());
                reply(200, &body)
            }
            _ => {
                objects.remove(&path);
                reply(200, &json!({}))
            }
        }
    }

    /// Changes one object behind everybody's back.
    pub fn change(&self, name: &str, change: impl Fn(&mut Value)) {
        let (_, objects) = &mut *self.objects.lock().unwrap();
        let object = objects.iter_mut().find(|(path, _)| path.ends_with(&format!("/{name}"))).unwrap().1;
        change(object);
    }

    /// Deletes one object behind everybody's back.
    pub fn remove(&self, name: &str) {
        let (_, objects) = &mut *self.objects.lock().unwrap();
        objects.retain(|path, _| !path.ends_with(&format!("/{name}")));
    }

    /// The names of all objects.
    pub fn names(&self) -> Vec<String> {
        let objects = &self.objects.lock().unwrap().1;
        objects.keys().map(|path| path.rsplit('/').next().unwrap().to_owned()).collect()
    }
}
