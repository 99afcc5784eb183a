//! Python's pickles, as data only.
//!
//! Problem: the stock service answers with pickles, and a pickle is a program that may name any function of Python. Answer: reading is a
//! small stack machine (`machine.rs`) that knows the names which plain values and numpy arrays are written with (`names.rs`), works out
//! what those would have made (`build.rs`), and refuses everything else by its name. Objects lie in a table while they are put together
//! (`heap.rs`), so that lists which are filled later and shared ones come out right, and become a tree at the end (`tree.rs`). Protocols
//! 0 to 5 are read, as Python 2.7 to 3.13 and numpy 1 and 2 write them; protocol 4 is written (`write.rs`).

mod build;
mod heap;
mod input;
mod machine;
mod names;
#[cfg(test)]
mod tests;
mod tree;
mod write;

use bytes::Bytes;

use super::limits::Budget;
use super::value::PyValue;
use crate::error::Result;

/// Reads a pickle.
pub fn loads(pickle: &Bytes, budget: &mut Budget) -> Result<PyValue> {
    let (heap, root) = machine::run(pickle, budget)?;
    tree::grow(&heap, root, pickle, budget)
}

/// Writes a pickle of protocol 4.
pub fn dumps(value: &PyValue) -> Result<Bytes> {
    write::write(value)
}
