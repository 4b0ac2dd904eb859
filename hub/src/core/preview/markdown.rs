//! A preview as a comment on a pull request: the numbers and what is deleted in
//! sight, everything else folded, and no longer than a comment may be. Nothing
//! that comes from a repository can end a fold or begin a link.

use std::fmt::Write;

use super::text::{app, counts, object};
use super::{Action, Group, Preview, Summary};

/// Bytes of a comment: GitHub takes 65,536 characters, GitLab and Gitea more.
pub const COMMENT_BYTES: usize = 65_000;
/// Bytes kept for saying what was left out.
const LAST_WORDS: usize = 400;
/// Clusters named in a fold's title.
const NAMED: usize = 5;

/// The preview as GitHub-flavoured Markdown, at most `bytes` of it; none: all of it.
pub fn markdown(preview: &Preview, bytes: Option<usize>) -> String {
    let mut page =
        Page { out: String::new(), left_out: 0, limit: bytes.map(|bytes| bytes.saturating_sub(LAST_WORDS)) };
    page.put(&title(preview));
    for hold in &preview.holds {
        let line = format!(
            "- **held**: {}: {}; nothing of it happens until it is approved\n",
            hold.reason,
            code(&hold.message)
        );
        page.put(&line);
    }
    let deletes = || {
        let of = |group: &Group| group.objects.iter().any(|object| object.action == Action::Delete);
        preview.groups.iter().filter(move |group| of(group))
    };
    if deletes().next().is_some() {
        page.put("\n**Deletes**\n\n");
    }
    for group in deletes() {
        for one in group.objects.iter().filter(|object| object.action == Action::Delete) {
            let held = match one.held.as_str() {
                "Protected" => " (protected: will hold)",
                "OverBudget" => " (over the delete budget: will hold)",
                _ => "",
            };
            let on = clusters(group);
            page.put(&format!(
                "- {}{held} of {} on {on}\n",
                code(&one.key),
                code(&format!("{}/{}", group.tenant, group.app))
            ));
        }
    }
    for note in &preview.notes {
        page.put(&format!("\n- {}\n", code(&format!("{}: {}", note.source, note.note))));
    }
    page.put("\n");
    preview.groups.iter().for_each(|group| page.put(&fold(group)));
    for cut in &preview.cut {
        page.put(&format!("\nNot shown: {cut} (`--full`).\n"));
    }
    if page.left_out > 0 {
        let _ = write!(
            page.out,
            "\n{} more parts do not fit into a comment: run `rimward plan` to see them.\n",
            page.left_out
        );
    }
    page.out
}

/// What is written so far, in whole parts.
struct Page {
    out: String,
    left_out: usize,
    limit: Option<usize>,
}

impl Page {
    fn put(&mut self, part: &str) {
        if self.limit.is_some_and(|limit| self.out.len() + part.len() > limit) {
            self.left_out += 1;
        } else {
            self.out.push_str(part);
        }
    }
}

fn title(preview: &Preview) -> String {
    let Summary { clusters, create, change, delete, moved, keep, unchanged } = preview.summary;
    let mut out = String::from("### Rimward plan\n\n");
    if preview.groups.is_empty() {
        out.push_str("No changes.\n\n");
        return out;
    }
    let _ = writeln!(
        out,
        "{clusters} clusters: **{create}** created, **{change}** changed, **{delete}** deleted, {moved} moved, {unchanged} \
         unchanged objects.{}\n",
        if keep > 0 { format!(" {keep} are not wanted any more and stay.") } else { String::new() }
    );
    out
}

fn clusters(group: &Group) -> String {
    let names: Vec<String> = group.clusters.iter().take(NAMED).map(|name| code(name.as_str())).collect();
    match group.clusters.len().saturating_sub(NAMED) {
        0 => names.join(" "),
        more => format!("{} and {more} more", names.join(" ")),
    }
}

fn fold(group: &Group) -> String {
    let names: Vec<&str> = group.clusters.iter().take(NAMED).map(|name| name.as_str()).collect();
    let more = match group.clusters.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let mut body = String::new();
    if !group.unknown.is_empty() {
        let _ = writeln!(body, "? {}", group.unknown);
    }
    if !group.settings.is_empty() {
        let _ = write!(body, "~ how it is run\n{}", group.settings);
    }
    for one in &group.objects {
        let _ = write!(body, "{}\n{}", object(one), one.diff);
    }
    let title = format!("{} on {}{more}: {}", app(group), names.join(" "), counts(&[group]));
    format!("<details><summary>{}</summary>\n\n{}\n</details>\n\n", html(&title), block(&visible(&body)))
}

/// A fenced block that nothing in it can end.
fn block(text: &str) -> String {
    let fence = "`".repeat(longest_run(text).max(2) + 1);
    format!("{fence}diff\n{text}{}{fence}\n", if text.ends_with('\n') || text.is_empty() { "" } else { "\n" })
}

/// A code span that nothing in it can end, on one line.
fn code(text: &str) -> String {
    let text = visible(&text.replace('\n', " "));
    let fence = "`".repeat(longest_run(&text) + 1);
    format!("{fence} {text} {fence}")
}

fn longest_run(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}

fn html(text: &str) -> String {
    visible(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// What cannot be seen as an escape.
fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c != '\n' && crate::core::yaml::hidden(c) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}
