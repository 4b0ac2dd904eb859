//! The query of a list: filters, and pages of at most a thousand. A parameter
//! nobody knows is refused, because a filter that is ignored shows too much.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rimward_proto::AppId;
use rimward_proto::report::State;

use super::problem::Problem;
use crate::core::model::{Operator, Requirement};

/// Items of a page at most: bounds one answer to about a megabyte.
pub const MAX_LIMIT: usize = 1_000;
/// Items of a page when nothing is asked for.
const DEFAULT_LIMIT: usize = 500;

/// A list's query, checked.
#[derive(Debug, Default, Clone)]
pub struct Query {
    /// Only of this tenant.
    pub tenant: Option<String>,
    /// Only of this App: its name, or `tenant/name`.
    pub app: Option<String>,
    /// Only of, or on, this cluster.
    pub cluster: Option<String>,
    /// Only clusters with these labels.
    pub labels: Vec<Requirement>,
    /// Only in this state.
    pub state: Option<State>,
    /// Stream what comes.
    pub watch: bool,
    pub(super) limit: Option<usize>,
    pub(super) after: Option<String>,
}

/// One page, and where the next begins.
#[derive(Debug)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// The token that asks for the next page; empty when this is the last.
    pub next: String,
}

impl<T> Page<T> {
    /// The same page of something else.
    pub fn map<U>(self, make: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(make).collect(), next: self.next }
    }
}

impl Query {
    /// Reads the pairs of a query; `allowed` are the filters that mean something for this list.
    pub fn parse(pairs: Vec<(String, String)>, allowed: &[&str]) -> Result<Self, Problem> {
        let mut query = Self::default();
        for (name, value) in pairs {
            if !allowed.contains(&name.as_str()) && !matches!(name.as_str(), "limit" | "continue") {
                let known = allowed.join(", ");
                return Err(Problem::bad_request(format!(
                    "unknown parameter `{name}`; this list takes {known}, limit, continue"
                )));
            }
            query.set(&name, value)?;
        }
        Ok(query)
    }

    fn set(&mut self, name: &str, value: String) -> Result<(), Problem> {
        match name {
            "tenant" => self.tenant = Some(value),
            "app" => self.app = Some(value),
            "cluster" => self.cluster = Some(value),
            "labels" => self.labels = labels(&value)?,
            "state" => {
                let names = State::ALL.map(State::as_str).join(", ");
                let state = State::parse(&value);
                let refused = || Problem::bad_request(format!("unknown state `{value}`; one of {names}"));
                self.state = Some(state.ok_or_else(refused)?);
            }
            "watch" if value.is_empty() || value == "true" => self.watch = true,
            "watch" if value == "false" => self.watch = false,
            "watch" => return Err(Problem::bad_request("watch is true or false")),
            "limit" => {
                let limit = value.parse().ok().filter(|n| (1..=MAX_LIMIT).contains(n));
                let refused = || Problem::bad_request(format!("limit is a number from 1 to {MAX_LIMIT}"));
                self.limit = Some(limit.ok_or_else(refused)?);
            }
            "continue" if value.is_empty() => self.after = None,
            "continue" => {
                let bytes = URL_SAFE_NO_PAD.decode(&value).ok();
                let after = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
                self.after = Some(after.ok_or_else(|| Problem::bad_request("not a continue token"))?);
            }
            _ => {}
        }
        Ok(())
    }

    /// True if the filters on names let this App through.
    pub fn admits_app(&self, id: &AppId) -> bool {
        let app = self.app.as_deref();
        self.admits_tenant(id.tenant.as_str())
            && app.is_none_or(|app| app == id.app.as_str() || app == id.to_string())
    }

    /// True if the filter on tenants lets this one through.
    pub fn admits_tenant(&self, tenant: &str) -> bool {
        self.tenant.as_deref().is_none_or(|wanted| wanted == tenant)
    }

    /// True if the filter on clusters lets this one through.
    pub fn admits_cluster(&self, cluster: &str) -> bool {
        self.cluster.as_deref().is_none_or(|wanted| wanted == cluster)
    }

    /// True if the filter on states lets this one through.
    pub fn admits_state(&self, state: State) -> bool {
        self.state.is_none_or(|wanted| wanted == state)
    }

    /// The page asked for, of items in the order of their keys: what comes or goes elsewhere moves nothing.
    pub fn page<T>(&self, items: Vec<(String, T)>) -> Page<T> {
        let start = match &self.after {
            Some(after) => items.partition_point(|(key, _)| key <= after),
            None => 0,
        };
        self.cut(items, start)
    }

    /// The page asked for, of items in the order they happened.
    pub fn page_in_time<T>(&self, items: Vec<(String, T)>) -> Result<Page<T>, Problem> {
        let Some(after) = &self.after else { return Ok(self.cut(items, 0)) };
        match items.iter().rposition(|(key, _)| key == after) {
            Some(at) => Ok(self.cut(items, at + 1)),
            None => Err(Problem::gone("the place this list stopped at is gone; list again")),
        }
    }

    fn cut<T>(&self, items: Vec<(String, T)>, start: usize) -> Page<T> {
        let limit = self.limit.unwrap_or(DEFAULT_LIMIT);
        let more = items.len() > start + limit;
        let (mut last, mut page) = (String::new(), Vec::new());
        for (key, item) in items.into_iter().skip(start).take(limit) {
            last = key;
            page.push(item);
        }
        Page { items: page, next: if more { URL_SAFE_NO_PAD.encode(last) } else { String::new() } }
    }
}

/// A key that sorts as its parts do: the separator is below every character of a name.
pub fn key(parts: &[&str]) -> String {
    parts.join("\0")
}

/// `a=b,c!=d,e,!f` as requirements.
fn labels(text: &str) -> Result<Vec<Requirement>, Problem> {
    text.split(',').map(|part| requirement(part.trim())).collect()
}

fn requirement(part: &str) -> Result<Requirement, Problem> {
    let (key, operator, value) = if let Some((key, value)) = part.split_once("!=") {
        (key, Operator::NotIn, Some(value))
    } else if let Some((key, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
        (key, Operator::In, Some(value))
    } else if let Some(key) = part.strip_prefix('!') {
        (key, Operator::DoesNotExist, None)
    } else {
        (part, Operator::Exists, None)
    };
    let ok = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
    if key.is_empty() || !key.chars().all(ok) || !value.unwrap_or_default().chars().all(ok) {
        return Err(Problem::bad_request(format!("`{part}` is none of key=value, key!=value, key, !key")));
    }
    let values = value.map(str::to_owned).into_iter().collect();
    Ok(Requirement { key: key.to_owned(), operator, values })
}

/// True if these labels meet all requirements.
pub fn matches(
    requirements: &[Requirement],
    labels: Option<&std::collections::BTreeMap<String, String>>,
) -> bool {
    requirements.iter().all(|requirement| {
        let value = labels.and_then(|labels| labels.get(&requirement.key));
        let listed = value.is_some_and(|value| requirement.values.contains(value));
        match requirement.operator {
            Operator::In => listed,
            Operator::NotIn => !listed,
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
        }
    })
}
