//! The one selector that picks clusters, as it is written.

use rimward_proto::ClusterName;

use super::check::{Check, Shape};
use crate::core::codes;
use crate::core::model::{Operator, Requirement, Selector};
use crate::core::yaml::{Node, Value};

const SELECTOR: Shape = Shape { known: &["names", "matchLabels", "matchExpressions"], later: &["cel"] };
const REQUIREMENT: Shape = Shape { known: &["key", "operator", "values"], later: &[] };

/// Reads a selector; `{}` is all clusters.
pub(super) fn selector(check: &mut Check<'_>, node: &Node) -> Selector {
    let Some(node) = check.mapping(node, "`clusters`", &SELECTOR) else { return Selector::default() };
    let names = node.get("names").map(|_| {
        let names = check.texts(node, "names");
        names.into_iter().filter_map(|(name, at)| check.id(at, ClusterName::new(name))).collect()
    });
    let match_labels = node.get("matchLabels").map(|labels| super::labels(check, labels));
    let match_expressions = node.get("matchExpressions").map(|list| {
        let items = check.list(list, "`matchExpressions`");
        items.iter().filter_map(|item| requirement(check, item)).collect()
    });
    Selector {
        names,
        match_labels: match_labels.unwrap_or_default(),
        match_expressions: match_expressions.unwrap_or_default(),
    }
}

fn requirement(check: &mut Check<'_>, node: &Node) -> Option<Requirement> {
    let node = check.mapping(node, "a requirement", &REQUIREMENT)?;
    let key = check.required(node, "key", "a requirement")?;
    let key = check.text(key, "`key`")?.to_owned();
    let written = check.required(node, "operator", "a requirement")?;
    let operator = match check.text(written, "`operator`")? {
        "In" => Operator::In,
        "NotIn" => Operator::NotIn,
        "Exists" => Operator::Exists,
        "DoesNotExist" => Operator::DoesNotExist,
        other => {
            let message = format!("unknown operator `{other}`");
            check.error(codes::VALUE, written.at, message).help =
                "one of In, NotIn, Exists, DoesNotExist".to_owned();
            return None;
        }
    };
    let values: Vec<String> = check.texts(node, "values").into_iter().map(|(text, _)| text).collect();
    let wants_values = matches!(operator, Operator::In | Operator::NotIn);
    if wants_values == values.is_empty() {
        let message = if wants_values { "In and NotIn need `values`" } else { "Exists takes no `values`" };
        let help = if wants_values { "add them, as in `values: [a, b]`" } else { "take `values` out" };
        check.error(codes::VALUE, node.at, message).help = help.to_owned();
        return None;
    }
    Some(Requirement { key, operator, values })
}

/// Where a name of the selector is written, for a note about it.
pub(super) fn name_at(selector: &Node, name: &ClusterName) -> crate::core::yaml::Mark {
    let names = selector.get("names").map(|names| &names.value);
    let Some(Value::List(items)) = names else { return selector.at };
    items.iter().find(|item| item.text() == Some(name.as_str())).map_or(selector.at, |item| item.at)
}
