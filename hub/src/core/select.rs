//! Selectors over many clusters at once: an index from labels to sets of
//! clusters, so that a selector costs a few set operations and not a walk over
//! the fleet.

use std::collections::BTreeMap;

use rimward_proto::ClusterName;

use super::model::{Cluster, Operator, Requirement, Selector};

/// A set of clusters, by their position in a [`ClusterIndex`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClusterSet {
    words: Vec<u64>,
}

impl ClusterSet {
    fn empty(size: usize) -> Self {
        Self { words: vec![0; size.div_ceil(64)] }
    }

    fn full(size: usize) -> Self {
        let mut set = Self { words: vec![u64::MAX; size.div_ceil(64)] };
        if let Some(last) = set.words.last_mut().filter(|_| !size.is_multiple_of(64)) {
            *last = (1 << (size % 64)) - 1;
        }
        set
    }

    /// Adds the cluster at `position`.
    pub fn insert(&mut self, position: usize) {
        self.words[position / 64] |= 1 << (position % 64);
    }

    fn keep(&mut self, other: &Self) {
        self.words.iter_mut().zip(&other.words).for_each(|(word, other)| *word &= other);
    }

    /// Adds all of `other`.
    pub fn add(&mut self, other: &Self) {
        self.words.iter_mut().zip(&other.words).for_each(|(word, other)| *word |= other);
    }

    fn remove(&mut self, other: &Self) {
        self.words.iter_mut().zip(&other.words).for_each(|(word, other)| *word &= !other);
    }

    /// The clusters in both.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        self.keep(other);
        self
    }

    /// The clusters in it that are not in `other`.
    #[must_use]
    pub fn minus(mut self, other: &Self) -> Self {
        self.remove(other);
        self
    }

    /// True if the cluster at `position` is in it.
    pub fn contains(&self, position: usize) -> bool {
        self.words.get(position / 64).is_some_and(|word| word >> (position % 64) & 1 == 1)
    }

    /// True if some cluster is in both.
    pub fn meets(&self, other: &Self) -> bool {
        self.words.iter().zip(&other.words).any(|(word, other)| word & other != 0)
    }

    /// True if none is in it.
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// Positions of the clusters in it, ascending.
    pub fn iter(&self) -> impl Iterator<Item = usize> {
        self.words.iter().enumerate().flat_map(|(i, word)| {
            let mut rest = *word;
            std::iter::from_fn(move || {
                let bit = rest.trailing_zeros() as usize;
                (rest != 0).then(|| {
                    rest &= rest - 1;
                    i * 64 + bit
                })
            })
        })
    }
}

/// The fleet's clusters by name and by label.
#[derive(Debug, Clone, Default)]
pub struct ClusterIndex {
    names: Vec<ClusterName>,
    labels: BTreeMap<String, BTreeMap<String, ClusterSet>>,
}

impl ClusterIndex {
    /// An index of these clusters; positions follow the order of names.
    pub fn new(clusters: &BTreeMap<ClusterName, Cluster>) -> Self {
        let mut labels: BTreeMap<String, BTreeMap<String, ClusterSet>> = BTreeMap::new();
        for (position, cluster) in clusters.values().enumerate() {
            for (key, value) in &cluster.labels {
                let values = labels.entry(key.clone()).or_default();
                let set = values.entry(value.clone()).or_insert_with(|| ClusterSet::empty(clusters.len()));
                set.insert(position);
            }
        }
        Self { names: clusters.keys().cloned().collect(), labels }
    }

    /// The set of no cluster.
    pub fn none(&self) -> ClusterSet {
        ClusterSet::empty(self.names.len())
    }

    /// The names of a set, in order.
    pub fn named(&self, set: &ClusterSet) -> Vec<ClusterName> {
        set.iter().map(|position| self.names[position].clone()).collect()
    }

    /// All names, in order.
    pub fn names(&self) -> &[ClusterName] {
        &self.names
    }

    /// Where the cluster of that name is.
    pub fn position(&self, name: &ClusterName) -> Option<usize> {
        self.names.binary_search(name).ok()
    }

    /// The clusters a selector picks.
    pub fn select(&self, selector: &Selector) -> ClusterSet {
        let mut picked = ClusterSet::full(self.names.len());
        if let Some(names) = &selector.names {
            let mut named = ClusterSet::empty(self.names.len());
            names.iter().filter_map(|name| self.position(name)).for_each(|position| named.insert(position));
            picked.keep(&named);
        }
        for (key, value) in &selector.match_labels {
            picked.keep(&self.with(key, Some(std::slice::from_ref(value))));
        }
        for requirement in &selector.match_expressions {
            self.require(requirement, &mut picked);
        }
        picked
    }

    fn require(&self, requirement: &Requirement, picked: &mut ClusterSet) {
        let Requirement { key, operator, values } = requirement;
        match operator {
            Operator::In => picked.keep(&self.with(key, Some(values))),
            Operator::NotIn => picked.remove(&self.with(key, Some(values))),
            Operator::Exists => picked.keep(&self.with(key, None)),
            Operator::DoesNotExist => picked.remove(&self.with(key, None)),
        }
    }

    /// The values that a label has, each with the clusters that have it.
    pub fn values(&self, key: &str) -> impl Iterator<Item = (&str, &ClusterSet)> {
        self.labels.get(key).into_iter().flatten().map(|(value, clusters)| (value.as_str(), clusters))
    }

    /// Clusters that have the label with one of the values, or with any.
    fn with(&self, key: &str, values: Option<&[String]>) -> ClusterSet {
        let mut set = ClusterSet::empty(self.names.len());
        for (value, clusters) in self.labels.get(key).into_iter().flatten() {
            if values.is_none_or(|values| values.contains(value)) {
                set.add(clusters);
            }
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fleet(n: usize) -> BTreeMap<ClusterName, Cluster> {
        (0..n)
            .map(|i| {
                let name = ClusterName::new(format!("c{i:03}")).unwrap();
                let mut labels = BTreeMap::from([("n".to_owned(), (i % 3).to_string())]);
                if i % 2 == 0 {
                    labels.insert("even".to_owned(), String::new());
                }
                (
                    name.clone(),
                    Cluster { name, labels, variables: Default::default(), at: Default::default() },
                )
            })
            .collect()
    }

    fn expression(key: &str, operator: Operator, values: &[&str]) -> Selector {
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        let requirement = Requirement { key: key.to_owned(), operator, values };
        Selector { match_expressions: vec![requirement], ..Selector::default() }
    }

    #[test]
    fn picks_what_the_labels_say() {
        for size in [0, 1, 63, 64, 65, 130] {
            let index = ClusterIndex::new(&fleet(size));
            let check = |selector: &Selector, wanted: fn(usize) -> bool| {
                let picked: Vec<usize> = index.select(selector).iter().collect();
                assert_eq!(picked, (0..size).filter(|i| wanted(*i)).collect::<Vec<_>>(), "{selector:?}");
            };
            check(&Selector::default(), |_| true);
            check(&expression("n", Operator::In, &["0", "2"]), |i| i % 3 != 1);
            check(&expression("n", Operator::NotIn, &["0"]), |i| i % 3 != 0);
            check(&expression("even", Operator::Exists, &[]), |i| i % 2 == 0);
            check(&expression("even", Operator::DoesNotExist, &[]), |i| i % 2 == 1);
            check(&expression("none", Operator::NotIn, &["x"]), |_| true);
            let names = Some(vec![ClusterName::new("c001").unwrap(), ClusterName::new("zz").unwrap()]);
            check(&Selector { names, ..Selector::default() }, |i| i == 1);
            check(&Selector { names: Some(vec![]), ..Selector::default() }, |_| false);
            let match_labels =
                BTreeMap::from([("n".to_owned(), "0".to_owned()), ("even".to_owned(), String::new())]);
            check(&Selector { match_labels, ..Selector::default() }, |i| i % 6 == 0);
        }
    }
}
