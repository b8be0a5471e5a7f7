//! Writes a tree out that Phoenix sends.

use std::io;
use std::path::Path;

use super::super::spec::{Fault, OrFault, Order, Report, WireEntry};
use super::super::wire::{Frame, Incoming, Wire};
use super::stopped;
use crate::layer::{Change, Entry, Kind};
use crate::root::unpacked::Unpacker;

/// Asks for tree `index` and writes it into `dir`.
pub(super) fn receive(wire: &Wire, index: usize, dir: &Path) -> Result<(), Fault> {
    const WHAT: &str = "unpacking the file tree";
    wire.send(&Report::Tree { index }, &[]).or_fault(WHAT)?;
    let mut unpacker = Unpacker::new(dir).or_fault(WHAT)?;
    loop {
        match wire.recv::<Order>().or_fault(WHAT)? {
            Some(Frame::Message(Order::Entry(entry), _)) => put(wire, &mut unpacker, entry)?,
            Some(Frame::Message(Order::TreeEnd, _)) => break,
            _ => return Err(stopped()),
        }
    }
    unpacker.finish().or_fault(WHAT)
}

fn put(wire: &Wire, unpacker: &mut Unpacker, entry: WireEntry) -> Result<(), Fault> {
    let entry = Entry::try_from(entry)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
        .or_fault("taking an entry")?;
    let left = match &entry.change {
        Change::Present { kind: Kind::File { size, .. }, .. } => *size,
        _ => 0,
    };
    let mut content = Incoming::new(left, || match wire.recv::<Order>()? {
        Some(Frame::Content(part)) => Ok(part),
        // An end is wanted, or Phoenix could not read on.
        _ => Err(io::Error::from_raw_os_error(libc::ECANCELED)),
    });
    unpacker.put(&entry, &mut content).or_fault(format!("unpacking {}", entry.path.display()))
}
