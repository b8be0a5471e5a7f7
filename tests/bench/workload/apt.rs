//! `apt-get install` of a few packages that the base has at hand. The changed
//! file is copied after it.

use std::path::Path;

use super::{Kind, Step, Workload, file, run};
use crate::error::Result;

pub(super) const APT: Workload = Workload {
    name: "apt",
    kind: Kind::Build { cold: 3, unchanged: 3, changed: 2 },
    base: true,
    zstd: false,
    step: Some(Step { script: SCRIPT, src: None }),
    dockerfile: || {
        let script = SCRIPT.replace('\n', " && \\\n    ");
        format!("FROM bench-base\nRUN {script}\nCOPY site /etc/nginx/sites-available/default\n")
    },
    recipe: || {
        let copy = "  - copy: [site, /etc/nginx/sites-available/default]\n";
        format!("steps:\n{}{copy}", run(SCRIPT))
    },
    make: |context| change(context, 0),
    change,
};

const SCRIPT: &str = "\
start=$(date +%s%N)
export DEBIAN_FRONTEND=noninteractive
apt-get install -qq -y --no-install-recommends /opt/debs/*.deb >/dev/null 2>&1
echo took=$(($(date +%s%N) - start))";

fn change(context: &Path, number: u64) -> Result<()> {
    file(&context.join("site"), format!("server {{ listen {}; }}\n", 8000 + number))
}
