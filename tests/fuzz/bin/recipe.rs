//! libFuzzer over [`targets::recipe`].
#![no_main]

use builder_core::targets;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| targets::recipe(bytes));
