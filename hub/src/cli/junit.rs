//! JUnit XML: what test reports of build servers read.

use std::collections::BTreeMap;

use rimward_hub::core::testing::{Outcome, Ran};

use super::notes::Files;

/// A report of these cases.
pub fn report(ran: &[Ran<'_>], files: Files<'_>) -> String {
    let mut suites: BTreeMap<&str, Vec<&Ran<'_>>> = BTreeMap::new();
    ran.iter().for_each(|ran| suites.entry(&ran.test.name).or_default().push(ran));
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    out.push_str(&format!("<testsuites name=\"rimward\"{}>\n", counts(ran.iter())));
    for (name, ran) in suites {
        let counts = counts(ran.iter().copied());
        out.push_str(&format!("  <testsuite name=\"{}\"{counts} skipped=\"0\">\n", escape(name)));
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        for ran in ran {
            let app = ran.case.app.to_string();
            let count = seen.entry(app.clone()).or_default();
            *count += 1;
            // Reports tell cases apart by their names.
            let case = if *count == 1 { app } else { format!("{app} #{count}") };
            out.push_str(&testcase(name, &case, ran, files));
        }
        out.push_str("  </testsuite>\n");
    }
    out.push_str("</testsuites>\n");
    out
}

fn counts<'r, 't: 'r>(ran: impl Iterator<Item = &'r Ran<'t>> + Clone) -> String {
    let count = |outcome| ran.clone().filter(|ran| ran.outcome == outcome).count();
    let (all, failures, errors) = (ran.clone().count(), count(Outcome::Failed), count(Outcome::Unknown));
    format!(" tests=\"{all}\" failures=\"{failures}\" errors=\"{errors}\"")
}

fn testcase(test: &str, case: &str, ran: &Ran<'_>, files: Files<'_>) -> String {
    let file = escape(&files.path(&ran.case.at.file));
    let head = format!(
        "    <testcase classname=\"{}\" name=\"{}\" file=\"{file}\" line=\"{}\"",
        escape(test),
        escape(case),
        ran.case.at.line
    );
    let element = match ran.outcome {
        Outcome::Passed => return format!("{head}/>\n"),
        Outcome::Failed => "failure",
        Outcome::Unknown => "error",
    };
    let first = escape(ran.why.first().map_or("", String::as_str));
    let all = escape(&ran.why.join("\n"));
    format!("{head}>\n      <{element} message=\"{first}\">{all}</{element}>\n    </testcase>\n")
}

/// Text as XML 1.0 can hold it, in elements and in attributes.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn whatever_a_name_has_in_it_is_text() {
        assert_eq!(escape("a<b>&\"c\"\n\u{1b}\u{0}é"), "a&lt;b&gt;&amp;&quot;c&quot;&#10;\u{fffd}\u{fffd}é");
    }
}
