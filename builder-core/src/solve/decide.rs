//! Whether an earlier result stands: pure.
//!
//! In: a key's record, the request's policy, the clock. Out: [`Decision`].

use std::time::Duration;

use crate::cache::Record;

/// Which reuse the request forbids.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum NoCache {
    /// None of it.
    #[default]
    Never,
    /// All of it.
    All,
    /// That of the steps, or of whole stages, of these names.
    Steps(Vec<String>),
}

impl NoCache {
    /// Whether a step of that name and stage must be made anew.
    #[must_use]
    pub fn forbids(&self, step: Option<&str>, stage: &str) -> bool {
        match self {
            Self::Never => false,
            Self::All => true,
            Self::Steps(names) => {
                names.iter().any(|name| Some(name.as_str()) == step || name == stage)
            }
        }
    }
}

/// Why a result is made anew although nothing it depends on may have changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Miss {
    /// There is no record of this key.
    NoRecord,
    /// Its result stands and is made again all the same, to compare the two.
    Checked(Record),
    /// The request forbids reuse.
    Forbidden,
    /// `--retest`.
    Retest,
    /// The run is longer ago than the step allows.
    TooOld {
        /// How long ago, in seconds.
        age: u64,
        /// How long is allowed.
        max: Duration,
    },
}

/// What is to be done with a vertex.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Decision {
    /// The record's result stands.
    Hit(Record),
    /// It must run.
    Run(Miss),
}

/// What the decision looks at besides the record.
#[derive(Debug, Clone, Copy)]
pub(super) struct Policy {
    /// The request forbids reuse of this step.
    pub forbidden: bool,
    /// This is a test and the request wants tests run again.
    pub retest: bool,
    /// Results that stand are made again and compared.
    pub paranoid: bool,
    /// The step's `max_age`.
    pub max_age: Option<Duration>,
    /// Seconds since the Unix epoch.
    pub now: i64,
}

/// Decides. A run that lies in the future (a clock was set back) has age 0.
#[must_use]
pub(super) fn decide(record: Option<Record>, policy: Policy) -> Decision {
    if policy.forbidden {
        return Decision::Run(Miss::Forbidden);
    }
    if policy.retest {
        return Decision::Run(Miss::Retest);
    }
    let Some(record) = record else { return Decision::Run(Miss::NoRecord) };
    let age = u64::try_from(policy.now.saturating_sub(record.ran_at)).unwrap_or(0);
    match policy.max_age {
        Some(max) if age > max.as_secs() => Decision::Run(Miss::TooOld { age, max }),
        _ if policy.paranoid => Decision::Run(Miss::Checked(record)),
        _ => Decision::Hit(record),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::Outcome;

    fn record(ran_at: i64) -> Record {
        Record::new(Outcome::Nothing, ran_at, 1)
    }

    fn policy() -> Policy {
        Policy { forbidden: false, retest: false, paranoid: false, max_age: None, now: 1000 }
    }

    #[test]
    fn a_record_stands_unless_something_forbids_it() {
        let day = Duration::from_secs(100);
        assert_eq!(decide(Some(record(0)), policy()), Decision::Hit(record(0)));
        assert_eq!(decide(None, policy()), Decision::Run(Miss::NoRecord));
        let forbidden = Policy { forbidden: true, ..policy() };
        assert_eq!(decide(Some(record(0)), forbidden), Decision::Run(Miss::Forbidden));
        let retest = Policy { retest: true, ..policy() };
        assert_eq!(decide(Some(record(0)), retest), Decision::Run(Miss::Retest));
        let paranoid = Policy { paranoid: true, ..policy() };
        let checked = Decision::Run(Miss::Checked(record(0)));
        assert_eq!(decide(Some(record(0)), paranoid), checked);
        let aged = Policy { max_age: Some(day), ..policy() };
        assert_eq!(decide(Some(record(900)), aged), Decision::Hit(record(900)));
        let too_old = Decision::Run(Miss::TooOld { age: 101, max: day });
        assert_eq!(decide(Some(record(899)), aged), too_old);
        assert_eq!(decide(Some(record(2000)), aged), Decision::Hit(record(2000)));
    }

    #[test]
    fn no_cache_names_steps_or_stages() {
        let some = NoCache::Steps(vec!["deps".into()]);
        assert!(some.forbids(Some("deps"), "main"));
        assert!(some.forbids(None, "deps"));
        assert!(!some.forbids(Some("other"), "main"));
        assert!(NoCache::All.forbids(None, "x"));
        assert!(!NoCache::Never.forbids(Some("deps"), "deps"));
    }
}
