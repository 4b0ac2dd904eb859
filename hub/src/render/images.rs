//! Images, replaced as Kustomize does: every `image` in a list of containers, at
//! any depth, except in CustomResourceDefinitions, which only describe some.

use serde_json::Value as Json;

use crate::core::changes::Image;

/// Lists of containers, by the name of their field.
const CONTAINERS: [&str; 3] = ["containers", "initContainers", "ephemeralContainers"];

/// True if there is an image in an object that is to be replaced.
pub fn concern(object: &Json, images: &[Image]) -> bool {
    let definition = object.get("kind").and_then(Json::as_str) == Some("CustomResourceDefinition");
    !images.is_empty()
        && !definition
        && any(object, &|reference| images.iter().any(|i| split(reference).0 == i.name))
}

/// Replaces images in an object, one after the other.
pub fn replace(object: &mut Json, images: &[Image]) {
    walk(object, &mut |reference| {
        for image in images {
            if let Some(new) = replaced(reference, image) {
                *reference = new;
            }
        }
    });
}

/// True if `is` holds of any image of a container.
fn any(value: &Json, is: &dyn Fn(&str) -> bool) -> bool {
    match value {
        Json::Array(items) => items.iter().any(|item| any(item, is)),
        Json::Object(map) => map.iter().any(|(key, value)| {
            let containers = CONTAINERS.contains(&key.as_str()).then(|| value.as_array()).flatten();
            let mut images = containers.into_iter().flatten().filter_map(|item| item.get("image")?.as_str());
            images.any(is) || any(value, is)
        }),
        _ => false,
    }
}

fn walk(value: &mut Json, see: &mut dyn FnMut(&mut String)) {
    match value {
        Json::Array(items) => items.iter_mut().for_each(|item| walk(item, see)),
        Json::Object(map) => {
            for (key, value) in map {
                walk(value, see);
                let Json::Array(items) = value else { continue };
                if CONTAINERS.contains(&key.as_str()) {
                    for item in items {
                        if let Some(Json::String(reference)) = item.get_mut("image") {
                            see(reference);
                        }
                    }
                }
            }
        }
        _ => {}
    }
}

/// Name, tag and digest of an image.
fn split(reference: &str) -> (&str, Option<&str>, Option<&str>) {
    let (rest, digest) = match reference.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (reference, None),
    };
    // A colon before a slash is that of a registry's port.
    let from = rest.rfind('/').map_or(0, |slash| slash + 1);
    match rest[from..].find(':').map(|at| from + at) {
        Some(at) => (&rest[..at], Some(&rest[at + 1..]), digest),
        None => (rest, None, digest),
    }
}

/// What an image becomes; none if it is another one.
fn replaced(reference: &str, image: &Image) -> Option<String> {
    let (name, tag, digest) = split(reference);
    if name != image.name {
        return None;
    }
    // A tag or a digest that is given replaces both of what was there.
    let (tag, digest) = match (image.new_tag.as_deref(), image.digest.as_deref()) {
        (None, None) => (tag, digest),
        (tag, digest) => (tag, digest),
    };
    let mut new = image.new_name.clone().unwrap_or_else(|| name.to_owned());
    for (mark, part) in [(':', tag), ('@', digest)] {
        if let Some(part) = part {
            new.push(mark);
            new.push_str(part);
        }
    }
    Some(new)
}

/// The images of several lists as one: a later entry for the same name is laid over the earlier one, and a tag or digest
/// it gives replaces both.
pub fn laid_over<'i>(lists: impl IntoIterator<Item = &'i [Image]>) -> Vec<Image> {
    let mut all: Vec<Image> = Vec::new();
    for list in lists {
        // Within one list they are applied one after the other, as in Kustomize.
        let before = all.len();
        for image in list {
            let Some(known) = all[..before].iter_mut().find(|known| known.name == image.name) else {
                all.push(image.clone());
                continue;
            };
            if image.new_name.is_some() {
                known.new_name.clone_from(&image.new_name);
            }
            if image.new_tag.is_some() || image.digest.is_some() {
                (known.new_tag, known.digest) = (image.new_tag.clone(), image.digest.clone());
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(name: &str, new_name: &str, new_tag: &str, digest: &str) -> Image {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let (new_name, new_tag, digest) = (some(new_name), some(new_tag), some(digest));
        Image { name: name.to_owned(), new_name, new_tag, digest }
    }

    #[test]
    fn references_are_taken_apart_as_kustomize_does() {
        for (reference, change, wanted) in [
            ("nginx", image("nginx", "", "2", ""), Some("nginx:2")),
            ("nginx:1", image("nginx", "", "2", ""), Some("nginx:2")),
            ("nginx:1@sha256:aa", image("nginx", "", "2", ""), Some("nginx:2")),
            ("nginx:1@sha256:aa", image("nginx", "mine", "", ""), Some("mine:1@sha256:aa")),
            ("nginx:1", image("nginx", "", "", "sha256:bb"), Some("nginx@sha256:bb")),
            ("nginx:1", image("nginx", "", "2", "sha256:bb"), Some("nginx:2@sha256:bb")),
            ("reg:5000/a/nginx:1", image("reg:5000/a/nginx", "b", "", ""), Some("b:1")),
            ("reg:5000/nginx", image("reg", "b", "", ""), None),
            ("nginx-x:1", image("nginx", "", "2", ""), None),
            ("x/nginx:1", image("nginx", "", "2", ""), None),
            ("", image("nginx", "", "2", ""), None),
        ] {
            assert_eq!(replaced(reference, &change).as_deref(), wanted, "{reference}");
        }
    }

    #[test]
    fn later_lists_win_by_name() {
        let app = [image("nginx", "mirror/nginx", "1", ""), image("redis", "", "7", "")];
        let eu = [image("nginx", "", "", "sha256:bb")];
        let prod = [image("redis", "r", "", ""), image("other", "", "1", "")];
        let all = laid_over([&app[..], &eu, &prod]);
        let wanted = [
            image("nginx", "mirror/nginx", "", "sha256:bb"),
            image("redis", "r", "7", ""),
            image("other", "", "1", ""),
        ];
        assert_eq!(all, wanted);
    }
}
