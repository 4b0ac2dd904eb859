//! Circles in a graph of Apps. Without recursion: how long a chain is, tenants
//! decide.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rimward_proto::AppId;

/// Whom each App waits for.
pub(super) type Graph = BTreeMap<AppId, BTreeSet<AppId>>;

/// Apps looked at to find the way round from one App: a longer one is read by nobody.
const LOOKED_AT: usize = 256;

/// The sets of Apps that wait for one another, each as large as it can be (strongly connected components of more than
/// one App, by Tarjan's algorithm).
pub(super) fn circles(graph: &Graph) -> Vec<BTreeSet<AppId>> {
    let names: Vec<&AppId> = graph.keys().collect();
    // An App that names nobody is in no circle, and has no number.
    let number = |id: &AppId| names.binary_search(&id).ok();
    let edges: Vec<Vec<usize>> = graph.values().map(|to| to.iter().filter_map(number).collect()).collect();
    let mut search = Search { edges: &edges, order: vec![None; names.len()], ..Search::default() };
    search.low = vec![0; names.len()];
    search.open = vec![false; names.len()];
    (0..names.len()).for_each(|node| search.from(node));
    let several = search.found.into_iter().filter(|component| component.len() > 1);
    several.map(|component| component.into_iter().map(|node| names[node].clone()).collect()).collect()
}

#[derive(Default)]
struct Search<'e> {
    edges: &'e [Vec<usize>],
    /// When each node was come to.
    order: Vec<Option<usize>>,
    /// The earliest node that can be come back to from each.
    low: Vec<usize>,
    /// Whether a node's component is not known yet; those nodes are on the stack.
    open: Vec<bool>,
    stack: Vec<usize>,
    seen: usize,
    found: Vec<Vec<usize>>,
}

impl Search<'_> {
    fn from(&mut self, root: usize) {
        if self.order[root].is_some() {
            return;
        }
        let mut way = vec![(root, 0)];
        self.come_to(root);
        while let Some((node, next)) = way.last_mut() {
            let node = *node;
            if let Some(&to) = self.edges[node].get(*next) {
                *next += 1;
                match self.order[to] {
                    None => {
                        self.come_to(to);
                        way.push((to, 0));
                    }
                    Some(order) if self.open[to] => self.low[node] = self.low[node].min(order),
                    Some(_) => {}
                }
                continue;
            }
            way.pop();
            if let Some((before, _)) = way.last() {
                self.low[*before] = self.low[*before].min(self.low[node]);
            }
            if Some(self.low[node]) == self.order[node] {
                let start = self.stack.iter().rposition(|open| *open == node).unwrap_or(0);
                let component = self.stack.split_off(start);
                component.iter().for_each(|node| self.open[*node] = false);
                self.found.push(component);
            }
        }
    }

    fn come_to(&mut self, node: usize) {
        (self.order[node], self.low[node], self.open[node]) = (Some(self.seen), self.seen, true);
        self.seen += 1;
        self.stack.push(node);
    }
}

/// A shortest way from an App through others of its circle back to it, both ends included; none if it is too long to be
/// worth reading.
pub(super) fn way_round(start: &AppId, graph: &Graph, circle: &BTreeSet<AppId>) -> Option<Vec<AppId>> {
    let mut came_from: BTreeMap<&AppId, &AppId> = BTreeMap::new();
    let mut next = VecDeque::from([start]);
    while let Some(at) = next.pop_front().filter(|_| came_from.len() < LOOKED_AT) {
        for to in graph.get(at).into_iter().flatten().filter(|to| circle.contains(to)) {
            if to == start {
                let mut way = vec![start.clone(), at.clone()];
                while let Some(before) = way.last().and_then(|last| came_from.get(last)) {
                    way.push((*before).clone());
                }
                way.reverse();
                return Some(way);
            }
            if !came_from.contains_key(to) {
                came_from.insert(to, at);
                next.push_back(to);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(n: usize) -> AppId {
        format!("t/a{n:05}").parse().unwrap()
    }

    fn graph(edges: &[(usize, usize)]) -> Graph {
        let mut graph = Graph::new();
        for (from, to) in edges {
            graph.entry(id(*from)).or_default().insert(id(*to));
        }
        graph
    }

    fn reaches(graph: &Graph, from: &AppId, to: &AppId) -> bool {
        let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
        while let Some(at) = next.pop() {
            for on in graph.get(at).into_iter().flatten() {
                if on == to {
                    return true;
                }
                if seen.insert(on) {
                    next.push(on);
                }
            }
        }
        false
    }

    proptest! {
        /// The circles are exactly the sets of Apps that reach each other, and the way round goes along the edges.
        #[test]
        fn circles_are_those_who_reach_each_other(edges in prop::collection::vec((0..9_usize, 0..9_usize), 0..24)) {
            let edges: Vec<_> = edges.into_iter().filter(|(from, to)| from != to).collect();
            let graph = graph(&edges);
            let found = circles(&graph);
            for (a, b) in (0..9).flat_map(|a| (0..9).map(move |b| (id(a), id(b)))).filter(|(a, b)| a != b) {
                let together = found.iter().any(|circle| circle.contains(&a) && circle.contains(&b));
                prop_assert_eq!(together, reaches(&graph, &a, &b) && reaches(&graph, &b, &a));
            }
            for circle in &found {
                for start in circle {
                    let way = way_round(start, &graph, circle).unwrap();
                    prop_assert_eq!((&way[0], way.last().unwrap()), (start, start));
                    prop_assert!(way.windows(2).all(|step| graph[&step[0]].contains(&step[1])));
                    let inner: BTreeSet<_> = way[1..].iter().collect();
                    prop_assert_eq!(inner.len() + 1, way.len(), "nobody twice");
                }
            }
        }
    }

    #[test]
    fn a_long_chain_and_a_long_circle_take_no_stack() {
        let chain: Vec<_> = (0..50_000).map(|n| (n, n + 1)).collect();
        assert!(circles(&graph(&chain)).is_empty());
        let circle: Vec<_> = chain.iter().copied().chain([(50_000, 0)]).collect();
        let graph = graph(&circle);
        let found = circles(&graph);
        assert_eq!((found.len(), found[0].len()), (1, 50_001));
        assert_eq!(way_round(&id(7), &graph, &found[0]), None);
    }
}
