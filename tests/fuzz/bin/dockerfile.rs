//! libFuzzer over [`targets::dockerfile`].
#![no_main]

use builder_core::targets;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| targets::dockerfile(bytes));
