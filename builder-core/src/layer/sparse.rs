//! Maps of sparse files: old GNU, and PAX 0.0, 0.1 and 1.0 of GNU tar.
//!
//! In: a map's numbers, wherever they stand. Out: runs of data, checked to be
//! in order, within the file, and all that the archive holds of it.

use super::header::BLOCK;
use super::pax::{MAX_SPARSE, number};
use super::untar::{Stream, field};
use super::{Extent, LayerError};

const MALFORMED: &str = "a sparse map is malformed";

/// The old GNU form: four runs in the header, 21 in each block that follows.
/// Gives the file's real size and offsets and lengths in turn.
pub(super) fn gnu(
    header: &[u8; BLOCK],
    stream: &mut Stream<'_>,
) -> Result<(u64, Vec<u64>), LayerError> {
    let mut map = vec![];
    let size = field(&header[483..495]).and_then(|size| u64::try_from(size).ok());
    let size = size.ok_or_else(|| stream.malformed(MALFORMED))?;
    runs(&header[386..482], &mut map, stream)?;
    let mut more = header[482] != 0;
    while more {
        let block = stream.block()?;
        runs(&block[..504], &mut map, stream)?;
        more = block[504] != 0;
    }
    Ok((size, map))
}

fn runs(fields: &[u8], map: &mut Vec<u64>, stream: &Stream<'_>) -> Result<(), LayerError> {
    for run in fields.as_chunks::<24>().0 {
        if run[0] == 0 {
            break;
        }
        for bytes in [&run[..12], &run[12..]] {
            let value = field(bytes).and_then(|value| u64::try_from(value).ok());
            map.push(value.ok_or_else(|| stream.malformed(MALFORMED))?);
        }
        if map.len() > 2 * MAX_SPARSE {
            return Err(stream.malformed("a sparse map is too large"));
        }
    }
    Ok(())
}

/// The form of PAX 1.0: decimal lines before the data, padded to a block.
pub(super) fn in_data(stream: &mut Stream<'_>, stored: u64) -> Result<Vec<u64>, LayerError> {
    let mut lines = Lines { stream, block: [0; BLOCK], at: BLOCK, left: stored };
    let count = lines.number()?;
    if count > MAX_SPARSE as u64 {
        return Err(lines.stream.malformed("a sparse map is too large"));
    }
    let mut map = vec![];
    for _ in 0..2 * count {
        map.push(lines.number()?);
    }
    Ok(map)
}

struct Lines<'s, 'a> {
    stream: &'s mut Stream<'a>,
    block: [u8; BLOCK],
    at: usize,
    left: u64,
}

impl Lines<'_, '_> {
    fn number(&mut self) -> Result<u64, LayerError> {
        let mut digits = vec![];
        loop {
            if self.at == BLOCK {
                let left = self.left.checked_sub(BLOCK as u64);
                self.left = left.ok_or_else(|| self.stream.malformed(MALFORMED))?;
                self.block = self.stream.block()?;
                self.at = 0;
            }
            let byte = self.block[self.at];
            self.at += 1;
            match byte {
                b'\n' => break,
                _ if digits.len() > 20 => return Err(self.stream.malformed(MALFORMED)),
                _ => digits.push(byte),
            }
        }
        number(&digits).ok_or_else(|| self.stream.malformed(MALFORMED))
    }
}

/// The runs of a file of `size` bytes, of which the `stored` ones come next.
pub(super) fn extents(
    map: &[u64],
    size: u64,
    stored: u64,
    stream: &Stream<'_>,
) -> Result<Vec<Extent>, LayerError> {
    let (mut extents, mut end, mut taken) = (vec![], 0, 0_u64);
    let (pairs, rest) = map.as_chunks::<2>();
    for [at, len] in pairs {
        let next = at.checked_add(*len).filter(|next| *at >= end && *next <= size);
        end = next.ok_or_else(|| stream.malformed(MALFORMED))?;
        if *len > 0 {
            extents.push(Extent { at: *at, offset: stream.at + taken, len: *len });
        }
        taken = taken.checked_add(*len).ok_or_else(|| stream.malformed(MALFORMED))?;
    }
    match rest.is_empty() && taken == stored {
        true => Ok(extents),
        false => Err(stream.malformed("a sparse map does not fit its data")),
    }
}
