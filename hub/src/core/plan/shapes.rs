//! What an App was rendered to, in all its variants and forms, remembered between
//! plannings: a cluster that is new or changed costs its own form and no other.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use rimward_proto::{Digest, ObjectKey};

use super::cache::Counts;
use crate::core::changes::{Edits, Scalar};
use crate::core::guardrails;
use crate::core::model::{App, Tenant};
use crate::core::note::{Note, Notes, PER_APP, Severity};
use crate::render::plain::Rendered;
use crate::render::variant::{Form, Variant};

/// The variants of one App, by the numbers of the overrides whose images and patches are in them.
#[derive(Debug, Default)]
pub(super) struct Shapes {
    tenant: Option<Tenant>,
    keys: Option<Arc<[ObjectKey]>>,
    variants: BTreeMap<Vec<u16>, Shape>,
}

/// One variant, and the forms it has.
#[derive(Debug)]
pub(super) struct Shape {
    pub variant: Arc<Variant>,
    /// What guardrails say of the objects that are the same in all its forms.
    pub checked: Arc<Vec<Note>>,
    forms: HashMap<Arc<[Scalar]>, Known>,
    used: bool,
}

#[derive(Debug)]
struct Known {
    made: Result<Made, Note>,
    used: bool,
}

/// A form, without its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Made {
    pub digest: Digest,
    pub bytes: u64,
    pub objects: u64,
    /// Digests of the objects that variables touch.
    open: Arc<[Digest]>,
}

/// Forms put together in this planning, with their bytes: they may not be stored yet.
pub(super) type Fresh = BTreeMap<Digest, (Arc<Variant>, Form)>;

impl Shapes {
    /// Begins to resolve an App of this tenant.
    pub fn begin(&mut self, tenant: &Tenant) {
        if self.tenant.as_ref() != Some(tenant) {
            // What was checked against other bounds was not checked.
            self.variants.clear();
            self.tenant = Some(tenant.clone());
        }
    }

    /// The variant with the changes of these overrides.
    pub fn variant(
        &mut self,
        key: &[u16],
        app: &App,
        rendered: &Rendered,
        tenant: &Tenant,
        counts: &mut Counts,
    ) -> &mut Shape {
        if !self.variants.contains_key(key) {
            let keys = self.keys.get_or_insert_with(|| Variant::keys(rendered)).clone();
            let variant = match app.changes.is_empty() {
                true => Variant::plain(rendered, keys),
                false => {
                    counts.apps += 1;
                    let overrides =
                        key.iter().map(|number| &app.changes.overrides[usize::from(*number)].edits);
                    let edits: Vec<&Edits> = std::iter::once(&app.changes.edits).chain(overrides).collect();
                    Variant::new(app, rendered, &edits, keys)
                }
            };
            counts.checks += 1;
            let mut notes = Notes::new(PER_APP);
            notes.extend(variant.whole().flat_map(|object| guardrails::check(tenant, object)));
            let (variant, checked) = (Arc::new(variant), Arc::new(notes.into_vec()));
            let shape = Shape { variant, checked, forms: HashMap::new(), used: true };
            self.variants.insert(key.to_vec(), shape);
        }
        let shape = self.variants.get_mut(key).expect("it was just put there");
        shape.used = true;
        shape
    }

    /// Ends it: forgets what was not asked for.
    pub fn end(&mut self) {
        self.variants.retain(|_, shape| std::mem::take(&mut shape.used));
        for shape in self.variants.values_mut() {
            shape.forms.retain(|_, known| std::mem::take(&mut known.used));
        }
    }

    /// Digests of the bundles of all forms.
    pub fn bundles(&self) -> impl Iterator<Item = Digest> {
        let forms = self.variants.values().flat_map(|shape| shape.forms.values());
        forms.filter_map(|known| Some(known.made.as_ref().ok()?.digest))
    }

    /// Content of a form: an index or an object.
    pub fn content(&self, digest: &Digest) -> Option<Arc<[u8]>> {
        self.variants.values().find_map(|shape| shape.content(digest))
    }
}

impl Shape {
    /// The first thing that is wrong with all its forms.
    pub fn first_error(&self) -> Option<&Note> {
        let checked = self.checked.iter().filter(|note| note.severity == Severity::Error);
        self.variant.first_error().or_else(|| checked.into_iter().next())
    }

    /// The form with these values.
    pub fn form(
        &mut self,
        values: &Arc<[Scalar]>,
        tenant: &Tenant,
        fresh: &mut Fresh,
        counts: &mut Counts,
    ) -> &Result<Made, Note> {
        let variant = &self.variant;
        let known = self.forms.entry(values.clone()).or_insert_with(|| {
            counts.forms += 1;
            let made = variant.form(values).and_then(|form| checked(tenant, form)).map(|form| {
                let made = Made::of(&form);
                fresh.insert(made.digest, (variant.clone(), form));
                made
            });
            Known { made, used: true }
        });
        known.used = true;
        &known.made
    }

    fn content(&self, digest: &Digest) -> Option<Arc<[u8]>> {
        if let Some(object) = self.variant.whole().find(|object| object.sha256 == *digest) {
            return Some(object.bytes.clone());
        }
        let has = |made: &Made| made.digest == *digest || made.open.contains(digest);
        let found = self.forms.iter().find(|(_, known)| known.made.as_ref().is_ok_and(has));
        let form = self.variant.form(found?.0).ok()?;
        if form.bundle.digest == *digest {
            return Some(form.bundle.index);
        }
        form.open.into_iter().find(|object| object.sha256 == *digest).map(|object| object.bytes)
    }
}

impl Made {
    fn of(form: &Form) -> Self {
        let open = form.open.iter().map(|object| object.sha256).collect();
        let bundle = &form.bundle;
        Self { digest: bundle.digest, bytes: bundle.bytes, objects: bundle.objects, open }
    }
}

/// Guardrails look at what values made, too.
fn checked(tenant: &Tenant, form: Form) -> Result<Form, Note> {
    let notes = form.open.iter().flat_map(|object| guardrails::check(tenant, object));
    match notes.into_iter().find(|note| note.severity == Severity::Error) {
        Some(note) => Err(note),
        None => Ok(form),
    }
}
