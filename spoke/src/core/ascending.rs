//! Looking up many keys of one table in their order. With 10,000 objects a search
//! for each costs more than everything else that is done about a small change;
//! neighbours cost a step.

use std::collections::BTreeMap;
use std::collections::btree_map::Range;
use std::iter::Peekable;

use rimward_proto::ObjectKey;

/// Neighbours looked at before the key is searched for: a search costs about as much, and where the keys are far apart
/// no more than it is lost.
const STEPS: usize = 8;

/// Looks keys up that come in ascending order.
pub(crate) struct Ascending<'a, V> {
    map: &'a BTreeMap<ObjectKey, V>,
    ahead: Peekable<Range<'a, ObjectKey, V>>,
}

impl<'a, V> Ascending<'a, V> {
    /// From the beginning of `map`.
    pub fn new(map: &'a BTreeMap<ObjectKey, V>) -> Self {
        Self { map, ahead: map.range::<ObjectKey, _>(..).peekable() }
    }

    /// What is at `key`, which is not before any key asked for earlier. A key out of order is not found.
    pub fn get(&mut self, key: &ObjectKey) -> Option<(&'a ObjectKey, &'a V)> {
        for _ in 0..STEPS {
            match self.ahead.peek().map(|(at, _)| (*at).cmp(key)) {
                Some(std::cmp::Ordering::Less) => drop(self.ahead.next()),
                Some(std::cmp::Ordering::Equal) => return self.ahead.peek().copied(),
                Some(std::cmp::Ordering::Greater) | None => return None,
            }
        }
        self.ahead = self.map.range(key..).peekable();
        self.ahead.peek().copied().filter(|(at, _)| *at == key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_a_search_finds() {
        let key = |i: usize| ObjectKey::new("", "ConfigMap", "a", format!("{i:04}"));
        let map: BTreeMap<ObjectKey, usize> = (0..500).filter(|i| i % 3 != 0).map(|i| (key(i), i)).collect();
        for stride in [1, 2, 5, 40, 499] {
            let mut ascending = Ascending::new(&map);
            for i in (0..520).step_by(stride) {
                let found = ascending.get(&key(i)).map(|(_, i)| *i);
                assert_eq!(found, map.get(&key(i)).copied(), "{i} by {stride}");
                // The same again is still there.
                assert_eq!(ascending.get(&key(i)).map(|(_, i)| *i), found);
            }
        }
    }
}
