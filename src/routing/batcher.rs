//! Which items travel together: those that are alike, until there are enough or the first has waited long enough.

use std::time::Duration;

struct Group<T> {
    key: u64,
    items: Vec<T>,
    due: Duration,
}

/// Items in waiting. What comes out keeps the order in which it came in, within a key; nothing is lost, nothing comes twice.
pub struct Batcher<T> {
    groups: Vec<Group<T>>,
    max_items: usize,
    max_delay: Duration,
}

impl<T> Batcher<T> {
    /// Batches of at most `max_items`, at least one, whose first item waits `max_delay` at most.
    pub fn new(max_items: usize, max_delay: Duration) -> Self {
        Self { groups: Vec::new(), max_items: max_items.max(1), max_delay }
    }

    /// Adds an item; the batch that it makes full, if it does.
    pub fn push(&mut self, key: u64, item: T, now: Duration) -> Option<Vec<T>> {
        let index = self.groups.iter().position(|group| group.key == key).unwrap_or_else(|| {
            self.groups.push(Group { key, items: Vec::with_capacity(self.max_items.min(64)), due: now + self.max_delay });
            self.groups.len() - 1
        });
        self.groups[index].items.push(item);
        (self.groups[index].items.len() >= self.max_items).then(|| self.groups.swap_remove(index).items)
    }

    /// When the next batch has waited long enough.
    pub fn next_due(&self) -> Option<Duration> {
        self.groups.iter().map(|group| group.due).min()
    }

    /// The batches that have waited long enough, the longest first.
    pub fn take_due(&mut self, now: Duration) -> Vec<Vec<T>> {
        let mut due = Vec::new();
        while let Some(index) =
            self.groups.iter().enumerate().filter(|(_, group)| group.due <= now).min_by_key(|(_, group)| group.due).map(|(index, _)| index)
        {
            due.push(self.groups.swap_remove(index).items);
        }
        due
    }

    /// Items that wait.
    pub fn len(&self) -> usize {
        self.groups.iter().map(|group| group.items.len()).sum()
    }

    /// Whether none does.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }
}
