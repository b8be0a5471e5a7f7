//! Runs a graph of work on a bounded number of threads.
//!
//! In: for each node the nodes it waits for, and a function. Out: each node's
//! value, or the first error. Knows nothing of what the work is.
//!
//! Invariant: a node starts after all its inputs ended well; after an error
//! nothing starts any more, and the call returns when all that runs has ended.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// What came of a graph.
pub(super) struct Ended<T, E> {
    /// The value of each node; `None` where it did not start or failed.
    pub values: Vec<Option<Arc<T>>>,
    /// The node that failed first, and how.
    pub error: Option<(usize, E)>,
}

struct Board<T, E> {
    ready: VecDeque<usize>,
    waits_for: Vec<usize>,
    running: usize,
    ended: Ended<T, E>,
}

impl<T, E> Board<T, E> {
    fn over(&self) -> bool {
        self.running == 0 && (self.ready.is_empty() || self.ended.error.is_some())
    }
}

/// Runs `work` for every node of the graph on at most `jobs` threads. Nodes
/// that are ready start in the order of their numbers. `failed` is called once,
/// at the first error, so that the caller can stop what runs.
pub(super) fn run<T, E>(
    inputs: &[Vec<usize>],
    jobs: usize,
    failed: &(dyn Fn() + Sync),
    work: &(dyn Fn(usize, Vec<Arc<T>>) -> Result<T, E> + Sync),
) -> Ended<T, E>
where
    T: Send + Sync,
    E: Send,
{
    let mut users = vec![Vec::new(); inputs.len()];
    for (node, needs) in inputs.iter().enumerate() {
        for &input in needs {
            users[input].push(node);
        }
    }
    let waits_for: Vec<usize> = inputs.iter().map(Vec::len).collect();
    let ready = (0..inputs.len()).filter(|&node| waits_for[node] == 0).collect();
    let values = inputs.iter().map(|_| None).collect();
    let ended = Ended { values, error: None };
    let board = Mutex::new(Board { ready, waits_for, running: 0, ended });
    let changed = Condvar::new();
    let worker = || {
        while let Some((node, values)) = take(&board, &changed, inputs) {
            let result = work(node, values);
            let first_error = settle(&mut lock(&board), node, result, &users[node]);
            if first_error {
                failed();
            }
            changed.notify_all();
        }
    };
    // A panic in a worker would leave the others waiting for a node that never
    // ends; work never panics on input, so it is a bug and is passed on.
    std::thread::scope(|scope| {
        for _ in 1..jobs.min(inputs.len()) {
            scope.spawn(worker);
        }
        worker();
    });
    board.into_inner().unwrap_or_else(PoisonError::into_inner).ended
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The next node with the values of its inputs, or `None` when all is over.
fn take<T, E>(
    board: &Mutex<Board<T, E>>,
    changed: &Condvar,
    inputs: &[Vec<usize>],
) -> Option<(usize, Vec<Arc<T>>)> {
    let mut board = lock(board);
    loop {
        if board.over() {
            changed.notify_all();
            return None;
        }
        let next = if board.ended.error.is_none() { board.ready.pop_front() } else { None };
        if let Some(node) = next {
            board.running += 1;
            let value = |&input: &usize| {
                board.ended.values[input].clone().expect("a ready node's inputs have values")
            };
            let values = inputs[node].iter().map(value).collect();
            return Some((node, values));
        }
        board = changed.wait(board).unwrap_or_else(PoisonError::into_inner);
    }
}

/// Notes how a node ended; whether it is the first error.
fn settle<T, E>(
    board: &mut Board<T, E>,
    node: usize,
    result: Result<T, E>,
    users: &[usize],
) -> bool {
    board.running -= 1;
    match result {
        Ok(value) => {
            board.ended.values[node] = Some(Arc::new(value));
            for &user in users {
                board.waits_for[user] -= 1;
                if board.waits_for[user] == 0 {
                    let at = board.ready.partition_point(|&other| other < user);
                    board.ready.insert(at, user);
                }
            }
            false
        }
        Err(error) => {
            let first = board.ended.error.is_none();
            if first {
                board.ended.error = Some((node, error));
            }
            first
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    #[test]
    fn values_flow_from_inputs_to_users() {
        let inputs = [vec![], vec![0], vec![0], vec![1, 2, 0]];
        for jobs in [1, 2, 8] {
            let ended = run(&inputs, jobs, &|| {}, &|node, values: Vec<Arc<usize>>| {
                Ok::<_, ()>(node + values.iter().map(|v| **v).sum::<usize>())
            });
            let values: Vec<_> = ended.values.iter().map(|v| v.as_deref().copied()).collect();
            assert_eq!(values, [Some(0), Some(1), Some(2), Some(6)]);
        }
    }

    #[test]
    fn independent_nodes_run_at_the_same_time_and_never_more_than_jobs() {
        let inputs = vec![vec![]; 6];
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        run(&inputs, 3, &|| {}, &|_, _: Vec<Arc<()>>| {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(30));
            now.fetch_sub(1, Ordering::SeqCst);
            Ok::<_, ()>(())
        });
        assert_eq!(most.load(Ordering::SeqCst), 3);
    }

    #[test]
    fn after_an_error_nothing_starts() {
        let inputs = [vec![], vec![0], vec![1]];
        let calls = AtomicUsize::new(0);
        let ended = run(
            &inputs,
            2,
            &|| {
                calls.fetch_add(100, Ordering::SeqCst);
            },
            &|node, _: Vec<Arc<()>>| {
                calls.fetch_add(1, Ordering::SeqCst);
                if node == 1 { Err("no") } else { Ok(()) }
            },
        );
        assert_eq!(ended.error, Some((1, "no")));
        assert!(ended.values[2].is_none());
        assert_eq!(calls.load(Ordering::SeqCst), 102);
    }

    #[test]
    fn an_empty_graph_is_over_at_once() {
        let ended = run(&[], 4, &|| {}, &|_, _: Vec<Arc<()>>| Ok::<(), ()>(()));
        assert!(ended.values.is_empty() && ended.error.is_none());
    }
}
