//! What an App says besides its manifests, as people write it: `variables`,
//! `images`, `patches` and `overrides`. The shapes of images and patches are
//! Kustomize's; what of them is not built is an error that says so.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::check::{Check, Shape};
use super::patch::{PatchFiles, patch};
use super::selector::selector;
use crate::core::changes::{Changes, Edits, Image, Override, Scalar, Values, Variable};
use crate::core::codes;
use crate::core::model::Selector;
use crate::core::yaml::{Entry, Node, Value};

const OVERRIDE: Shape = Shape {
    known: &["clusters", "patches", "images", "variables"],
    later: &["helm", "values", "valuesFiles"],
};
const IMAGE: Shape = Shape { known: &["name", "newName", "newTag", "digest"], later: &["tagSuffix"] };

/// Variables of one App, and of one cluster: people have a dozen; each is looked for in every text of the App.
const VARIABLES: usize = 200;
/// Bytes of a variable's text: certificates and keys in PEM are below it; a whole file belongs into a manifest.
const VARIABLE_BYTES: usize = 16 << 10;
/// Overrides of one App: each is held against all its clusters. With a name each they are those of a thousand clusters,
/// and what so many need belongs into their Cluster documents.
const OVERRIDES: usize = 1_000;
/// Patches of one App, those of its overrides included: each is held against each object in each of its forms.
const PATCHES: usize = 200;
/// Images of one App, those of its overrides included, for the same reason.
const IMAGES: usize = 1_000;
/// Bytes of a variable's name: what a label's name may have.
const NAME_BYTES: usize = 63;

/// What begins the names of built-in variables.
const BUILT_IN: &str = "cluster.";

/// Reads everything of an App's spec that changes its objects, and the selectors of its overrides with their nodes.
pub(super) fn changes<'n>(
    check: &mut Check<'_>,
    spec: &'n Node,
    files: &mut PatchFiles<'_>,
) -> (Changes, Vec<(&'n Node, Selector)>) {
    let declared = spec.get("variables").map(|node| variables(check, node));
    let edits = edits(check, spec, files);
    let (mut overrides, mut selectors) = (Vec::new(), Vec::new());
    if let Some(node) = spec.get("overrides") {
        for item in check.list(node, "`overrides`") {
            let Some((found, written)) = one_override(check, item, declared.as_ref(), files) else {
                continue;
            };
            selectors.push((written, found.clusters.clone()));
            overrides.push(found);
        }
    }
    let all = || std::iter::once(&edits).chain(overrides.iter().map(|one| &one.edits));
    let counts = [
        ("overrides", overrides.len(), OVERRIDES),
        ("patches", all().map(|edits| edits.patches.len()).sum::<usize>(), PATCHES),
        ("images", all().map(|edits| edits.images.len()).sum(), IMAGES),
    ];
    for (what, count, limit) in counts.into_iter().filter(|(_, count, limit)| count > limit) {
        let message = format!("an App may have {limit} {what}, its overrides included; this one has {count}");
        check.error(codes::TOO_LARGE, spec.at, message).help = "split the App".to_owned();
    }
    let files = files.used();
    (Changes { variables: declared, edits, overrides, files }, selectors)
}

fn variables(check: &mut Check<'_>, node: &Node) -> BTreeMap<String, Variable> {
    let mut found = BTreeMap::new();
    for entry in entries(check, node) {
        let value = value(check, entry);
        name(check, entry);
        let at = check.at(entry.at);
        found.insert(entry.key.clone(), Variable { value, at });
    }
    found
}

/// The `variables` of a cluster. What no App declares does no harm, and may be declared tomorrow.
pub(super) fn values(check: &mut Check<'_>, node: &Node) -> Values {
    let mut found = Values::new();
    for entry in entries(check, node) {
        let value = value(check, entry);
        name(check, entry);
        found.insert(entry.key.clone(), value);
    }
    found
}

fn entries<'n>(check: &mut Check<'_>, node: &'n Node) -> &'n [Entry] {
    let Value::Map(entries) = &node.value else {
        let message = format!("`variables` must be a mapping, not {}", node.kind());
        check.error(codes::VALUE, node.at, message).help = "write them as `name: value`".to_owned();
        return &[];
    };
    if entries.len() > VARIABLES {
        let message = format!("{} variables, there may be {VARIABLES}", entries.len());
        check.error(codes::TOO_LARGE, node.at, message).help = "take out what is not needed".to_owned();
        return &[];
    }
    entries
}

fn name(check: &mut Check<'_>, entry: &Entry) {
    let name = entry.key.as_str();
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    let good = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && name.bytes().all(inner);
    if name.starts_with(BUILT_IN) {
        let message = format!("`{name}` is built in or nothing: names with `{BUILT_IN}` are not to be set");
        check.error(codes::VALUE, entry.at, message).help =
            "built in are cluster.name and cluster.labels.LABEL; give yours another name".to_owned();
    } else if matches!(name, "true" | "false") {
        // Whoever writes `n: 3` declares no `n`.
        check.error(codes::VALUE, entry.at, format!("{name:?} is no variable's name")).help =
            "YAML reads y, n, yes, no, on and off as booleans: put the name in quotes".to_owned();
    } else if !good || name.len() > NAME_BYTES {
        let message = format!("{name:?} is no variable's name");
        check.error(codes::VALUE, entry.at, message).help =
            format!("at most {NAME_BYTES} of letters, digits, `_` and `-`, beginning with a letter or `_`");
    }
}

/// A variable's value; none for null, and for what is none.
fn value(check: &mut Check<'_>, entry: &Entry) -> Option<Scalar> {
    let Entry { key, node, .. } = entry;
    match &node.value {
        Value::Null => None,
        Value::Bool(value) => Some(Scalar::Bool(*value)),
        Value::Number(number) => Some(Scalar::Number(number.to_string())),
        Value::Text(text) if text.len() <= VARIABLE_BYTES => Some(Scalar::Text(text.clone())),
        Value::Text(text) => {
            let message = format!("variable `{key}` has {} bytes, it may have {VARIABLE_BYTES}", text.len());
            check.error(codes::TOO_LARGE, node.at, message).help = "put it into a manifest".to_owned();
            None
        }
        Value::List(_) | Value::Map(_) => {
            let message = format!("variable `{key}` is {}: a variable stands for one scalar", node.kind());
            check.error(codes::VALUE, node.at, message).help =
                "use one variable for each part, or a patch in an override".to_owned();
            None
        }
    }
}

fn one_override<'n>(
    check: &mut Check<'_>,
    node: &'n Node,
    declared: Option<&BTreeMap<String, Variable>>,
    files: &mut PatchFiles<'_>,
) -> Option<(Override, &'n Node)> {
    let node = check.mapping(node, "an override", &OVERRIDE)?;
    let written = check.required(node, "clusters", "an override")?;
    let clusters = selector(check, written);
    let edits = edits(check, node, files);
    let mut variables = Values::new();
    for entry in node.get("variables").map(|node| entries(check, node)).unwrap_or_default() {
        let value = value(check, entry);
        if declared.is_none_or(|declared| !declared.contains_key(&entry.key)) {
            let message = format!("`{}` is not declared in the App's `variables`", entry.key);
            check.error(codes::VALUE, entry.at, message).help =
                format!("declare it there, as in `variables: {{{}: null}}`, or correct the name", entry.key);
        }
        variables.insert(entry.key.clone(), value);
    }
    Some((Override { clusters, edits, variables, at: check.at(node.at) }, written))
}

fn edits(check: &mut Check<'_>, node: &Node, files: &mut PatchFiles<'_>) -> Edits {
    let mut edits = Edits::default();
    if let Some(list) = node.get("images") {
        let items = check.list(list, "`images`");
        edits.images = items.iter().filter_map(|item| image(check, item)).collect();
    }
    if let Some(list) = node.get("patches") {
        let items = check.list(list, "`patches`");
        edits.patches = items.iter().filter_map(|item| patch(check, item, files)).map(Arc::new).collect();
    }
    edits
}

fn image(check: &mut Check<'_>, node: &Node) -> Option<Image> {
    let node = check.mapping(node, "an image", &IMAGE)?;
    check.required(node, "name", "an image")?;
    let mut text = |key: &str| {
        let (text, at) = check.optional_text(node, key)?;
        if text.is_empty() || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            check.error(codes::VALUE, at, format!("`{key}` of an image cannot be {text:?}")).help =
                "write it as it stands in `image: NAME:TAG`".to_owned();
        }
        Some(text.to_owned())
    };
    let (name, new_name, new_tag, digest) = (text("name")?, text("newName"), text("newTag"), text("digest"));
    if digest.as_ref().is_some_and(|digest| !digest.contains(':')) {
        let at = node.get("digest").map_or(node.at, |node| node.at);
        check.error(codes::VALUE, at, "`digest` of an image must say its algorithm").help =
            "write it like sha256:24a0c4b4…".to_owned();
    }
    if new_name.is_none() && new_tag.is_none() && digest.is_none() {
        check.error(codes::MISSING, node.at, "an image needs `newName`, `newTag` or `digest`").help =
            "say what it becomes".to_owned();
    }
    Some(Image { name, new_name, new_tag, digest })
}

/// Names of files, for [`PatchFiles::used`].
pub(super) type FileNames = BTreeSet<String>;
