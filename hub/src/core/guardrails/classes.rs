//! Clusters that are the same to a guardrail: what it does not look at makes no
//! difference, so that a rule is evaluated once for all of them.

use std::collections::{BTreeMap, HashMap};

use rimward_proto::expression::Paths;
use serde_json::Value;

use super::rules;
use crate::core::model::{Cluster, Guardrail};
use crate::core::select::{ClusterIndex, ClusterSet};

/// Not a cluster of the guardrail.
const NONE: u32 = u32::MAX;

/// The clusters that a guardrail is for, told apart as far as it can tell them apart.
#[derive(Debug)]
pub struct Classes {
    /// The class of each cluster, by its position; none of those it is not for.
    of: Vec<u32>,
    /// The classes, by their numbers.
    pub list: Vec<Class>,
    picked: ClusterSet,
}

/// Clusters that a guardrail cannot tell apart.
#[derive(Debug)]
pub struct Class {
    /// What it sees of them: says which class it is, whatever else changes in the fleet.
    pub key: String,
    /// One that stands for all of them; none if the guardrail does not look at clusters.
    pub example: Option<Cluster>,
}

impl Classes {
    /// The classes of the clusters that a guardrail is for; `clusters` are those of the index, in its order.
    pub fn new(guardrail: &Guardrail, index: &ClusterIndex, clusters: &[&Cluster]) -> Self {
        let picked = index.select(&guardrail.clusters);
        let reads = guardrail.rules.iter().filter_map(|rule| rule.expression.reads("cluster"));
        let paths: Vec<&Paths> = reads.collect();
        if paths.is_empty() {
            let one = Class { key: String::new(), example: None };
            return Self { of: Vec::new(), list: vec![one], picked };
        }
        let mut split = Split { of: vec![NONE; clusters.len()], keys: vec![Vec::new()] };
        picked.iter().for_each(|position| split.of[position] = 0);
        for path in paths.into_iter().flatten().collect::<std::collections::BTreeSet<_>>() {
            match path.as_slice() {
                // A label's value has no fields, so what is looked for in it is the same in all that have it.
                [labels, label, ..] if labels == "labels" => split.by_label(label, index),
                path => split.by_path(path, clusters),
            }
        }
        let mut examples: Vec<Option<Cluster>> = vec![None; split.keys.len()];
        for (position, class) in split.of.iter().enumerate().filter(|(_, class)| **class != NONE) {
            let example = &mut examples[*class as usize];
            if example.is_none() {
                *example = Some(clusters[position].clone());
            }
        }
        let class = |(key, example)| Class { key: Value::Array(key).to_string(), example };
        Self { of: split.of, list: split.keys.into_iter().zip(examples).map(class).collect(), picked }
    }

    /// Those of `positions` that the guardrail is for, by the numbers of their classes.
    pub fn split(&self, positions: &[u32]) -> BTreeMap<usize, Vec<u32>> {
        let mut split: BTreeMap<usize, Vec<u32>> = BTreeMap::new();
        for position in positions.iter().filter(|position| self.picked.contains(**position as usize)) {
            let class = self.of.get(*position as usize).map_or(0, |class| *class as usize);
            split.entry(class).or_default().push(*position);
        }
        split
    }
}

/// Clusters told apart by what was looked at so far.
struct Split {
    of: Vec<u32>,
    keys: Vec<Vec<Value>>,
}

impl Split {
    fn by_label(&mut self, label: &str, index: &ClusterIndex) {
        let mut values = vec![Value::Null];
        let mut of = vec![0; self.of.len()];
        for (value, having) in index.values(label) {
            having.iter().for_each(|position| of[position] = values.len());
            values.push(Value::from(value));
        }
        self.refine(&of, &values);
    }

    fn by_path(&mut self, path: &[String], clusters: &[&Cluster]) {
        let mut values = Vec::new();
        let mut known: HashMap<String, usize> = HashMap::new();
        let mut of = vec![0; self.of.len()];
        for (position, cluster) in clusters.iter().enumerate().filter(|(at, _)| self.of[*at] != NONE) {
            let value = seen_of(cluster, path);
            of[position] = *known.entry(value.to_string()).or_insert_with(|| {
                values.push(value);
                values.len() - 1
            });
        }
        self.refine(&of, &values);
    }

    fn refine(&mut self, of: &[usize], values: &[Value]) {
        let mut known: HashMap<(u32, usize), u32> = HashMap::new();
        let mut keys = Vec::new();
        for (class, value) in self.of.iter_mut().zip(of).filter(|(class, _)| **class != NONE) {
            let before = *class;
            *class = *known.entry((before, *value)).or_insert_with(|| {
                let key = &self.keys[before as usize];
                keys.push(key.iter().chain([&values[*value]]).cloned().collect());
                u32::try_from(keys.len() - 1).expect("there are fewer classes than clusters")
            });
        }
        self.keys = keys;
    }
}

/// What is at a path, in a list, so that nothing differs from null.
fn seen_of(cluster: &Cluster, path: &[String]) -> Value {
    if path.first().is_some_and(|first| first == "name") {
        return Value::from(cluster.name.as_str());
    }
    let mut at = &rules::cluster(cluster);
    for field in path {
        match at {
            Value::Object(map) => match map.get(field) {
                Some(value) => at = value,
                None => return Value::Array(Vec::new()),
            },
            // Nothing is in it, whatever it is.
            _ => break,
        }
    }
    Value::Array(vec![at.clone()])
}
