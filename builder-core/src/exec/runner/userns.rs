//! Becoming root in a user namespace.

use std::fs;
use std::io;

use rustix::process::{Gid, Uid, getegid, geteuid};
use rustix::thread::{UnshareFlags, set_thread_res_gid, set_thread_res_uid};

use super::super::spec::{Fault, FaultKind, Ids, OrFault, Order, Report};
use super::super::sys::unshare;
use super::super::wire::Wire;
use super::{next_order, stopped};

/// Enters the user namespace that `ids` asks for, as its root.
pub(super) fn enter(wire: &Wire, ids: Ids) -> Result<(), Fault> {
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    if ids == Ids::Root {
        return Ok(());
    }
    unshare(UnshareFlags::NEWUSER).or_kind(FaultKind::UserNamespace, "making a user namespace")?;
    match ids {
        Ids::Root => {}
        Ids::Single => write_single(uid, gid).or_fault("mapping one id")?,
        Ids::Mapped => {
            wire.send(&Report::WriteIds, &[]).or_fault("asking for ids")?;
            match next_order(wire) {
                Some(Order::IdsWritten) => {}
                _ => return Err(stopped()),
            }
        }
    }
    set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT).or_fault("becoming group 0")?;
    set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT).or_fault("becoming user 0")?;
    if ids == Ids::Mapped {
        rustix::thread::set_thread_groups(&[]).or_fault("dropping groups")?;
    }
    Ok(())
}

fn write_single(uid: u32, gid: u32) -> io::Result<()> {
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("0 {uid} 1"))?;
    fs::write("/proc/self/gid_map", format!("0 {gid} 1"))
}
