//! CEL expressions of `health.cel`, as far as the hub looks at them: whether
//! they can be parsed. What they say is for the spoke, which sees the objects.

use std::panic::catch_unwind;

use cel::parser::Parser;
use rimward_proto::limits::EXPRESSION_BYTES;

/// Deepest nesting of parentheses, brackets and `? :`: far beyond what people write, and the parser recurses.
const NESTING: u16 = 24;
/// Stack of the parser, bytes: without optimisation one level of nesting takes 170 KiB, and a worker thread has 2 MiB.
const STACK: usize = 16 << 20;

/// Why a text is no expression; for people.
pub(super) fn refused(text: &str) -> Option<String> {
    if text.len() > EXPRESSION_BYTES {
        return Some(format!("is {} bytes long, it may have {EXPRESSION_BYTES}", text.len()));
    }
    // The parser has corners that panic; a tenant's text must not end the planning of a fleet.
    let parse = || catch_unwind(|| Parser::new().max_recursion_depth(NESTING).parse(text));
    let parsed = stacker::grow(STACK, parse);
    let Ok(parsed) = parsed else { return Some("is no CEL expression".to_owned()) };
    let errors = parsed.err()?.errors;
    let Some(first) = errors.first() else { return Some("is no CEL expression".to_owned()) };
    let message = first.msg.lines().next().unwrap_or_default();
    Some(format!("is no CEL expression: {message} (line {}, column {})", first.pos.0, first.pos.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_and_what_is_none() {
        for good in [
            "true",
            "object.status.phase == 'Running'",
            "object.status.conditions.exists(c, c.type == 'Ready' && c.status == 'True')",
            "has(object.status) ? size(object.status.items) > 0 : false",
        ] {
            assert_eq!(refused(good), None, "{good}");
        }
        for bad in ["", " ", "object.", "a ==", "(a", "a && ", "'open", "a b", "object.status[", "1 +", "{"] {
            let why = refused(bad).unwrap_or_else(|| panic!("{bad:?} was let through"));
            assert!(why.starts_with("is no CEL expression") && !why.contains('\n'), "{why}");
        }
        assert!(refused(&"a".repeat(EXPRESSION_BYTES + 1)).unwrap().contains("1025 bytes"));
    }

    /// Whatever is nested, chained or repeated up to the limit.
    #[test]
    fn nothing_overflows_the_stack() {
        let chains =
            ["(", "[", "{1:", "!", "-", "a.", "a?", "a[", "f(", "a&&", "a||", "1+", "a.b(", "a==", "~"];
        let shapes = chains.iter().flat_map(|piece| {
            let many = piece.repeat(EXPRESSION_BYTES / piece.len() - 1);
            [many.clone(), format!("{many}a")]
        });
        let nested = ["()", "[]"].map(|pair| {
            let (open, close) = pair.split_at(1);
            format!("{}a{}", open.repeat(500), close.repeat(500))
        });
        let loops = "a.all(x, ".repeat(60) + "x" + &")".repeat(60);
        let texts: Vec<String> = shapes.chain(nested).chain([loops]).collect();
        // Less than any thread of the hub has.
        stacker::grow(256 << 10, || texts.iter().for_each(|text| drop(refused(text))));
    }
}
