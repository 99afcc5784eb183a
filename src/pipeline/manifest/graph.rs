//! The graph of a pipeline: who feeds whom, and in which order.
//!
//! Problem: a pipeline that leads in a circle never ends, and nodes that run before what feeds them have nothing to do. Answer: [`Graph`]
//! sorts the nodes once, by the order in which they are listed where the connections leave it open, and names the circle where there is
//! one. It knows ids and kinds, not nodes: what runs is elsewhere.
//!
//! A node without any connection is refused where there are others: protocol v0 ran nodes in the order of their list, v1 would give each of
//! them the input and put out what each makes of it, and the text does not tell which of the two is meant. Several sources and several
//! sinks are well defined and may be: each source takes the pipeline's input, each sink's output is the pipeline's.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

use super::MAX_NAME_BYTES;
use super::fields::short;
use super::kinds::Ports;
use crate::error::{Error, Result};

/// Most ids that an error lists.
const MAX_LISTED: usize = 8;

/// Nodes by their index in the list that the graph was made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Graph {
    ids: Vec<String>,
    connections: Vec<(usize, usize)>,
    successors: Vec<Vec<usize>>,
    predecessors: Vec<Vec<usize>>,
    order: Vec<usize>,
}

impl Graph {
    /// Checks ids and connections, each a pair of ids, from and to. Problems have the paths that they have in a manifest: `nodes.N.id`,
    /// `connections.N.from`, `connections.N.to`, `connections.N` for one that is there twice or leads nowhere, `connections` for a circle
    /// and for a node that is left out.
    pub fn new(ids: &[&str], connections: &[(&str, &str)]) -> Result<Self> {
        let mut index_of = HashMap::with_capacity(ids.len());
        for (index, id) in ids.iter().enumerate() {
            let at = || format!("nodes.{index}.id");
            if id.is_empty() || id.len() > MAX_NAME_BYTES {
                return Err(Error::config(at(), format!("must be 1 to {MAX_NAME_BYTES} bytes, got {}", id.len())));
            }
            if let Some(first) = index_of.insert(*id, index) {
                return Err(Error::config(at(), format!("must be unique, but nodes.{first} is '{id}' too")));
            }
        }
        let mut graph = Self {
            ids: ids.iter().map(|id| (*id).to_owned()).collect(),
            connections: Vec::with_capacity(connections.len()),
            successors: vec![Vec::new(); ids.len()],
            predecessors: vec![Vec::new(); ids.len()],
            order: Vec::with_capacity(ids.len()),
        };
        let mut seen = HashSet::with_capacity(connections.len());
        for (index, (from, to)) in connections.iter().enumerate() {
            let end = |key: &str, id: &str| {
                let found = index_of.get(id).copied();
                found.ok_or_else(|| Error::config(format!("connections.{index}.{key}"), format!("must be the id of a node, got '{}'", short(id, 64))))
            };
            let (source, target) = (end("from", from)?, end("to", to)?);
            if source == target {
                return Err(Error::config(format!("connections.{index}"), format!("leads from '{from}' back to itself")));
            }
            if !seen.insert((source, target)) {
                return Err(Error::config(format!("connections.{index}"), format!("leads from '{from}' to '{to}', as one before it does")));
            }
            graph.connections.push((source, target));
            graph.successors[source].push(target);
            graph.predecessors[target].push(source);
        }
        graph.refuse_loners()?;
        graph.sort()?;
        Ok(graph)
    }

    /// Each node feeds the next.
    pub fn chain(ids: &[&str]) -> Result<Self> {
        let connections: Vec<_> = ids.windows(2).map(|pair| (pair[0], pair[1])).collect();
        Self::new(ids, &connections)
    }

    fn refuse_loners(&self) -> Result<()> {
        let is_alone = |index: &usize| self.successors[*index].is_empty() && self.predecessors[*index].is_empty();
        let alone: Vec<_> = (0..self.len()).filter(is_alone).collect();
        if self.len() < 2 || alone.is_empty() {
            return Ok(());
        }
        let listed: Vec<_> = alone.iter().take(MAX_LISTED).map(|index| format!("'{}'", self.ids[*index])).collect();
        let more = if alone.len() > MAX_LISTED { format!(" and {} more", alone.len() - MAX_LISTED) } else { String::new() };
        let problem = format!("must name every node where there are several; {}{more} would neither be fed nor feed another", listed.join(", "));
        Err(Error::config("connections", problem))
    }

    fn sort(&mut self) -> Result<()> {
        let mut waits_for: Vec<_> = self.predecessors.iter().map(Vec::len).collect();
        let mut ready: BinaryHeap<_> = (0..self.len()).filter(|index| waits_for[*index] == 0).map(Reverse).collect();
        while let Some(Reverse(index)) = ready.pop() {
            self.order.push(index);
            for next in &self.successors[index] {
                waits_for[*next] -= 1;
                if waits_for[*next] == 0 {
                    ready.push(Reverse(*next));
                }
            }
        }
        if self.order.len() == self.len() { Ok(()) } else { Err(self.circle(&waits_for)) }
    }

    /// The error that names a circle among the nodes that still wait for another.
    fn circle(&self, waits_for: &[usize]) -> Error {
        // Each of them waits for another one of them: going back from any leads into a circle.
        let mut trail: Vec<usize> = Vec::new();
        let mut place = vec![None; self.len()];
        let mut at = waits_for.iter().position(|count| *count > 0);
        while let Some(index) = at {
            if let Some(start) = place[index] {
                trail.drain(..start);
                break;
            }
            place[index] = Some(trail.len());
            trail.push(index);
            at = self.predecessors[index].iter().copied().find(|before| waits_for[*before] > 0);
        }
        trail.reverse();
        let first = trail.iter().enumerate().min_by_key(|(_, index)| **index).map_or(0, |(place, _)| place);
        trail.rotate_left(first);
        let mut names: Vec<_> = trail.iter().take(MAX_LISTED).map(|index| self.ids[*index].clone()).collect();
        if trail.len() > MAX_LISTED {
            names.push(format!("({} more)", trail.len() - MAX_LISTED));
        }
        names.extend(trail.first().map(|index| self.ids[*index].clone()));
        Error::config("connections", format!("must not lead in a circle: {}", names.join(" -> ")))
    }

    /// How many nodes there are.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is no node at all.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// A node's id.
    pub fn id(&self, index: usize) -> &str {
        &self.ids[index]
    }

    /// The node with this id.
    pub fn index(&self, id: &str) -> Option<usize> {
        self.ids.iter().position(|known| known == id)
    }

    /// Every node after all that feed it; those that could come in any order, as they were listed.
    pub fn order(&self) -> &[usize] {
        &self.order
    }

    /// Pairs of nodes, from and to, in the order of the connections.
    pub fn connections(&self) -> &[(usize, usize)] {
        &self.connections
    }

    /// The nodes that it feeds, in the order of the connections.
    pub fn successors(&self, index: usize) -> &[usize] {
        &self.successors[index]
    }

    /// The nodes that feed it, in the order of the connections.
    pub fn predecessors(&self, index: usize) -> &[usize] {
        &self.predecessors[index]
    }

    /// The nodes that take the pipeline's input: no other feeds them.
    pub fn sources(&self) -> impl Iterator<Item = usize> {
        (0..self.len()).filter(|index| self.predecessors[*index].is_empty())
    }

    /// The nodes that feed no other.
    pub fn sinks(&self) -> impl Iterator<Item = usize> {
        (0..self.len()).filter(|index| self.successors[*index].is_empty())
    }

    /// Whether the nodes follow one another in a single line; one node alone does, none at all does not.
    pub fn is_chain(&self) -> bool {
        // Without circles, as many connections as this and no fork leave nothing else.
        let forks = |lists: &[Vec<usize>]| lists.iter().any(|list| list.len() > 1);
        self.connections.len() + 1 == self.len() && !forks(&self.successors) && !forks(&self.predecessors)
    }

    /// Refuses a connection that can carry nothing, as its two ends have no kind in common. `ports` are the nodes', by index; of one that is
    /// not described, or whose side is not, nothing is assumed.
    pub fn check_kinds(&self, ports: &[Ports]) -> Result<()> {
        for (index, (from, to)) in self.connections.iter().enumerate() {
            let sides = (ports.get(*from).and_then(|ports| ports.puts_out), ports.get(*to).and_then(|ports| ports.accepts));
            if let (Some(out), Some(accepted)) = sides
                && !out.intersects(accepted)
            {
                let problem = format!("'{}' puts out {out}, '{}' accepts {accepted}", self.ids[*from], self.ids[*to]);
                return Err(Error::config(format!("connections.{index}"), problem));
            }
        }
        Ok(())
    }
}
