//! JSON pointers (RFC 6901) of `drift.ignore`: which of them name a field that
//! may be left to others.

/// Prefix of keys that are ours to set.
const OURS: &str = "rimward.dev/";
/// Maps of `metadata` in which single keys may be left to others.
const KEYED: [&str; 2] = ["labels", "annotations"];
/// Lists of `metadata` that may be left to others.
const LISTS: [&str; 2] = ["finalizers", "ownerReferences"];

/// Why a path cannot be ignored, and what to do instead; none if it can.
pub(super) fn refused(path: &str) -> Option<(String, &'static str)> {
    let no = |why: &str, help| Some((format!("{path:?} {why}"), help));
    let Some(rest) = path.strip_prefix('/') else {
        return no("is no JSON pointer: it must begin with `/`", "write it like /spec/replicas");
    };
    let parts: Option<Vec<String>> = rest.split('/').map(unescape).collect();
    let Some(parts) = parts else {
        return no("has a `~` that is neither `~0` nor `~1`", "write `~` as ~0 and `/` as ~1");
    };
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    if parts.contains(&"") {
        return no("has an empty part", "write it like /spec/replicas");
    }
    match parts.as_slice() {
        ["apiVersion" | "kind", ..] => no("says what the object is", "take it out"),
        ["metadata"] => no("covers what Rimward needs itself", "name the fields below it"),
        ["metadata", map] if KEYED.contains(map) => {
            no("covers labels and annotations of Rimward", "name the keys one by one")
        }
        ["metadata", map, key] if KEYED.contains(map) && key.starts_with(OURS) => {
            no("is Rimward's own", "take it out")
        }
        ["metadata", map, _] if KEYED.contains(map) => None,
        ["metadata", map, _, ..] if KEYED.contains(map) => {
            no("goes below a key, where there is nothing", "a `/` within a key is written ~1")
        }
        ["metadata", list, ..] if LISTS.contains(list) => None,
        ["metadata", ..] => no("says which object it is, or is the API server's own", "take it out"),
        _ => None,
    }
}

fn unescape(part: &str) -> Option<String> {
    let mut pieces = part.split('~');
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (escaped, rest) = piece.split_at_checked(1)?;
        out.push(match escaped {
            "0" => '~',
            "1" => '/',
            _ => return None,
        });
        out.push_str(rest);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_that_may_be_left_to_others() {
        for path in [
            "/spec/replicas",
            "/spec/template/spec/containers/0/image",
            "/data",
            "/metadata/labels/team",
            "/metadata/annotations/example.com~1note",
            "/metadata/finalizers",
            "/metadata/ownerReferences/0",
            "/spec/a~0b~1c",
            "/spec/metadata/name",
            "/spec/kind",
        ] {
            assert_eq!(refused(path), None, "{path}");
        }
    }

    #[test]
    fn fields_that_may_not() {
        for path in [
            "",
            "spec/replicas",
            "/",
            "/spec/",
            "/spec//x",
            "/spec/~",
            "/spec/~2",
            "/spec/~\u{e9}",
            "/apiVersion",
            "/kind",
            "/kind/x",
            "/metadata",
            "/metadata/name",
            "/metadata/namespace",
            "/metadata/uid",
            "/metadata/managedFields/0",
            "/metadata/labels",
            "/metadata/annotations",
            "/metadata/labels/rimward.dev~1app",
            "/metadata/annotations/rimward.dev~1prune",
            "/metadata/labels/rimward.dev/app",
        ] {
            let (why, help) = refused(path).unwrap_or_else(|| panic!("{path} was let through"));
            assert!(why.starts_with(&format!("{path:?} ")) && !help.is_empty(), "{why}");
        }
    }
}
