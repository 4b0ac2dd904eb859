//! Some clusters of many. An App may have another form on each of 100,000
//! clusters: a set that holds few of them is a list, so that what they cost
//! together follows their number and not its square.

use crate::core::select::{ClusterIndex, ClusterSet};

/// A set of clusters, by their position in a [`ClusterIndex`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Places {
    /// Ascending.
    Few(Box<[u32]>),
    Many(ClusterSet),
}

impl Places {
    /// The clusters at these positions, in any order.
    pub fn of(mut positions: Vec<u32>, index: &ClusterIndex) -> Self {
        positions.sort_unstable();
        positions.dedup();
        // A position takes 32 times what a cluster takes in a set of all.
        if positions.len() * 32 <= index.names().len() {
            return Places::Few(positions.into());
        }
        let mut set = index.none();
        positions.into_iter().for_each(|position| set.insert(position as usize));
        Places::Many(set)
    }

    /// Their positions, ascending.
    pub fn iter(&self) -> Box<dyn Iterator<Item = usize> + '_> {
        match self {
            Places::Few(positions) => Box::new(positions.iter().map(|position| *position as usize)),
            Places::Many(set) => Box::new(set.iter()),
        }
    }

    /// Adds all of them to a set.
    pub fn add_to(&self, set: &mut ClusterSet) {
        match self {
            Places::Few(_) => self.iter().for_each(|position| set.insert(position)),
            Places::Many(all) => set.add(all),
        }
    }

    /// True if some cluster is in both.
    pub fn meets(&self, set: &ClusterSet) -> bool {
        match self {
            Places::Few(_) => self.iter().any(|position| set.contains(position)),
            Places::Many(all) => all.meets(set),
        }
    }
}

/// A position as it is kept: a fleet has far fewer than 2^32 clusters.
pub(super) fn short(position: usize) -> u32 {
    u32::try_from(position).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rimward_proto::ClusterName;

    use super::*;
    use crate::core::model::Cluster;

    #[test]
    fn few_and_many_answer_alike() {
        let cluster = |n: usize| {
            let name = ClusterName::new(format!("c{n:03}")).unwrap();
            let (labels, variables, at) = Default::default();
            (name.clone(), Cluster { name, labels, variables, at })
        };
        let index = ClusterIndex::new(&(0..200).map(cluster).collect::<BTreeMap<_, _>>());
        for positions in [vec![], vec![7], vec![199, 3, 3], (0..50).collect::<Vec<_>>()] {
            let places = Places::of(positions.clone(), &index);
            let mut set = index.none();
            positions.iter().for_each(|position| set.insert(*position as usize));
            assert_eq!(matches!(places, Places::Few(_)), positions.len() < 7);
            assert_eq!(places.iter().collect::<Vec<_>>(), set.iter().collect::<Vec<_>>());
            assert_eq!(places.meets(&set), !positions.is_empty());
            let mut added = index.none();
            places.add_to(&mut added);
            assert_eq!(added, set);
        }
    }
}
