//! A parallel compilation of 80 C files with the base's compiler.

use std::fmt::Write as _;
use std::path::Path;

use super::{Kind, Step, Workload, directory, file, run};
use crate::error::Result;

pub(super) const COMPILE: Workload = Workload {
    name: "compile",
    kind: Kind::Build { cold: 3, unchanged: 3, changed: 2 },
    base: true,
    zstd: false,
    step: Some(Step { script: SCRIPT, src: Some("src") }),
    dockerfile: || {
        let script = SCRIPT.replace('\n', " && \\\n    ");
        format!("FROM bench-base\nCOPY src /src/\nRUN {script}\n")
    },
    recipe: || format!("steps:\n  - copy: [src/, /src/]\n{}", run(SCRIPT)),
    make,
    change,
};

const FILES: u64 = 80;

const SCRIPT: &str = "\
start=$(date +%s%N)
make -s -j2 -C /src
echo took=$(($(date +%s%N) - start))";

const MAKEFILE: &str = "\
OBJECTS := $(patsubst %.c,%.o,$(sort $(wildcard *.c)))
program: $(OBJECTS)
\t$(CC) -o $@ $^
%.o: %.c
\t$(CC) -c -O1 -o $@ $<
";

const HEADERS: [&str; 14] = [
    "stdio.h",
    "stdlib.h",
    "string.h",
    "unistd.h",
    "math.h",
    "errno.h",
    "signal.h",
    "pthread.h",
    "time.h",
    "sys/socket.h",
    "sys/stat.h",
    "sys/mman.h",
    "netinet/in.h",
    "netdb.h",
];

fn make(context: &Path) -> Result<()> {
    let src = context.join("src");
    directory(&src)?;
    file(&src.join("Makefile"), MAKEFILE)?;
    (0..FILES).try_for_each(|at| source(context, at, 0))
}

fn change(context: &Path, number: u64) -> Result<()> {
    source(context, 40, number)
}

fn source(context: &Path, at: u64, number: u64) -> Result<()> {
    let mut text: String = HEADERS.iter().map(|name| format!("#include <{name}>\n")).collect();
    for function in 0..10 {
        let name = format!("f{at}_{function}");
        write!(
            text,
            "int {name}(int n) {{\n  int s = {number};\n  for (int i = 0; i < n; i++)\n    \
             s += i * {function} ^ (s >> 3);\n  if (s == {at}) printf(\"%d\\n\", s);\n  \
             return s;\n}}\n"
        )
        .expect("memory takes it");
    }
    if at == 0 {
        text += "int main(void) { return f0_0(1) > 1000; }\n";
    }
    file(&context.join(format!("src/file{at:02}.c")), text)
}
