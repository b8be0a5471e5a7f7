//! The program that is executed as the runner: a sealed copy in memory.
//!
//! In: its path. Out: a path to execute. A step could execute `/proc/self/exe`,
//! which is the runner until the step's own program runs, and so come to hold
//! the host's file, open it for writing once nobody executes it, or set its
//! bits (as CVE-2019-5736 did to runc). What it can come to hold here is memory
//! that nobody can write.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

/// A file as it was when it was copied.
type Identity = (u64, u64, u64, i64, i64);

/// One copy of each program, for as long as this process lives.
static COPIES: Mutex<Option<HashMap<Identity, OwnedFd>>> = Mutex::new(None);

/// What to execute for `program`. What is no binary is executed as it is.
pub(super) fn sealed(program: &Path) -> io::Result<PathBuf> {
    let mut file = File::open(program)?;
    let found = file.metadata()?;
    let identity = (found.dev(), found.ino(), found.size(), found.mtime(), found.mtime_nsec());
    let mut copies = COPIES.lock().unwrap_or_else(PoisonError::into_inner);
    let memory = match copies.get_or_insert_default().entry(identity) {
        Entry::Occupied(known) => known.into_mut(),
        Entry::Vacant(new) => {
            let mut magic = [0; 4];
            if file.read_exact(&mut magic).is_err() || magic != *b"\x7fELF" {
                return Ok(program.to_owned());
            }
            file.rewind()?;
            new.insert(copy(&mut file)?)
        }
    };
    // It is the child that opens this, which has the same descriptors.
    Ok(PathBuf::from(format!("/proc/self/fd/{}", memory.as_raw_fd())))
}

fn copy(file: &mut File) -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Linux before 6.3 does not know the flag, and does not need it.
    let memory = memfd_create("phoenix-runner", flags | MemfdFlags::EXEC)
        .or_else(|_| memfd_create("phoenix-runner", flags))?;
    let mut memory = File::from(memory);
    io::copy(file, &mut memory)?;
    seal(&memory)?;
    Ok(memory.into())
}

/// Nobody can write to it from here on.
fn seal(memory: &File) -> io::Result<()> {
    // Not `WRITE`, which adds only that existing writable mappings end (there
    // is none) and is busy while the kernel holds a page for a moment, as it
    // does to move it or to splice it.
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::FUTURE_WRITE;
    Ok(fcntl_add_seals(memory, seals)?)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use rustix::pipe::{SpliceFlags, pipe, splice};

    use super::*;

    #[test]
    fn a_copy_is_sealed_against_writing_also_while_the_kernel_holds_its_pages() {
        let memory = memfd_create("test", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING);
        let mut memory = File::from(memory.expect("memory"));
        memory.write_all(&[1; 8192]).expect("written");
        let (read, write) = pipe().expect("a pipe");
        let held = splice(&memory, Some(&mut 0), &write, None, 4096, SpliceFlags::empty());
        assert_eq!(held.expect("spliced"), 4096);
        seal(&memory).expect("sealed");
        let path = format!("/proc/self/fd/{}", memory.as_raw_fd());
        let again = File::options().write(true).open(path);
        for mut file in [Ok(memory), again].into_iter().flatten() {
            file.rewind().expect("it can be sought");
            assert!(file.write_all(b"x").is_err());
            assert!(file.set_len(0).is_err() && file.set_len(9000).is_err());
        }
        drop(read);
    }
}
