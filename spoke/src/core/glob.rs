//! The one pattern language of scopes and ceilings: an exact text, or a prefix
//! followed by one trailing `*`.

pub use rimward_proto::object::is_kind;

/// True if `pattern` matches `text`.
pub fn matches(pattern: &str, text: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => text.starts_with(prefix),
        None => pattern == text,
    }
}

/// True if one of `patterns` matches `text`.
pub fn any_matches(patterns: &[String], text: &str) -> bool {
    patterns.iter().any(|pattern| matches(pattern, text))
}

/// True if everything that `inner` matches is matched by one of `outer` alone.
pub fn covers(outer: &[String], inner: &str) -> bool {
    outer.iter().any(|pattern| match (pattern.strip_suffix('*'), inner.strip_suffix('*')) {
        (Some(outer), Some(inner)) => inner.starts_with(outer),
        (None, Some(_)) => false,
        (_, None) => matches(pattern, inner),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        assert!(matches("shop-*", "shop-eu") && matches("*", "") && matches("a", "a"));
        assert!(!matches("shop-*", "shop") && !matches("a", "ab"));
        let outer = vec!["shop*".to_owned(), "pay".to_owned()];
        assert!(covers(&outer, "shop-*") && covers(&outer, "shop") && covers(&outer, "pay"));
        assert!(!covers(&outer, "*") && !covers(&outer, "pay*") && !covers(&outer, "sho*"));
        assert!(is_kind("Secret", "", "Secret") && is_kind("Deployment.apps", "apps", "Deployment"));
        assert!(
            is_kind("Deployment", "apps", "Deployment") && !is_kind("Deployment.x", "apps", "Deployment")
        );
    }
}
