//! Which keys of JSON objects lead to the wanted fields.

use crate::record::Field;

/// The wanted keys as a tree: the root is a record, each other node a key within the node above.
#[derive(Debug)]
pub(crate) struct Plan {
    nodes: Vec<Node>,
}

/// A key on the way to a wanted field, or of one.
#[derive(Debug, Default)]
pub(crate) struct Node {
    key: String,
    /// The keys from the record to here, joined by full stops.
    pub(crate) path: String,
    /// The wanted fields that this key holds, by number.
    pub(crate) slots: Vec<usize>,
    /// How much this key counts against another that holds the same field: 2 for the field's very name, 1 for its path.
    pub(crate) rank: u8,
    /// The nodes of keys within this one.
    pub(crate) children: Vec<usize>,
    /// The wanted fields that such keys hold.
    pub(crate) below: Vec<usize>,
}

impl Plan {
    pub(crate) const ROOT: usize = 0;

    pub(crate) fn new(fields: &[Field]) -> Plan {
        let mut plan = Plan { nodes: vec![Node::default()] };
        for (slot, field) in fields.iter().enumerate() {
            let node = plan.child_for(Plan::ROOT, &field.name);
            plan.nodes[node].slots.push(slot);
            plan.add_path(slot, &field.name);
        }
        plan
    }

    fn add_path(&mut self, slot: usize, name: &str) {
        let parts: Vec<&str> = name.split('.').collect();
        if parts.len() < 2 || parts.contains(&"") {
            return;
        }
        let mut node = Plan::ROOT;
        for part in parts {
            if node != Plan::ROOT {
                self.nodes[node].below.push(slot);
            }
            node = self.child_for(node, part);
        }
        self.nodes[node].slots.push(slot);
    }

    /// The child of `parent` with this key, which is added if there is none.
    fn child_for(&mut self, parent: usize, key: &str) -> usize {
        if let Some(child) = self.child(parent, key) {
            return child;
        }
        let (path, rank) = match parent {
            Plan::ROOT => (key.to_string(), 2),
            _ => (format!("{}.{key}", self.nodes[parent].path), 1),
        };
        let child = self.nodes.len();
        self.nodes.push(Node { key: key.into(), path, rank, ..Node::default() });
        self.nodes[parent].children.push(child);
        child
    }

    /// The child of `parent` with this key.
    pub(crate) fn child(&self, parent: usize, key: &str) -> Option<usize> {
        self.nodes[parent].children.iter().copied().find(|&child| self.nodes[child].key == key)
    }

    pub(crate) fn node(&self, node: usize) -> &Node {
        &self.nodes[node]
    }

    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_keys_first_and_paths_second() {
        let plan = Plan::new(&["a", "a.b", "a.c.d", "x..y", "a"].map(Field::optional));
        let at = |path: &[&str]| path.iter().try_fold(Plan::ROOT, |node, key| plan.child(node, key));
        let slots = |path: &[&str]| at(path).map(|node| (plan.node(node).slots.clone(), plan.node(node).rank));
        assert_eq!(slots(&["a"]), Some((vec![0, 4], 2)));
        assert_eq!(slots(&["a.b"]), Some((vec![1], 2)));
        assert_eq!(slots(&["a", "b"]), Some((vec![1], 1)));
        assert_eq!(slots(&["a", "c"]), Some((vec![], 1)));
        assert_eq!(slots(&["a", "c", "d"]), Some((vec![2], 1)));
        assert_eq!(slots(&["x..y"]), Some((vec![3], 2)));
        assert_eq!(at(&["x"]), None);
        assert_eq!(at(&["a"]).map(|node| plan.node(node).below.clone()), Some(vec![1, 2]));
    }
}
