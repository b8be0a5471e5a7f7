//! The system call filter of steps: Docker's default profile.
//!
//! Docker's profile is a list of what is allowed. This is its complement: what
//! it does not allow to a container of the default capabilities fails with
//! `EPERM`; what is newer than the list with `ENOSYS`, so that programs fall
//! back; `clone3`, whose flags a filter cannot see, with `ENOSYS` as well. The
//! table is that of the profile in 2026; a test puts every number, family and
//! flag to a running Docker and to a step, and names where an older Docker
//! differs.
//!
//! Limitations: calls of x32, which hardly any kernel has, fail with `ENOSYS`,
//! and programs of 32-bit ARM are killed; Docker lets both run. On x86 a filter
//! cannot see what `socketcall` makes, so its sockets are of any family, as
//! under Docker.
//!
//! Own instructions rather than a filter crate's: those kill a program of the
//! processor's 32-bit personality, which Docker lets run under the same rules,
//! and set `no_new_privs`, which breaks `su` and `sudo` in steps.

use std::io;
use std::ops::RangeInclusive;

use super::sys::{self, Instruction};

/// One architecture: its audit number and its column in [`DENIED`].
struct Abi {
    audit: u32,
    column: usize,
    clone: u32,
    personality: u32,
    socket: u32,
    ioctl: u32,
}

#[cfg(target_arch = "x86_64")]
const ABIS: [Abi; 2] = [
    Abi { audit: 0xc000_003e, column: 0, clone: 56, personality: 135, socket: 41, ioctl: 16 },
    Abi { audit: 0x4000_0003, column: 1, clone: 120, personality: 136, socket: 359, ioctl: 54 },
];
#[cfg(target_arch = "aarch64")]
const ABIS: [Abi; 1] =
    [Abi { audit: 0xc000_00b7, column: 2, clone: 220, personality: 92, socket: 198, ioctl: 29 }];

/// The first number that is newer than the profile; new calls have one number
/// on all architectures.
const NEWER: u32 = 467;
/// `clone3`, on all architectures.
const CLONE3: u32 = 435;
/// Every flag of `clone` that makes a namespace.
const NEW_NAMESPACES: u32 = 0x7e02_0000;
/// What `personality` may be given: Linux, 16-bit uids and Linux32 of it, a query.
const PERSONALITIES: [u32; 5] = [0, 0x0008, 0x0002_0000, 0x0002_0008, 0xffff_ffff];
/// Socket families that are denied: the kernel's cryptography, for its history
/// of holes, and what leads out past any network namespace.
const FAMILIES: [u32; 2] = [libc::AF_ALG.cast_unsigned(), libc::AF_VSOCK.cast_unsigned()];
/// What types into a terminal: denied on one that is the user's own.
const TYPING: [u32; 2] = [0x5412, 0x541c]; // TIOCSTI, TIOCLINUX

/// Numbers without a call, or of calls that Docker does not know or that no
/// kernel has any more: denied with `EPERM` too, in the columns of [`DENIED`].
/// The kernel's own traps of x86-64 (335 and 336) pass every filter.
const NAMELESS: [&[RangeInclusive<u32>]; 3] = [
    &[181..=185, 337..=423],
    &[
        17..=18,
        28..=28,
        31..=32,
        34..=35,
        44..=44,
        48..=48,
        53..=53,
        56..=56,
        58..=59,
        67..=69,
        72..=73,
        84..=84,
        89..=89,
        98..=98,
        109..=109,
        112..=112,
        134..=134,
        137..=137,
        188..=189,
        222..=223,
        251..=251,
        285..=285,
        387..=392,
        415..=415,
    ],
    &[244..=259, 295..=423],
];

/// What is denied with `EPERM`: numbers on x86-64, x86, and 64-bit ARM.
#[rustfmt::skip]
const DENIED: &[(&str, [Option<u32>; 3])] = &[
    ("acct", [Some(163), Some(51), Some(89)]),
    ("add_key", [Some(248), Some(286), Some(217)]),
    ("bpf", [Some(321), Some(357), Some(280)]),
    ("clock_settime", [Some(227), Some(264), Some(112)]),
    ("clock_settime64", [None, Some(404), None]),
    ("create_module", [Some(174), Some(127), None]),
    ("delete_module", [Some(176), Some(129), Some(106)]),
    ("fanotify_init", [Some(300), Some(338), Some(262)]),
    ("finit_module", [Some(313), Some(350), Some(273)]),
    ("fsconfig", [Some(431), Some(431), Some(431)]),
    ("fsmount", [Some(432), Some(432), Some(432)]),
    ("fsopen", [Some(430), Some(430), Some(430)]),
    ("fspick", [Some(433), Some(433), Some(433)]),
    ("get_kernel_syms", [Some(177), Some(130), None]),
    ("get_mempolicy", [Some(239), Some(275), Some(236)]),
    ("init_module", [Some(175), Some(128), Some(105)]),
    ("io_uring_enter", [Some(426), Some(426), Some(426)]),
    ("io_uring_register", [Some(427), Some(427), Some(427)]),
    ("io_uring_setup", [Some(425), Some(425), Some(425)]),
    ("ioperm", [Some(173), Some(101), None]),
    ("iopl", [Some(172), Some(110), None]),
    ("kcmp", [Some(312), Some(349), Some(272)]),
    ("kexec_file_load", [Some(320), None, Some(294)]),
    ("kexec_load", [Some(246), Some(283), Some(104)]),
    ("keyctl", [Some(250), Some(288), Some(219)]),
    ("lookup_dcookie", [Some(212), Some(253), Some(18)]),
    ("lsm_get_self_attr", [Some(459), Some(459), Some(459)]),
    ("lsm_list_modules", [Some(461), Some(461), Some(461)]),
    ("lsm_set_self_attr", [Some(460), Some(460), Some(460)]),
    ("mbind", [Some(237), Some(274), Some(235)]),
    ("migrate_pages", [Some(256), Some(294), Some(238)]),
    ("mount", [Some(165), Some(21), Some(40)]),
    ("mount_setattr", [Some(442), Some(442), Some(442)]),
    ("move_mount", [Some(429), Some(429), Some(429)]),
    ("move_pages", [Some(279), Some(317), Some(239)]),
    ("nfsservctl", [Some(180), Some(169), Some(42)]),
    ("open_by_handle_at", [Some(304), Some(342), Some(265)]),
    ("open_tree", [Some(428), Some(428), Some(428)]),
    ("perf_event_open", [Some(298), Some(336), Some(241)]),
    ("pidfd_getfd", [Some(438), Some(438), Some(438)]),
    ("pivot_root", [Some(155), Some(217), Some(41)]),
    ("process_madvise", [Some(440), Some(440), Some(440)]),
    ("query_module", [Some(178), Some(167), None]),
    ("quotactl", [Some(179), Some(131), Some(60)]),
    ("quotactl_fd", [Some(443), Some(443), Some(443)]),
    ("reboot", [Some(169), Some(88), Some(142)]),
    ("request_key", [Some(249), Some(287), Some(218)]),
    ("set_mempolicy", [Some(238), Some(276), Some(237)]),
    ("set_mempolicy_home_node", [Some(450), Some(450), Some(450)]),
    ("setdomainname", [Some(171), Some(121), Some(162)]),
    ("sethostname", [Some(170), Some(74), Some(161)]),
    ("setns", [Some(308), Some(346), Some(268)]),
    ("settimeofday", [Some(164), Some(79), Some(170)]),
    ("stime", [None, Some(25), None]),
    ("swapoff", [Some(168), Some(115), Some(225)]),
    ("swapon", [Some(167), Some(87), Some(224)]),
    ("sysfs", [Some(139), Some(135), None]),
    ("_sysctl", [Some(156), Some(149), None]),
    ("syslog", [Some(103), Some(103), Some(116)]),
    ("umount", [None, Some(22), None]),
    ("umount2", [Some(166), Some(52), Some(39)]),
    ("unshare", [Some(272), Some(310), Some(97)]),
    ("uselib", [Some(134), Some(86), None]),
    ("userfaultfd", [Some(323), Some(374), Some(282)]),
    ("ustat", [Some(136), Some(62), None]),
    ("vhangup", [Some(153), Some(111), Some(58)]),
    ("vm86", [None, Some(166), None]),
    ("vm86old", [None, Some(113), None]),
    ("vserver", [Some(236), Some(273), None]),
];

/// Offsets in `struct seccomp_data`; arguments by their low halves, as all
/// that are looked at are of 32 bits.
const NR: u32 = 0;
const ARCH: u32 = 4;
const ARG0: u32 = 16;
const ARG1: u32 = 24;

const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const AND: u16 = 0x54; // BPF_ALU | BPF_AND | BPF_K
const EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const AT_LEAST: u16 = 0x35; // BPF_JMP | BPF_JGE | BPF_K
const JUMP: u16 = 0x05; // BPF_JMP | BPF_JA
const RETURN: u16 = 0x06; // BPF_RET | BPF_K

const ALLOW: u32 = 0x7fff_0000;
const KILL: u32 = 0x8000_0000;
const ERRNO: u32 = 0x0005_0000;
const EPERM: u32 = ERRNO | libc::EPERM.cast_unsigned();
const ENOSYS: u32 = ERRNO | libc::ENOSYS.cast_unsigned();

/// Puts this thread, and all that it starts, under the filter. Where the
/// terminal is the user's own, nothing may type into it (Docker never gives a
/// container the user's terminal).
pub(super) fn install(users_terminal: bool) -> io::Result<()> {
    sys::install_filter(&program(users_terminal))
}

/// The filter.
fn program(users_terminal: bool) -> Vec<Instruction> {
    let mut program = vec![op(LOAD, ARCH)];
    for abi in &ABIS {
        let body = body(abi, users_terminal);
        program.push(Instruction { jt: 1, ..op(EQUAL, abi.audit) });
        program.push(op(JUMP, u32::try_from(body.len()).expect("a short program")));
        program.extend(body);
    }
    program.push(op(RETURN, KILL));
    program
}

/// What is done with the calls of one architecture; always returns.
fn body(abi: &Abi, users_terminal: bool) -> Vec<Instruction> {
    let mut body = vec![op(LOAD, NR)];
    // The bit of x32 is above all numbers.
    body.extend([Instruction { jf: 1, ..op(AT_LEAST, NEWER) }, op(RETURN, ENOSYS)]);
    body.extend([Instruction { jf: 1, ..op(EQUAL, CLONE3) }, op(RETURN, ENOSYS)]);
    for number in DENIED.iter().filter_map(|(_, numbers)| numbers[abi.column]) {
        body.extend([Instruction { jf: 1, ..op(EQUAL, number) }, op(RETURN, EPERM)]);
    }
    for range in NAMELESS[abi.column] {
        body.extend([
            Instruction { jf: 2, ..op(AT_LEAST, *range.start()) },
            Instruction { jt: 1, ..op(AT_LEAST, *range.end() + 1) },
            op(RETURN, EPERM),
        ]);
    }
    // Each of these loads an argument in place of the number and returns.
    body.extend([
        Instruction { jf: 5, ..op(EQUAL, abi.clone) },
        op(LOAD, ARG0),
        op(AND, NEW_NAMESPACES),
        Instruction { jf: 1, ..op(EQUAL, 0) },
        op(RETURN, ALLOW),
        op(RETURN, EPERM),
    ]);
    body.extend(by_argument(abi.socket, ARG0, &FAMILIES, EPERM, ALLOW));
    body.extend(by_argument(abi.personality, ARG0, &PERSONALITIES, ALLOW, EPERM));
    if users_terminal {
        body.extend(by_argument(abi.ioctl, ARG1, &TYPING, EPERM, ALLOW));
    }
    body.push(op(RETURN, ALLOW));
    body
}

/// For one call: `then` where that argument is of `values`, else `other`.
fn by_argument(
    call: u32,
    argument: u32,
    values: &[u32],
    then: u32,
    other: u32,
) -> Vec<Instruction> {
    let count = u8::try_from(2 + 2 * values.len()).expect("a handful");
    let mut part = vec![Instruction { jf: count, ..op(EQUAL, call) }, op(LOAD, argument)];
    for value in values {
        part.extend([Instruction { jf: 1, ..op(EQUAL, *value) }, op(RETURN, then)]);
    }
    part.push(op(RETURN, other));
    part
}

fn op(code: u16, k: u32) -> Instruction {
    Instruction { code, jt: 0, jf: 0, k }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the filter as the kernel would.
    fn verdict(arch: u32, nr: u32, arg0: u32) -> u32 {
        verdict_of(&program(false), arch, nr, arg0)
    }

    fn verdict_of(program: &[Instruction], arch: u32, nr: u32, arg0: u32) -> u32 {
        let (mut at, mut a) = (0_usize, 0_u32);
        loop {
            let Instruction { code, jt, jf, k } = program[at];
            at += 1;
            let mut branch = |taken: bool| at += usize::from(if taken { jt } else { jf });
            match code {
                LOAD => {
                    a = match k {
                        NR => nr,
                        ARCH => arch,
                        _ => arg0,
                    }
                }
                AND => a &= k,
                EQUAL => branch(a == k),
                AT_LEAST => branch(a >= k),
                JUMP => at += k as usize,
                RETURN => return k,
                _ => panic!("an instruction that is never made"),
            }
        }
    }

    #[test]
    fn calls_fare_as_under_dockers_default_profile() {
        for abi in &ABIS {
            let of = |nr, arg0| verdict(abi.audit, nr, arg0);
            for (name, numbers) in DENIED {
                if let Some(nr) = numbers[abi.column] {
                    assert_eq!(of(nr, 0), EPERM, "{name}");
                }
            }
            let own = |nr, arg| verdict_of(&program(true), abi.audit, nr, arg);
            assert_eq!((own(abi.ioctl, 0x5412), own(abi.ioctl, 0x5401)), (EPERM, ALLOW));
            assert_eq!((of(abi.ioctl, 0x5412), own(abi.clone, 17)), (ALLOW, ALLOW));
            assert_eq!(of(CLONE3, 0), ENOSYS);
            assert_eq!(of(500, 0), ENOSYS);
            assert_eq!(of(abi.clone, 17), ALLOW);
            assert_eq!(of(abi.clone, 0x1000_0011), EPERM, "CLONE_NEWUSER");
            assert_eq!(of(abi.socket, 2), ALLOW);
            for family in FAMILIES {
                assert_eq!(of(abi.socket, family), EPERM);
            }
            for nr in NAMELESS[abi.column].iter().cloned().flatten() {
                assert_eq!(of(nr, 0), EPERM, "{nr}");
            }
            assert_eq!(of(abi.personality, 0x0002_0000), ALLOW);
            assert_eq!(of(abi.personality, 0x0004_0000), EPERM, "ADDR_NO_RANDOMIZE");
            assert_eq!(of(424, 0), ALLOW, "pidfd_send_signal");
        }
        assert_eq!(verdict(0, 0, 0), KILL, "an architecture of its own");
    }

    #[test]
    fn no_call_of_another_abi_gets_by() {
        for abi in &ABIS {
            for nr in 0..NEWER {
                assert_eq!(verdict(abi.audit, 0x4000_0000 | nr, 0), ENOSYS, "x32 {nr}");
            }
        }
    }
}
