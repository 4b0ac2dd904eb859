//! Two lists of lines → a unified diff, in bounded time and space.

use similar::{Algorithm, DiffOp, DiffTag, capture_diff_slices, group_diff_ops};

/// Lines shown around a change: enough to see in what it is.
const CONTEXT: usize = 3;
/// Lines of each side, what they begin and end with in common left out, that are compared one by one. Work grows with
/// the square of what differs; beyond this all of one is shown as replaced by all of the other.
const LINES: usize = 4_000;

/// A unified diff.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Diff {
    /// Without file names; empty if both sides are the same.
    pub text: String,
    /// True if that is not all of it.
    pub cut: bool,
}

/// What is different: at most `bytes` of it, and then how much is left out.
pub(super) fn unified(before: &[String], after: &[String], bytes: usize) -> Diff {
    let (start, end) = common(before, after);
    let middle = |lines: &[String]| lines.len() - start - end;
    let ops = if middle(before).max(middle(after)) > LINES {
        replaced(start, middle(before), middle(after), end)
    } else {
        capture_diff_slices(Algorithm::Myers, before, after)
    };
    let mut lines = Vec::new();
    for hunk in group_diff_ops(ops, CONTEXT) {
        lines.push(header(&hunk));
        for op in hunk {
            let (tag, old, new) = op.as_tag_tuple();
            if tag == DiffTag::Equal {
                lines.extend(before[old].iter().map(|line| format!(" {line}")));
            } else {
                lines.extend(before[old].iter().map(|line| format!("-{line}")));
                lines.extend(after[new].iter().map(|line| format!("+{line}")));
            }
        }
    }
    bounded(&lines, bytes)
}

/// How many lines both begin and end with.
fn common(before: &[String], after: &[String]) -> (usize, usize) {
    let start = before.iter().zip(after).take_while(|(a, b)| a == b).count();
    let rest = before.len().min(after.len()) - start;
    let end = before.iter().rev().zip(after.iter().rev()).take(rest).take_while(|(a, b)| a == b).count();
    (start, end)
}

fn replaced(start: usize, old_len: usize, new_len: usize, end: usize) -> Vec<DiffOp> {
    let equal = |old_index, new_index, len| DiffOp::Equal { old_index, new_index, len };
    let ops = [
        equal(0, 0, start),
        DiffOp::Replace { old_index: start, old_len, new_index: start, new_len },
        equal(start + old_len, start + new_len, end),
    ];
    let empty = |op: &DiffOp| matches!(op, DiffOp::Equal { len: 0, .. });
    ops.into_iter().filter(|op| !empty(op)).collect()
}

fn header(hunk: &[DiffOp]) -> String {
    let side = |range: fn(&DiffOp) -> std::ops::Range<usize>| {
        let start = hunk.first().map_or(0, |op| range(op).start);
        let length = hunk.last().map_or(0, |op| range(op).end) - start;
        // As diff has it: lines count from 1, and an empty range names the line before it.
        format!("{},{length}", if length == 0 { start } else { start + 1 })
    };
    format!("@@ -{} +{} @@", side(|op| op.old_range()), side(|op| op.new_range()))
}

fn bounded(lines: &[String], bytes: usize) -> Diff {
    let mut out = String::new();
    for (number, line) in lines.iter().enumerate() {
        if out.len() + line.len() + 1 > bytes {
            out.push_str(&format!("… {} more lines\n", lines.len() - number));
            return Diff { text: out, cut: true };
        }
        out.push_str(line);
        out.push('\n');
    }
    Diff { text: out, cut: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn as_diff_writes_it() {
        let before = lines("a\nb\nc\nd\ne\nf\ng\nh\ni");
        let after = lines("a\nb\nc\nd\nE\nf\ng\nh\ni");
        let unified = |before: &[String], after: &[String], bytes| super::unified(before, after, bytes).text;
        assert_eq!(unified(&before, &after, 1 << 10), "@@ -2,7 +2,7 @@\n b\n c\n d\n-e\n+E\n f\n g\n h\n");
        assert_eq!(unified(&[], &lines("x"), 100), "@@ -0,0 +1,1 @@\n+x\n");
        assert_eq!(unified(&before, &before, 100), "");
    }

    #[test]
    fn what_is_too_much_is_bounded_and_says_so() {
        let many = |what: &str| (0..LINES + 1).map(|n| format!("{what}{n}")).collect::<Vec<_>>();
        let diff = unified(&many("a"), &many("b"), 1 << 20).text;
        assert!(diff.starts_with("@@ -1,4001 +1,4001 @@\n-a0\n"), "{}", &diff[..60]);
        assert!(diff.ends_with("+b4000\n"));
        let cut = unified(&many("a"), &many("b"), 100);
        assert!(cut.cut && cut.text.len() < 140 && cut.text.ends_with("more lines\n"), "{cut:?}");
    }
}
