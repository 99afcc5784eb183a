//! Work that goes on whether or not whoever waits for it is looking and ends when nobody waits any more ([`tasked`]), and work that begins
//! in the order in which it was asked for ([`Turns`]).

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::future::{BoxFuture, ready};
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::error::{Code, Error, Result};
use crate::remote;

/// A task that ends with whoever waits for it.
struct Task<T>(JoinHandle<T>);

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map_err(|error| Error::new(Code::Internal, "a task of a pipeline failed").because(error))
    }
}

/// Runs `work` in a task of its own.
pub fn tasked<T: Send + 'static>(work: impl Future<Output = Result<T>> + Send + 'static) -> BoxFuture<'static, Result<T>> {
    match remote::spawn(work) {
        Ok(handle) => {
            let task = Task(handle);
            Box::pin(async move { task.await? })
        }
        Err(error) => Box::pin(ready(Err(error))),
    }
}

/// Hands out turns, each after the one before it.
#[derive(Default)]
pub struct Turns(Mutex<Option<oneshot::Receiver<()>>>);

/// A place in the order; whoever drops it has had it.
pub struct Turn {
    before: Option<oneshot::Receiver<()>>,
    _over: oneshot::Sender<()>,
}

impl Turns {
    /// The next turn.
    pub fn take(&self) -> Turn {
        let (over, end) = oneshot::channel();
        Turn { before: self.0.lock().replace(end), _over: over }
    }
}

impl Turn {
    /// Waits until all before it are over.
    pub async fn come(&mut self) {
        if let Some(before) = self.before.take() {
            let _over = before.await;
        }
    }
}
