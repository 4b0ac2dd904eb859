//! The refs of ours that follow the server's. A ref is a file, and one in the
//! place of another's folder cannot be made: a branch `a` that is gone on the
//! server must not be in the way of the branch `a/b`. So names are kept flat.

use crate::core::model::GitRef;

/// Where they are.
pub const PREFIX: &str = "refs/rimward/track/";
/// Bytes of one part of a ref's path: what file systems take, with room for a lock's ending.
const PART: usize = 200;

/// What is fetched, and the ref of ours that it goes to.
pub fn refspec(reference: &GitRef) -> String {
    match reference {
        GitRef::Head => format!("+HEAD:{PREFIX}HEAD"),
        GitRef::Branch(name) => format!("+refs/heads/{name}:{PREFIX}heads/{}", flat(name)),
        GitRef::Tag(name) => format!("+refs/tags/{name}:{PREFIX}tags/{}", flat(name)),
        GitRef::Commit(id) => format!("+{id}:{PREFIX}commits/{id}"),
    }
}

/// What a ref of ours follows.
pub fn tracked(name: &str) -> Option<GitRef> {
    let name = name.strip_prefix(PREFIX)?;
    if name == "HEAD" {
        return Some(GitRef::Head);
    }
    let (kind, rest) = name.split_once('/')?;
    match kind {
        "heads" => Some(GitRef::Branch(whole(rest))),
        "tags" => Some(GitRef::Tag(whole(rest))),
        "commits" => Some(GitRef::Commit(rest.to_owned())),
        _ => None,
    }
}

/// A name without folders. A long one gets some, each ending in `+`, as no file does.
fn flat(name: &str) -> String {
    let text = name.replace('%', "%25").replace('+', "%2B").replace('/', "%2F");
    let mut flat = String::with_capacity(text.len());
    let mut part = 0;
    for c in text.chars() {
        if part + c.len_utf8() > PART {
            flat.push_str("+/");
            part = 0;
        }
        flat.push(c);
        part += c.len_utf8();
    }
    flat
}

fn whole(flat: &str) -> String {
    flat.replace("+/", "").replace("%2F", "/").replace("%2B", "+").replace("%25", "%")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refs_of_ours_say_what_they_follow_and_are_in_nobodys_way() {
        let long = "ä/".repeat(200) + "x";
        let names = ["main", "a", "a/b", "a/b/c", "a+", "a+/b", "50%", "a%2Fb", long.as_str()];
        let mut refs = Vec::new();
        for name in names {
            for reference in [GitRef::Branch(name.into()), GitRef::Tag(name.into())] {
                let spec = refspec(&reference);
                let (_, ours) = spec.split_once(':').unwrap();
                assert_eq!(tracked(ours), Some(reference), "{ours}");
                assert!(ours.split('/').all(|part| part.len() <= PART + 1), "{ours}");
                refs.push(ours.to_owned());
            }
        }
        for one in &refs {
            assert!(!refs.iter().any(|other| other.starts_with(&format!("{one}/"))), "{one} is a folder too");
        }
        for reference in [GitRef::Head, GitRef::Commit("c".repeat(40))] {
            assert_eq!(tracked(refspec(&reference).split_once(':').unwrap().1), Some(reference));
        }
        assert_eq!(tracked("refs/rimward/track/other/x"), None);
        assert_eq!(tracked("refs/rimward/held/fleet"), None);
    }
}
