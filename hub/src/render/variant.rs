//! An App's objects in one of their variants: rendered once, with images replaced
//! and patches applied; and then, for each set of values, the forms of it. A
//! variant costs a render, a form only what variables touch.
//!
//! Everything that is changed goes through the reader of manifests again, so that
//! no patch and no value brings in what a file may not have. And it stays the
//! object that it was: kind, name, namespace, and what a
//! CustomResourceDefinition defines, are those of the file.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rimward_proto::ObjectKey;
use serde_json::Value as Json;

use super::manifest::manifest;
use super::plain::{Bundle, Rendered};
use super::variables::{self, Known};
use super::{RenderedObject, images, patches};
use crate::core::changes::{Edits, Image, Patch, Scalar, Variable};
use crate::core::codes;
use crate::core::model::App;
use crate::core::note::{Note, Notes, PER_APP, Severity};
use crate::core::scope::Scope;
use crate::core::yaml::{Entry, Mark, Node, Value};

/// One variant of an App.
#[derive(Debug)]
pub struct Variant {
    objects: Vec<Part>,
    /// The names of variables that its objects read, ascending.
    pub reads: Arc<[String]>,
    /// What the objects are called, ascending.
    pub keys: Arc<[ObjectKey]>,
    /// What is wrong with it; with an error there it has no forms.
    pub notes: Vec<Note>,
    variables: BTreeMap<String, Variable>,
    namespace: Option<String>,
}

#[derive(Debug)]
enum Part {
    /// The same in all forms.
    Whole(Arc<RenderedObject>),
    /// Different in each.
    Open { json: Arc<Json>, like: Arc<RenderedObject> },
}

/// One form of a variant.
#[derive(Debug)]
pub struct Form {
    /// Its bundle.
    pub bundle: Bundle,
    /// The objects that variables touch; the others are in [`Variant::whole`].
    pub open: Vec<RenderedObject>,
}

impl Variant {
    /// What the objects of an App are called, to be shared by its variants.
    pub fn keys(rendered: &Rendered) -> Arc<[ObjectKey]> {
        rendered.objects.keys().cloned().collect()
    }

    /// The variant of an App whose manifests go to the clusters as they are.
    pub fn plain(rendered: &Rendered, keys: Arc<[ObjectKey]>) -> Self {
        Self {
            objects: rendered.objects.values().cloned().map(Part::Whole).collect(),
            reads: Arc::default(),
            keys,
            notes: Vec::new(),
            variables: BTreeMap::new(),
            namespace: None,
        }
    }

    /// The variant that these lists of changes make, one after the other, of what an App's files have.
    pub fn new(app: &App, rendered: &Rendered, edits: &[&Edits], keys: Arc<[ObjectKey]>) -> Self {
        let images = images::laid_over(edits.iter().map(|edits| edits.images.as_slice()));
        let patches: Vec<&Patch> = edits.iter().flat_map(|edits| &edits.patches).map(AsRef::as_ref).collect();
        let declared = app.changes.variables.as_ref();
        let mut made = Making {
            namespace: app.namespace.as_deref(),
            known: declared.map(Known),
            images: &images,
            patches: &patches,
            used: BTreeSet::new(),
            reads: BTreeSet::new(),
            notes: Notes::new(PER_APP),
        };
        let mut objects = Vec::new();
        for (key, object) in &rendered.objects {
            let raw = rendered.raw.get(key);
            objects
                .extend(raw.map_or_else(|| Some(Part::Whole(object.clone())), |raw| made.part(object, raw)));
        }
        made.unused();
        Self {
            objects,
            reads: made.reads.into_iter().collect(),
            keys,
            notes: made.notes.into_vec(),
            variables: declared.cloned().unwrap_or_default(),
            namespace: app.namespace.clone(),
        }
    }

    /// The first thing that is wrong with it.
    pub fn first_error(&self) -> Option<&Note> {
        self.notes.iter().find(|note| note.severity == Severity::Error)
    }

    /// The objects that are the same in all forms.
    pub fn whole(&self) -> impl Iterator<Item = &Arc<RenderedObject>> {
        self.objects.iter().filter_map(|part| match part {
            Part::Whole(object) => Some(object),
            Part::Open { .. } => None,
        })
    }

    /// The form with these values, which are those of `reads` in that order.
    pub fn form(&self, values: &[Scalar]) -> Result<Form, Note> {
        let value = |name: &str| {
            let at = self.reads.binary_search_by(|read| read.as_str().cmp(name)).ok()?;
            values.get(at)
        };
        let mut open = Vec::new();
        for part in &self.objects {
            let Part::Open { json, like } = part else { continue };
            let filled = variables::substitute(json, Known(&self.variables), &value);
            let filled = filled.map_err(|why| refused(codes::VARIABLE, like, &why.0))?;
            open.push(object(&filled, like, self.namespace.as_deref(), codes::VARIABLE)?);
        }
        let mut next = open.iter();
        let all = self.objects.iter().filter_map(|part| match part {
            Part::Whole(object) => Some(object.as_ref()),
            Part::Open { .. } => next.next(),
        });
        match Bundle::of(all) {
            Ok(bundle) => Ok(Form { bundle, open }),
            Err(reason) => {
                let at = self.objects.first().map(|part| part.like().at.clone()).unwrap_or_default();
                Err(Note::error(codes::TOO_LARGE, at, reason).help("split the App"))
            }
        }
    }
}

impl Part {
    fn like(&self) -> &RenderedObject {
        match self {
            Part::Whole(like) | Part::Open { like, .. } => like,
        }
    }
}

struct Making<'m> {
    namespace: Option<&'m str>,
    known: Option<Known<'m>>,
    images: &'m [Image],
    patches: &'m [&'m Patch],
    /// Numbers of the patches that found an object.
    used: BTreeSet<usize>,
    reads: BTreeSet<String>,
    notes: Notes,
}

impl Making<'_> {
    /// An object of the variant; none if something is wrong with it, which is noted.
    fn part(&mut self, like: &Arc<RenderedObject>, raw: &Arc<Json>) -> Option<Part> {
        // Most objects are changed by nothing: they are not even copied.
        let mut json = raw.clone();
        let mut changed = images::concern(&json, self.images);
        if changed {
            images::replace(Arc::make_mut(&mut json), self.images);
        }
        for (number, patch) in self.patches.iter().enumerate() {
            if !patches::picks(&patch.target, like, &json) {
                continue;
            }
            self.used.insert(number);
            changed = true;
            if let Err(why) = patches::apply(&patch.edit, like, Arc::make_mut(&mut json)) {
                let message = format!("this patch cannot be applied to {}: {why}", like.key);
                let note = Note::error(codes::PATCH, patch.at.clone(), message);
                self.notes.push(note.help("correct the patch, or its target"));
                return None;
            }
        }
        if let Some(known) = self.known {
            if let Some((field, name)) = variables::in_identity(&json, known) {
                let why = format!("variable `{name}` in {field}");
                self.notes.push(refused(codes::VARIABLE, like, &why)).help =
                    "write it out: kind, name and namespace of an object are the same on all clusters of an App; \
                     `$${…}` stands for the text itself"
                        .to_owned();
                return None;
            }
            let found = variables::find(&json, known);
            if !found.reads.is_empty() {
                self.reads.extend(found.reads);
                return Some(Part::Open { json, like: like.clone() });
            }
            if found.any {
                // There are only escapes in it, and for those no value is asked.
                match variables::substitute(&json, known, &|_| None) {
                    Ok(plain) => (json, changed) = (Arc::new(plain), true),
                    Err(why) => {
                        self.notes.push(refused(codes::VARIABLE, like, &why.0));
                        return None;
                    }
                }
            }
        }
        if !changed {
            return Some(Part::Whole(like.clone()));
        }
        match object(&json, like, self.namespace, codes::PATCH) {
            Ok(object) => Some(Part::Whole(Arc::new(object))),
            Err(note) => {
                self.notes.push(note);
                None
            }
        }
    }

    /// Says so of patches that found nothing.
    fn unused(&mut self) {
        for (number, patch) in self.patches.iter().enumerate() {
            if self.used.contains(&number) {
                continue;
            }
            let message = "no object of the App is what this patch is for";
            let note = match patch.named {
                true => Note::error(codes::NO_MATCH, patch.at.clone(), message),
                false => Note::warning(codes::NO_MATCH, patch.at.clone(), message),
            };
            self.notes.push(note.help("correct its target, or take it out"));
        }
    }
}

fn refused(code: &str, like: &RenderedObject, why: &str) -> Note {
    Note::error(code, like.at.clone(), format!("{}: {why}", like.key)).help("correct it, or take it out")
}

/// The object that a changed document makes, read as a manifest is. It must be the one it was.
fn object(
    json: &Json,
    like: &RenderedObject,
    namespace: Option<&str>,
    code: &str,
) -> Result<RenderedObject, Note> {
    let mut notes = Notes::new(1);
    let at = Mark { line: like.at.line, column: like.at.column };
    let read = manifest(&like.at.file, &node(json, at), &mut notes);
    let Some(read) = read else {
        let why = notes.into_vec().into_iter().next();
        return Err(why.unwrap_or_else(|| refused(code, like, "it is no object any more")));
    };
    let same = (&read.group, &read.version, &read.kind, &read.name)
        == (&like.key.group, &like.version, &like.key.kind, &like.key.name)
        && read.defines() == like.defines.as_ref()
        && read.namespace.as_ref().is_none_or(|namespace| *namespace == like.key.namespace);
    if !same {
        let why = "a patch changes what an object says, and not which object it is or what it defines";
        return Err(refused(code, like, why));
    }
    let scope = if like.key.namespace.is_empty() { Scope::Cluster } else { Scope::Namespaced };
    // Without a namespace of its own it gets the one that it has in the files.
    let namespace = namespace.or_else(|| Some(like.key.namespace.as_str()).filter(|name| !name.is_empty()));
    read.finish(scope, namespace)
}

fn node(json: &Json, at: Mark) -> Node {
    let value = match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => Value::Number(number.clone()),
        Json::String(text) => Value::Text(text.clone()),
        Json::Array(items) => Value::List(items.iter().map(|item| node(item, at)).collect()),
        Json::Object(map) => {
            let entry =
                |(key, value): (&String, &Json)| Entry { key: key.clone(), at, node: node(value, at) };
            Value::Map(map.iter().map(entry).collect())
        }
    };
    Node { at, value }
}
