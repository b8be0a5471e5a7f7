//! Mutated input for parsers: good samples, changed here and there, are given
//! to a parser that must neither panic nor hang, whatever it makes of them.
//!
//! As a test each parser gets a few hundred, the same each time.
//! `PHOENIX_FUZZ_SECONDS=300` goes on for so long with others, and
//! `PHOENIX_FUZZ_SEED` says with which. What fails is written into the
//! directory for temporary files and named; it belongs into the samples.
//!
//! libFuzzer, which sees what an input reaches, goes on from there with some of
//! them (`README.md`).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant, SystemTime};

/// How many inputs a parser gets as a test.
const CASES: u64 = 400;

/// Texts that parsers trip over.
const WORDS: [&[u8]; 24] = [
    b"",
    b"\0",
    b"\n",
    b" ",
    b"/",
    b"..",
    b"../",
    b"//",
    b"0",
    b"-1",
    b"4294967296",
    b"9223372036854775807",
    b"18446744073709551615",
    b"99999999999999999999999",
    b"77777777777\0",
    b"\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\xff\xff\xff\xff",
    b"\xc3\x28",
    b"=",
    b":",
    b"*",
    b"[",
    b"\\",
    b"\r\n",
];

/// SplitMix64: random numbers that stay the same for ever.
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Less than `n`, which is not 0.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n as u64).expect("it is less than n")
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Gives `parse` each of `seeds` as it is, then mutations of them. `mend` puts
/// right what would hide all behind it, such as a checksum.
pub(crate) fn hammer(
    name: &str,
    seeds: &[Vec<u8>],
    mend: &dyn Fn(&mut [u8], &mut Rng),
    parse: &dyn Fn(&[u8]),
) {
    let long = number("PHOENIX_FUZZ_SECONDS").map(Duration::from_secs);
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let fresh = if long.is_some() { since.as_secs() } else { 1 };
    let seed = number("PHOENIX_FUZZ_SEED").unwrap_or(fresh);
    let mut rng = Rng::new(seed);
    let began = Instant::now();
    for seed in seeds {
        parse(seed);
    }
    let mut done = 0;
    while long.map_or(done < CASES, |long| began.elapsed() < long) {
        let mut input = seeds[rng.below(seeds.len())].clone();
        for _ in 0..=rng.below(6) {
            mutate(&mut input, seeds, &mut rng);
        }
        mend(&mut input, &mut rng);
        if catch_unwind(AssertUnwindSafe(|| parse(&input))).is_err() {
            let file = std::env::temp_dir().join(format!("phoenix-{name}-{seed}-{done}"));
            let _ = std::fs::write(&file, &input);
            let start = input[..input.len().min(400)].escape_ascii();
            panic!("{name}: input {done} of seed {seed} ({}): {start}", file.display());
        }
        done += 1;
    }
    if long.is_some() {
        eprintln!("{name}: {done} inputs of seed {seed}");
    }
}

/// Nothing to put right.
pub(crate) fn as_it_is(_: &mut [u8], _: &mut Rng) {}

fn mutate(input: &mut Vec<u8>, seeds: &[Vec<u8>], rng: &mut Rng) {
    let at = rng.below(input.len() + 1);
    let len = (rng.below(8) * rng.below(40)).min(input.len() - at);
    let word = WORDS[rng.below(WORDS.len())];
    match rng.below(9) {
        0 | 1 if at < input.len() => input[at] ^= 1 << rng.below(8),
        2 if at < input.len() => input[at] = u8::try_from(rng.below(256)).expect("a byte"),
        3 => drop(input.drain(at..at + len)),
        4 => {
            let again = input[at..at + len].to_vec();
            input.splice(at..at, again);
        }
        5 => drop(input.splice(at..at, word.iter().copied())),
        6 => {
            let end = (at + word.len()).min(input.len());
            input[at..end].copy_from_slice(&word[..end - at]);
        }
        7 if rng.below(4) == 0 => input.truncate(at),
        _ => {
            let other = &seeds[rng.below(seeds.len())];
            let from = rng.below(other.len() + 1);
            let to = (from + len.max(1)).min(other.len());
            let part = other[from..to].to_vec();
            let end = (at + part.len() * rng.below(2)).min(input.len());
            input.splice(at..end, part);
        }
    }
}

/// Puts the checksums of a tar right, most often: where every one is wrong,
/// nothing behind them is reached.
pub(crate) fn mend_tar(tar: &mut [u8], rng: &mut Rng) {
    if rng.below(8) == 0 {
        return;
    }
    for block in tar.chunks_exact_mut(512) {
        if &block[257..262] == b"ustar" {
            let sum: u32 = block[..148].iter().chain(&block[156..]).map(|b| u32::from(*b)).sum();
            let sum = format!("{:06o}\0 ", sum + 8 * u32::from(b' '));
            block[148..156].copy_from_slice(sum.as_bytes());
        }
    }
}
