//! "Did you mean": what people write is strict on both sides, so both sides
//! name the nearest known name when a letter is missing.

/// Characters of the longest text that a name is suggested for: the comparison takes memory for each pair of characters,
/// and all our names are shorter.
const LONGEST: usize = 100;

/// The known name that `text` was probably meant to be: an edit or two away, more in longer texts.
pub fn closest<'k, K: AsRef<str> + ?Sized + 'k>(
    text: &str,
    known: impl IntoIterator<Item = &'k K>,
) -> Option<&'k str> {
    if text.chars().nth(LONGEST).is_some() {
        return None;
    }
    let text = text.to_lowercase();
    let tolerated = 1 + text.chars().count() / 4;
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&text, &name.as_ref().to_lowercase()), name.as_ref()))
        .filter(|(distance, _)| *distance <= tolerated)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// The message for a serde error about an unknown field, whose list of all fields helps nobody find the letter that is
/// missing; none for other errors.
pub fn explain(error: &str) -> Option<String> {
    let rest = error.split_once("unknown field `")?.1;
    let (unknown, rest) = rest.split_once('`')?;
    Some(match closest(unknown, rest.split('`').skip(1).step_by(2)) {
        Some(name) => format!("unknown field `{unknown}`, did you mean `{name}`?"),
        None => format!("unknown field `{unknown}`"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_only_what_is_near() {
        let known = ["namespace", "clusters", "path"];
        assert_eq!(closest("namespce", &known), Some("namespace"));
        assert_eq!(closest("pahts", &known), Some("path"));
        assert_eq!(closest("Clusters", &known), Some("clusters"));
        assert_eq!(closest("replicas", &known), None);
        assert_eq!(closest::<str>("x", []), None);
        assert_eq!(closest(&"namespace".repeat(100_000), &known), None);
    }

    #[test]
    fn reads_the_message_of_serde() {
        let text = "unknown field `clustr`, expected one of `cluster`, `hub` at line 1 column 1";
        assert_eq!(explain(text).unwrap(), "unknown field `clustr`, did you mean `cluster`?");
        let far = "unknown field `zzzzzzzz`, expected `hub` or `cluster`";
        assert_eq!(explain(far).unwrap(), "unknown field `zzzzzzzz`");
        assert_eq!(explain("missing field `hub`"), None);
    }
}
