//! Runs a graph of work on a bounded number of threads.
//!
//! In: for each node the nodes it waits for, and a function. Out: each node's
//! value, or the first error. Knows nothing of what the work is.
//!
//! A thread that has nothing to do may try a node *ahead* of its inputs
//! ([`Ahead`]). That gives no value: when the inputs are there the node is
//! worked on like any other, after its trial has ended.
//!
//! Invariant: a node starts after all its inputs ended well; after an error
//! nothing starts any more, and the call returns when all that runs has ended.
//! A trial never keeps a node that is ready from a thread: it is stopped.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often a thread that has nothing to do looks for something to try.
const LOOK_AROUND: Duration = Duration::from_millis(40);

/// What came of a graph.
pub(super) struct Ended<T, E> {
    /// The value of each node; `None` where it did not start or failed.
    pub values: Vec<Option<Arc<T>>>,
    /// The node that failed first, and how.
    pub error: Option<(usize, E)>,
}

/// The values that there are, by node.
pub(super) type Values<T> = [Option<Arc<T>>];

/// What came of a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tried {
    /// It was made; the node is tried no more.
    Once,
    /// None was made: once more is there, one may be.
    NotNow,
}

/// Trials of nodes whose inputs are not there yet. Each node is tried once.
pub(super) trait Ahead<T>: Sync {
    /// Whether a trial of `node` may make sense now. Must be quick.
    fn may(&self, node: usize, values: &Values<T>) -> bool;
    /// Tries it, until [`Self::stop`].
    fn run(&self, node: usize, values: &Values<T>) -> Tried;
    /// The inputs of a node are there while it is tried.
    fn ready(&self, node: usize, inputs: Vec<Arc<T>>);
    /// Its thread is needed.
    fn stop(&self, node: usize);
}

struct Board<T, E> {
    ready: VecDeque<usize>,
    waits_for: Vec<usize>,
    running: usize,
    /// Threads that have nothing to do.
    idle: usize,
    /// Nodes that were tried.
    tried: BTreeSet<usize>,
    /// Those that are being tried, and whether their inputs are there.
    trials: BTreeMap<usize, bool>,
    ended: Ended<T, E>,
}

/// What a thread does next.
enum Job<T> {
    Work(usize, Vec<Arc<T>>),
    Trial(usize, Vec<Option<Arc<T>>>),
}

impl<T, E> Board<T, E> {
    fn over(&self) -> bool {
        let idle = self.ready.is_empty() && self.trials.is_empty();
        self.running == 0 && (idle || self.ended.error.is_some())
    }

    fn enqueue(&mut self, node: usize) {
        let at = self.ready.partition_point(|&other| other < node);
        self.ready.insert(at, node);
    }

    fn inputs(&self, inputs: &[usize]) -> Vec<Arc<T>> {
        let value = |&input: &usize| {
            self.ended.values[input].clone().expect("a ready node's inputs have values")
        };
        inputs.iter().map(value).collect()
    }

    /// A node to try, if there is one.
    fn trial(&mut self, ahead: &dyn Ahead<T>) -> Option<usize> {
        // What nothing runs before has its turn at once.
        if self.running == 0 || self.ended.error.is_some() {
            return None;
        }
        let values = &self.ended.values;
        let waits = (0..values.len()).filter(|&node| self.waits_for[node] > 0);
        let node =
            waits.filter(|node| !self.tried.contains(node)).find(|&n| ahead.may(n, values))?;
        self.tried.insert(node);
        self.trials.insert(node, false);
        Some(node)
    }
}

/// A graph that is being run.
struct Run<'a, T, E> {
    inputs: &'a [Vec<usize>],
    users: Vec<Vec<usize>>,
    board: Mutex<Board<T, E>>,
    changed: Condvar,
    ahead: Option<&'a dyn Ahead<T>>,
}

/// Runs `work` for every node of the graph on at most `jobs` threads. Nodes
/// that are ready start in the order of their numbers. `failed` is called once,
/// at the first error, so that the caller can stop what runs, trials too.
pub(super) fn run<T, E>(
    inputs: &[Vec<usize>],
    jobs: usize,
    failed: &(dyn Fn() + Sync),
    ahead: Option<&dyn Ahead<T>>,
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
    let board = Board {
        ready: (0..inputs.len()).filter(|&node| waits_for[node] == 0).collect(),
        waits_for,
        running: 0,
        idle: 0,
        tried: BTreeSet::new(),
        trials: BTreeMap::new(),
        ended: Ended { values: inputs.iter().map(|_| None).collect(), error: None },
    };
    let (board, changed) = (Mutex::new(board), Condvar::new());
    let run = Run { inputs, users, board, changed, ahead };
    let worker = || {
        while let Some(job) = run.take() {
            match job {
                Job::Work(node, values) => {
                    let result = work(node, values);
                    if run.settle(node, result) {
                        failed();
                    }
                }
                Job::Trial(node, values) => run.tried(node, &values),
            }
            run.changed.notify_all();
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
    run.board.into_inner().unwrap_or_else(PoisonError::into_inner).ended
}

impl<T, E> Run<'_, T, E> {
    fn board(&self) -> MutexGuard<'_, Board<T, E>> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next node with the values of its inputs, or one to try, or `None`
    /// when all is over.
    fn take(&self) -> Option<Job<T>> {
        let mut board = self.board();
        loop {
            if board.over() {
                self.changed.notify_all();
                return None;
            }
            let next = if board.ended.error.is_none() { board.ready.pop_front() } else { None };
            if let Some(node) = next {
                board.running += 1;
                return Some(Job::Work(node, board.inputs(&self.inputs[node])));
            }
            if let Some(node) = self.ahead.and_then(|ahead| board.trial(ahead)) {
                return Some(Job::Trial(node, board.ended.values.clone()));
            }
            board.idle += 1;
            board = match self.ahead {
                Some(_) => {
                    let waited = self.changed.wait_timeout(board, LOOK_AROUND);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.changed.wait(board).unwrap_or_else(PoisonError::into_inner),
            };
            board.idle -= 1;
        }
    }

    /// Notes how a node ended; whether it is the first error.
    fn settle(&self, node: usize, result: Result<T, E>) -> bool {
        let mut board = self.board();
        board.running -= 1;
        let value = match result {
            Ok(value) => value,
            Err(error) => {
                let first = board.ended.error.is_none();
                if first {
                    board.ended.error = Some((node, error));
                }
                return first;
            }
        };
        board.ended.values[node] = Some(Arc::new(value));
        for &user in &self.users[node] {
            board.waits_for[user] -= 1;
            if board.waits_for[user] > 0 {
                continue;
            }
            match board.trials.get_mut(&user) {
                None => board.enqueue(user),
                Some(is_ready) => {
                    *is_ready = true;
                    let inputs = board.inputs(&self.inputs[user]);
                    if let Some(ahead) = self.ahead {
                        ahead.ready(user, inputs);
                    }
                }
            }
        }
        self.make_room(&board);
        false
    }

    /// Stops trials, the furthest ahead first, where more nodes are ready than
    /// there are threads for. The calling thread is about to be free.
    fn make_room(&self, board: &Board<T, E>) {
        let wanted = board.ready.len().saturating_sub(board.idle + 1);
        let may_stop = board.trials.iter().rev().filter(|(_, is_ready)| !**is_ready);
        if let Some(ahead) = self.ahead {
            may_stop.take(wanted).for_each(|(node, _)| ahead.stop(*node));
        }
    }

    fn tried(&self, node: usize, values: &Values<T>) {
        let tried = self.ahead.map(|ahead| ahead.run(node, values));
        let mut board = self.board();
        if tried == Some(Tried::NotNow) {
            board.tried.remove(&node);
        }
        if board.trials.remove(&node) == Some(true) {
            board.enqueue(node);
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
            let ended = run(&inputs, jobs, &|| {}, None, &|node, values: Vec<Arc<usize>>| {
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
        run(&inputs, 3, &|| {}, None, &|_, _: Vec<Arc<()>>| {
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
            None,
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
        let ended = run(&[], 4, &|| {}, None, &|_, _: Vec<Arc<()>>| Ok::<(), ()>(()));
        assert!(ended.values.is_empty() && ended.error.is_none());
    }

    /// Tries every node it may, and notes what it was told.
    struct Trials {
        allowed: Vec<usize>,
        told: Mutex<Vec<String>>,
        stopped: Condvar,
        stops: Mutex<BTreeSet<usize>>,
        /// How long a trial takes.
        lasts: Duration,
    }

    impl Trials {
        fn new(allowed: &[usize], lasts: u64) -> Self {
            Self {
                allowed: allowed.to_vec(),
                told: Mutex::default(),
                stopped: Condvar::new(),
                stops: Mutex::default(),
                lasts: Duration::from_millis(lasts),
            }
        }

        fn tell(&self, what: String) {
            self.told.lock().expect("no panic").push(what);
        }
    }

    impl Ahead<usize> for Trials {
        fn may(&self, node: usize, _: &Values<usize>) -> bool {
            self.allowed.contains(&node)
        }
        fn run(&self, node: usize, _: &Values<usize>) -> Tried {
            self.tell(format!("try {node}"));
            let stops = self.stops.lock().expect("no panic");
            let stopped = |stops: &mut BTreeSet<usize>| !stops.contains(&node);
            let waited = self.stopped.wait_timeout_while(stops, self.lasts, stopped);
            drop(waited.expect("no panic"));
            self.tell(format!("tried {node}"));
            Tried::Once
        }
        fn ready(&self, node: usize, inputs: Vec<Arc<usize>>) {
            self.tell(format!("ready {node} after {}", inputs.len()));
        }
        fn stop(&self, node: usize) {
            self.tell(format!("stop {node}"));
            self.stops.lock().expect("no panic").insert(node);
            self.stopped.notify_all();
        }
    }

    fn with_trials(inputs: &[Vec<usize>], trials: &Trials, takes: &[u64]) -> Vec<String> {
        let ended = run(inputs, 2, &|| {}, Some(trials), &|node, _: Vec<Arc<usize>>| {
            trials.tell(format!("work {node}"));
            std::thread::sleep(Duration::from_millis(takes[node]));
            Ok::<_, ()>(node)
        });
        assert!(ended.error.is_none() && ended.values.iter().all(Option::is_some));
        trials.told.lock().expect("no panic").clone()
    }

    #[test]
    fn a_node_that_is_tried_has_its_turn_after_its_trial() {
        let trials = Trials::new(&[1], 300);
        let told = with_trials(&[vec![], vec![0], vec![1]], &trials, &[100, 0, 0]);
        let wanted = ["work 0", "try 1", "ready 1 after 1", "tried 1", "work 1", "work 2"];
        assert_eq!(told, wanted);
    }

    #[test]
    fn a_trial_makes_room_for_what_is_ready() {
        // 2 and 3 become ready at once; the trial of 4, which waits for them,
        // would take until tomorrow.
        let trials = Trials::new(&[4], 100_000_000);
        let inputs = [vec![], vec![0], vec![0], vec![0], vec![1, 2, 3]];
        let told = with_trials(&inputs, &trials, &[100, 10, 10, 10, 0]);
        assert!(told.contains(&"stop 4".to_owned()), "{told:?}");
        assert_eq!(told.last().map(String::as_str), Some("work 4"));
    }

    #[test]
    fn after_an_error_trials_are_waited_for() {
        let trials = Trials::new(&[1], 200);
        let ended = run(&[vec![], vec![0]], 2, &|| {}, Some(&trials), &|_, _: Vec<Arc<usize>>| {
            std::thread::sleep(Duration::from_millis(80));
            Err::<usize, _>("no")
        });
        assert!(ended.error.is_some());
        assert_eq!(trials.told.lock().expect("no panic").as_slice(), ["try 1", "tried 1"]);
    }
}
