//! First use of a base: from its archive, as `docker save` writes it, to the
//! end of a first `true` in it.

use super::{Kind, Workload};

pub(super) const FIRST: Workload = Workload {
    name: "first",
    kind: Kind::First { times: 2 },
    base: true,
    zstd: false,
    step: None,
    dockerfile: || "FROM bench-base\nRUN true\n".to_owned(),
    recipe: || "steps:\n  - run: \"true\"\n".to_owned(),
    make: |_| Ok(()),
    change: |_, _| Ok(()),
};
