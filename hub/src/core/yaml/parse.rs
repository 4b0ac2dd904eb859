//! Parser events → [`Node`]s: anchors expanded within a budget, merge keys
//! expanded as kubectl does, duplicate keys and foreign tags refused.

use std::collections::{BTreeMap, HashMap};

use serde_saphyr::granit_parser::{self, Event, Parser, ScalarStyle, Span, StrInput, Tag};

use super::{BYTES, Budget, DEPTH, EXPANSION, Entry, Mark, Node, Value, YamlError, json, scalar};

/// The documents of a YAML or JSON text, empty ones left out.
pub fn parse(bytes: &[u8]) -> Result<Vec<Node>, YamlError> {
    let start = Mark { line: 1, column: 1 };
    if bytes.len() > BYTES {
        return fail(start, format!("the file has {} bytes, one may have {BYTES}: split it", bytes.len()));
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|_| YamlError { at: start, message: "the file is not UTF-8".to_owned() })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    // As kubectl does: what looks like JSON is read as JSON, which knows escapes that YAML does not; what is not JSON
    // after all may still be a YAML flow mapping.
    if text.trim_start().starts_with('{')
        && let Some(documents) = json::parse(text)?
    {
        return Ok(documents);
    }
    yaml(text)
}

fn yaml(text: &str) -> Result<Vec<Node>, YamlError> {
    let options = granit_parser::options! { emit_comments: false };
    let mut reader = Reader {
        events: Parser::new_from_str_with_options(text, options),
        anchors: HashMap::new(),
        expanded: 0,
        anchored: 0,
        weight: text.len().saturating_mul(EXPANSION),
        budget: Budget::new(),
    };
    let mut documents = Vec::new();
    while let Some((event, span)) = reader.next()? {
        if let Event::DocumentStart(..) = event {
            reader.budget.document().or_else(|message| fail(mark(span), message))?;
            reader.anchors.clear();
            let (event, span) = reader.expect(span)?;
            let node = reader.node(event, span, 1)?.node;
            if node.value != Value::Null {
                documents.push(node);
            }
        }
    }
    Ok(documents)
}

struct Reader<'t> {
    events: Parser<'t, StrInput<'t>>,
    anchors: HashMap<usize, Sized>,
    /// Weight of all that aliases brought in, of all that is kept for aliases, and what each may be.
    expanded: usize,
    anchored: usize,
    weight: usize,
    budget: Budget,
}

/// A node with what it weighs (about its length as text), of how many nodes it is and how deep.
#[derive(Clone)]
struct Sized {
    node: Node,
    weight: usize,
    nodes: usize,
    depth: usize,
}

fn mark(span: Span) -> Mark {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Mark { line: number(span.start.line()), column: number(span.start.col()).saturating_add(1) }
}

fn fail<T>(at: Mark, message: impl Into<String>) -> Result<T, YamlError> {
    Err(YamlError { at, message: message.into() })
}

impl<'t> Reader<'t> {
    fn next(&mut self) -> Result<Option<(Event<'t>, Span)>, YamlError> {
        self.events.next_event().transpose().map_err(|error| {
            let at = mark(Span::empty(*error.marker()));
            YamlError { at, message: format!("not YAML: {}", error.info()) }
        })
    }

    fn expect(&mut self, span: Span) -> Result<(Event<'t>, Span), YamlError> {
        match self.next()? {
            Some(next) => Ok(next),
            None => fail(mark(span), "the document ends too early"),
        }
    }

    fn node(&mut self, event: Event<'t>, span: Span, depth: usize) -> Result<Sized, YamlError> {
        let at = mark(span);
        if depth > DEPTH {
            return fail(at, format!("nested deeper than {DEPTH}"));
        }
        if let Event::Alias(id) = event {
            return self.alias(id, at, depth);
        }
        self.budget.nodes(1).or_else(|message| fail(at, message))?;
        let (sized, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let node = scalar_node(&text, style, tag.as_deref(), at)?;
                (Sized { node, weight: text.len() + 1, nodes: 1, depth: 1 }, anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                check_tag(tag.as_deref(), "seq", at)?;
                (self.list(at, span, depth)?, anchor)
            }
            Event::MappingStart(_, anchor, tag) => {
                check_tag(tag.as_deref(), "map", at)?;
                (self.map(at, span, depth)?, anchor)
            }
            _ => return fail(at, "expected a value"),
        };
        if anchor != 0 {
            // What an anchor keeps is a copy, and one within another is kept twice.
            self.anchored += sized.weight;
            if self.anchored > self.weight {
                let message = format!("anchors within anchors hold more than {EXPANSION} times the file");
                return fail(at, message);
            }
            self.budget.nodes(sized.nodes).or_else(|message| fail(at, message))?;
            self.anchors.insert(anchor, sized.clone());
        }
        Ok(sized)
    }

    fn alias(&mut self, id: usize, at: Mark, depth: usize) -> Result<Sized, YamlError> {
        let Some(target) = self.anchors.get(&id) else {
            return fail(at, "an alias inside its own anchor");
        };
        self.expanded += target.weight;
        if self.expanded > self.weight {
            return fail(at, format!("aliases expand to more than {EXPANSION} times the file"));
        }
        if depth + target.depth > DEPTH + 1 {
            return fail(at, format!("nested deeper than {DEPTH}"));
        }
        self.budget.nodes(target.nodes).or_else(|message| fail(at, message))?;
        let mut sized = target.clone();
        sized.node.at = at;
        Ok(sized)
    }

    fn list(&mut self, at: Mark, span: Span, depth: usize) -> Result<Sized, YamlError> {
        let (mut items, mut weight, mut nodes, mut deepest) = (Vec::new(), 1, 1, 0);
        loop {
            let (event, span) = self.expect(span)?;
            if let Event::SequenceEnd = event {
                let node = Node { at, value: Value::List(items) };
                return Ok(Sized { node, weight, nodes, depth: deepest + 1 });
            }
            let item = self.node(event, span, depth + 1)?;
            weight += item.weight;
            nodes += item.nodes;
            deepest = deepest.max(item.depth);
            items.push(item.node);
        }
    }

    fn map(&mut self, at: Mark, span: Span, depth: usize) -> Result<Sized, YamlError> {
        let (mut entries, mut weight, mut nodes, mut deepest) = (Entries::default(), 1, 1, 0);
        loop {
            let (event, span) = self.expect(span)?;
            if let Event::MappingEnd = event {
                let node = Node { at, value: Value::Map(entries.list) };
                return Ok(Sized { node, weight, nodes, depth: deepest + 1 });
            }
            let key_at = mark(span);
            let merge = is_merge(&event);
            let key = self.node(event, span, depth + 1)?;
            let (event, span) = self.expect(span)?;
            let value = self.node(event, span, depth + 1)?;
            weight += key.weight + value.weight;
            nodes += key.nodes + value.nodes;
            deepest = deepest.max(value.depth);
            if merge {
                entries.merge(value.node)?;
                continue;
            }
            let text = scalar::key(key.node.value).or_else(|message| fail(key_at, message))?;
            entries.own(Entry { key: text, at: key_at, node: value.node })?;
        }
    }
}

/// The entries of a mapping under construction.
#[derive(Default)]
struct Entries {
    list: Vec<Entry>,
    /// Where each key is in `list`, and whether the mapping itself wrote it.
    index: BTreeMap<String, (usize, bool)>,
}

impl Entries {
    fn own(&mut self, entry: Entry) -> Result<(), YamlError> {
        if let Some((_, true)) = self.index.get(&entry.key) {
            return fail(entry.at, format!("key `{}` is there twice", entry.key));
        }
        self.put(entry, true);
        Ok(())
    }

    /// In the order of the text, as go-yaml v2 does: a merge after a key wins over the key.
    fn merge(&mut self, node: Node) -> Result<(), YamlError> {
        let maps = match node.value {
            Value::Map(entries) => vec![entries],
            Value::List(items) => items
                .into_iter()
                .rev()
                .map(|item| match item.value {
                    Value::Map(entries) => Ok(entries),
                    _ => fail(item.at, "a merge key needs mappings"),
                })
                .collect::<Result<_, _>>()?,
            _ => return fail(node.at, "a merge key needs a mapping"),
        };
        for entry in maps.into_iter().flatten() {
            self.put(entry, false);
        }
        Ok(())
    }

    fn put(&mut self, entry: Entry, own: bool) {
        match self.index.get_mut(&entry.key) {
            Some((at, was_own)) => {
                *was_own |= own;
                self.list[*at] = entry;
            }
            None => {
                self.index.insert(entry.key.clone(), (self.list.len(), own));
                self.list.push(entry);
            }
        }
    }
}

fn is_merge(event: &Event<'_>) -> bool {
    match event {
        Event::Scalar(text, style, _, tag) if text == "<<" => match tag {
            None => *style == ScalarStyle::Plain,
            Some(tag) => suffix(tag) == Some("merge"),
        },
        _ => false,
    }
}

fn suffix(tag: &Tag) -> Option<&str> {
    (tag.handle() == "tag:yaml.org,2002:").then(|| tag.suffix())
}

fn scalar_node(text: &str, style: ScalarStyle, tag: Option<&Tag>, at: Mark) -> Result<Node, YamlError> {
    let value = match tag {
        None if style == ScalarStyle::Plain => scalar::plain(text),
        None => Ok(Value::Text(text.to_owned())),
        Some(tag) if (tag.handle(), tag.suffix()) == ("", "!") => Ok(Value::Text(text.to_owned())),
        Some(tag) => match suffix(tag) {
            Some("merge") if text == "<<" => Ok(Value::Text(text.to_owned())),
            Some(suffix) => scalar::tagged(suffix, text),
            None => Err("unknown tag"),
        },
    };
    value.map(|value| Node { at, value }).or_else(|message| fail(at, message))
}

fn check_tag(tag: Option<&Tag>, wanted: &str, at: Mark) -> Result<(), YamlError> {
    match tag {
        Some(tag) if suffix(tag) != Some(wanted) && tag.suffix() != "!" => fail(at, "unknown tag"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::yaml::{DOCUMENTS, NODES};

    fn refused(text: &str) -> String {
        parse(text.as_bytes()).unwrap_err().message
    }

    #[test]
    fn anchors_within_anchors_are_counted() {
        let nested = |levels: usize, inner: &str| {
            let open: String = (0..levels).map(|n| format!("&a{n} [")).collect();
            format!("{open}{inner}{}", "]".repeat(levels))
        };
        assert!(parse(nested(8, &"x,".repeat(60_000)).as_bytes()).is_ok());
        let many = nested(8, &"x,".repeat(200_000));
        assert_eq!(refused(&many), format!("more than {NODES} values in one file"));
        let long = "x".repeat(1 << 20);
        assert!(refused(&nested(20, &long)).starts_with("anchors within anchors hold more than 10 times"));
        assert!(
            parse(nested(20, "x").as_bytes()).is_ok(),
            "what is small may be nested as deep as one likes"
        );
    }

    #[test]
    fn files_documents_and_values_are_bounded() {
        for text in [format!("[{}]", "1,".repeat(NODES)), format!("{{\"a\": [{}1]}}", "1,".repeat(NODES))] {
            assert_eq!(refused(&text), format!("more than {NODES} values in one file"));
        }
        for text in ["{}", "--- x\n"] {
            let documents = |n: usize| parse(text.repeat(n).as_bytes()).map(|documents| documents.len());
            assert_eq!(documents(DOCUMENTS), Ok(DOCUMENTS));
            let refused = documents(DOCUMENTS + 1).unwrap_err().message;
            assert_eq!(refused, format!("more than {DOCUMENTS} documents in one file"));
        }
        assert!(refused(&" ".repeat(BYTES + 1)).ends_with("split it"));
    }
}
