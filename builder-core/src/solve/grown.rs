//! Lists that grow at their end and share what they grew from.
//!
//! Each step of a stage adds a little to what the one before it left. Were that
//! copied for each, a file of a thousand instructions would cost a million
//! copies.
//!
//! Invariant: a list never changes; one that was grown from it is another.

use std::sync::Arc;

/// A list, oldest first.
pub(crate) struct Grown<T>(Option<Arc<Node<T>>>);

struct Node<T> {
    item: T,
    before: Grown<T>,
    len: usize,
}

impl<T> Grown<T> {
    /// The list with one more item.
    #[must_use]
    pub(crate) fn and(&self, item: T) -> Self {
        let (before, len) = (self.clone(), self.len() + 1);
        Self(Some(Arc::new(Node { item, before, len })))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |node| node.len)
    }

    /// The items, oldest first.
    pub(crate) fn all(&self) -> Vec<&T> {
        let mut all = Vec::with_capacity(self.len());
        let mut next = self;
        while let Some(node) = &next.0 {
            all.push(&node.item);
            next = &node.before;
        }
        all.reverse();
        all
    }

    /// The items of their own, oldest first.
    pub(crate) fn to_vec(&self) -> Vec<T>
    where
        T: Clone,
    {
        self.all().into_iter().cloned().collect()
    }
}

impl<T> Default for Grown<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> Clone for Grown<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> FromIterator<T> for Grown<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        items.into_iter().fold(Self::default(), |list, item| list.and(item))
    }
}

impl<T> Drop for Grown<T> {
    /// One after another: nested, a long list would need a deep stack.
    fn drop(&mut self) {
        let mut next = self.0.take();
        while let Some(mut node) = next.and_then(Arc::into_inner) {
            next = node.before.0.take();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_share_their_beginning_and_never_change() {
        let first: Grown<u32> = [1, 2].into_iter().collect();
        let (left, right) = (first.and(3), first.and(4).and(5));
        assert_eq!(first.to_vec(), [1, 2]);
        assert_eq!((left.to_vec(), left.len()), (vec![1, 2, 3], 3));
        drop(first);
        assert_eq!(right.to_vec(), [1, 2, 4, 5]);
        assert_eq!(Grown::<u32>::default().to_vec(), Vec::<u32>::new());
    }

    #[test]
    fn a_long_list_needs_no_deep_stack() {
        let list: Grown<u32> = (0..1_000_000).collect();
        assert_eq!(list.all().len(), 1_000_000);
    }
}
