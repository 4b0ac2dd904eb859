//! Every code that hub and spoke can say has its section in docs/errors.md, and
//! every section is of codes that exist.

use std::collections::BTreeSet;
use std::path::Path;

fn codes(text: &str) -> BTreeSet<String> {
    let starts = text.match_indices("RW").map(|(at, _)| &text[at..]);
    let digits = |code: &&str| code.len() == 6 && code[2..].bytes().all(|b| b.is_ascii_digit());
    starts.filter_map(|rest| rest.get(..6)).filter(digits).map(str::to_owned).collect()
}

fn all_codes(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all_codes(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.extend(codes(&std::fs::read_to_string(path).unwrap()));
        }
    }
}

#[test]
fn every_code_is_documented() {
    let hub = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut used = BTreeSet::new();
    all_codes(&hub.join("src"), &mut used);
    all_codes(&hub.join("../spoke/src"), &mut used);
    assert!(used.len() > 20, "{used:?}");
    let text = std::fs::read_to_string(hub.join("../docs/errors.md")).unwrap();
    let sections = text.lines().filter(|line| line.starts_with("## ")).flat_map(codes).collect();
    assert_eq!(used, sections, "codes in hub/src and spoke/src, and sections of docs/errors.md");
}
