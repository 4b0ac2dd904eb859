//! Which fields of each kind a table shows.

use jiff::Timestamp;
use serde_json::Value;

use super::args::Kind;
use super::text::{age, shorten, time, until};

/// Longest value of a drifted field in a table: the rest is in `-o wide` and `-o json`.
const VALUE_CHARS: usize = 40;

/// Fields of a foreign object shown in a description: more than that is another object; the rest is in `-o wide`.
const FOREIGN_FIELDS: usize = 10;

/// The columns of a kind.
pub fn header(kind: Kind, wide: bool) -> Vec<&'static str> {
    let (narrow, more): (&[_], &[_]) = match kind {
        Kind::Clusters => (
            &["NAME", "STATE", "APPS", "DRIFT", "PLAN", "SEEN", "CERT"],
            &["KUBERNETES", "SPOKE", "LABELS", "MESSAGE"],
        ),
        Kind::Apps => (
            &["TENANT", "NAME", "STATE", "COMMIT", "CLUSTERS", "READY", "MESSAGE"],
            &["SOURCE", "PATH", "REVISION", "DRIFT"],
        ),
        Kind::Tenants => (&["NAME", "STATE", "SOURCES", "APPS", "CLUSTERS", "MESSAGE"], &["NAMESPACES"]),
        Kind::Sources => {
            (&["TENANT", "NAME", "STATE", "REF", "COMMIT", "APPS", "FETCHED", "MESSAGE"], &["URL"])
        }
        Kind::Holds => (&["HOLD", "REASON", "APPS", "CLUSTERS", "OBJECTS", "DIGEST", "MESSAGE"], &[]),
        _ => (&["TIME", "TYPE", "CLUSTER", "APP", "OBJECT", "MESSAGE"], &["SEVERITY", "ACTOR", "ID"]),
    };
    // MESSAGE is long: it stays last, also when more columns are shown.
    let last = narrow.last().filter(|name| **name == "MESSAGE");
    let front = &narrow[..narrow.len() - usize::from(wide && last.is_some())];
    let more = if wide { more } else { &[] };
    front.iter().chain(more).chain(last.filter(|_| wide)).copied().collect()
}

/// One row, in the order of `header`.
pub fn row(kind: Kind, item: &Value, header: &[&str], now: Timestamp) -> Vec<String> {
    header.iter().map(|column| cell(kind, item, column, now)).collect()
}

fn cell(kind: Kind, item: &Value, column: &str, now: Timestamp) -> String {
    match (kind, column) {
        (Kind::Holds, "HOLD") => text(&item["id"]),
        (Kind::Holds, "DIGEST") => digest(&item["digest"], 12),
        (Kind::Holds, "APPS") => {
            some(&item["apps"], |id| format!("{}/{}", text(&id["tenant"]), text(&id["app"])))
        }
        (Kind::Holds, "CLUSTERS") => some(&item["clusters"], text),
        (Kind::Holds, "OBJECTS") => match item["objects"].as_array().map_or(0, Vec::len) {
            0 => "all".to_owned(),
            n => n.to_string(),
        },
        (Kind::Clusters | Kind::Tenants, "APPS") => {
            format!("{}/{}", text(&item["apps"]["ready"]), text(&item["apps"]["total"]))
        }
        (Kind::Apps, "CLUSTERS") => text(&item["clusters"]["total"]),
        (Kind::Apps, "READY") => text(&item["clusters"]["ready"]),
        (Kind::Apps, "REVISION") => digest(&item["revision"], 12),
        (Kind::Events, "TIME") => clock(&item["time"]),
        (Kind::Events, "APP") if item["app"].is_null() => "-".to_owned(),
        (Kind::Events, "APP") => app(item),
        (Kind::Events, "OBJECT") if item["object"].is_null() => "-".to_owned(),
        (Kind::Events, "OBJECT") => object(&item["object"]),
        (Kind::Sources, "TENANT") if item["tenant"].is_null() => "-".to_owned(),
        (_, "DRIFT") if item["drift"].is_null() => "?".to_owned(),
        (_, "PLAN") => text(&item["plan"]["seq"]),
        (_, "SEEN") => age(item["lastSeen"].as_str(), now),
        (_, "CERT") => until(item["certificateExpires"].as_str(), now),
        (_, "FETCHED") => age(item["fetched"].as_str(), now),
        (_, "KUBERNETES") => text(&item["kubernetesVersion"]),
        (_, "SPOKE") => text(&item["spokeVersion"]),
        (_, "LABELS") => labels(&item["labels"]),
        (_, "COMMIT") => text(&item["commit"]).chars().take(7).collect(),
        (_, "NAMESPACES") => some(&item["namespaces"], text),
        // Empty for Ready, where there is nothing to say.
        (_, "MESSAGE") => item["message"].as_str().unwrap_or_default().to_owned(),
        (_, other) => text(&item[other.to_ascii_lowercase()]),
    }
}

/// A value as one cell.
pub fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) if text.is_empty() => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn digest(value: &Value, digits: usize) -> String {
    match value.as_str().and_then(|text| text.strip_prefix("sha256:")) {
        Some(hex) => hex.chars().take(digits).collect(),
        None => text(value),
    }
}

fn some(list: &Value, one: impl Fn(&Value) -> String) -> String {
    let items: Vec<String> = list.as_array().into_iter().flatten().map(one).collect();
    if items.is_empty() { "-".to_owned() } else { rimward_hub::core::status::name_some(items) }
}

fn labels(labels: &Value) -> String {
    let pairs = labels.as_object().into_iter().flatten();
    let pairs: Vec<String> = pairs.map(|(key, value)| format!("{key}={}", text(value))).collect();
    if pairs.is_empty() { "-".to_owned() } else { pairs.join(",") }
}

fn clock(at: &Value) -> String {
    time(at.as_str()).map_or_else(|| "-".to_owned(), |at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// `tenant/app` of an item that has both.
pub fn app(item: &Value) -> String {
    format!("{}/{}", text(&item["tenant"]), text(&item["app"]))
}

/// `Deployment.apps/payments/web`.
pub fn object(object: &Value) -> String {
    let part = |name: &str| object[name].as_str().unwrap_or_default().to_owned();
    let key = rimward_proto::ObjectKey::new(part("group"), part("kind"), part("namespace"), part("name"));
    key.to_string()
}

/// Drift as lines, one a field: who changed what to what, and what became of it.
pub fn drift(item: &Value, wide: bool) -> Vec<String> {
    let max = if wide { usize::MAX } else { VALUE_CHARS };
    let fields: Vec<String> =
        item["fields"].as_array().into_iter().flatten().map(|f| field(f, max)).collect();
    let kind = item["type"].as_str().unwrap_or_default();
    let shown = !fields.is_empty() && kind != "Deleted";
    let manager = item["manager"].as_str().filter(|m| !m.is_empty()).unwrap_or("unknown");
    // That somebody fights back says more than that it was reported.
    let action = if shown && kind == "Contended" { kind.to_owned() } else { text(&item["action"]) };
    let mut end = vec![manager.to_owned(), action];
    end.extend((item["approximate"] == true).then(|| "Approximate".to_owned()));
    end.extend(item["restoredMillis"].as_u64().map(|millis| format!("{millis}ms")));
    let start = format!("{} {} {}", text(&item["cluster"]), app(item), object(&item["object"]));
    let what = if shown { fields } else { vec![kind.to_owned()] };
    what.iter().map(|what| super::text::clean(&format!("{start} {what} {}", end.join(" ")))).collect()
}

fn field(field: &Value, max: usize) -> String {
    let path = text(&field["path"]);
    if field["redacted"] == true {
        return format!("{path} (redacted)");
    }
    format!("{path} {}→{}", value(&field["wanted"], max), value(&field["found"], max))
}

fn value(value: &Value, max: usize) -> String {
    match value {
        Value::Null => "(none)".to_owned(),
        other => shorten(&other.to_string(), max),
    }
}

/// An object that is not as it should be, in one line.
pub fn problem(item: &Value) -> String {
    let (cluster, object) = (text(&item["cluster"]), object(&item["object"]));
    format!("{cluster} {} {object} {}: {}", app(item), text(&item["reason"]), text(&item["message"]))
}

/// Of an object that is not ours: whose it is, and what taking it over would change, one a line.
pub fn foreign(item: &Value, wide: bool) -> Vec<String> {
    let list = |name: &str| item[name].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut lines = Vec::new();
    if !list("managers").is_empty() {
        lines
            .push(format!("managed by {}", list("managers").iter().map(text).collect::<Vec<_>>().join(", ")));
    }
    let (max, shown) = if wide { (usize::MAX, usize::MAX) } else { (VALUE_CHARS, FOREIGN_FIELDS) };
    let fields = list("fields");
    lines.extend(fields.iter().take(shown).map(|field| match field["redacted"] == true {
        true => format!("a takeover would change {} (redacted)", text(&field["path"])),
        false => {
            let (from, to) = (value(&field["found"], max), value(&field["wanted"], max));
            format!("a takeover would change {} {from} to {to}", text(&field["path"]))
        }
    }));
    if fields.len() > shown {
        lines.push(format!("and {} more fields (-o wide)", fields.len() - shown));
    }
    lines
}

/// How an object is looked at, if not by a watch.
pub fn listed(item: &Value) -> Option<String> {
    let listed = item["listed"].as_object()?;
    let seen = listed["asOf"].as_str().map_or("not yet".to_owned(), |at| format!("last at {at}"));
    Some(format!("looked at every {} s, {seen}", text(&listed["intervalSeconds"])))
}

/// An object that was taken over, in one line.
pub fn taken(item: &Value) -> String {
    let (cluster, object) = (text(&item["cluster"]), object(&item["object"]));
    let managers: Vec<String> = item["managers"].as_array().into_iter().flatten().map(text).collect();
    let from = if managers.is_empty() { "nobody".to_owned() } else { managers.join(", ") };
    format!("{cluster} {} {object} from {from}", app(item))
}

/// The reference of an item, as `-o name` prints it.
pub fn name(kind: Kind, item: &Value) -> String {
    let tenant = item["tenant"].as_str();
    let own = text(&item["name"]);
    let name = match (kind, tenant) {
        (Kind::Clusters, _) => format!("cluster/{own}"),
        (Kind::Tenants, _) => format!("tenant/{own}"),
        (Kind::Apps, tenant) => format!("app/{}/{own}", tenant.unwrap_or_default()),
        (Kind::Sources, None) => "source/fleet".to_owned(),
        (Kind::Sources, Some(tenant)) => format!("source/{tenant}/{own}"),
        (Kind::Drift, _) => format!("drift/{}", text(&item["id"])),
        (Kind::Holds, _) => format!("hold/{}", text(&item["id"])),
        _ => format!("event/{}", text(&item["id"])),
    };
    super::text::clean(&name)
}
