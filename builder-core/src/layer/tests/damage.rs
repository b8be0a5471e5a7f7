//! What is stored may be damaged: it is mended or told, never believed.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::*;

fn pieces() -> Vec<Piece> {
    vec![directory("d"), file("d/noise", noise(3 << 20, 9)), file("e", "text")]
}

fn flip(file: &Path, at: u64) {
    let file = OpenOptions::new().read(true).write(true).open(file).expect("there");
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("long enough");
    file.write_all_at(&[byte[0] ^ 0x40], at).expect("writable");
}

fn blob_path(scratch: &Scratch, desc: &LayerDesc) -> std::path::PathBuf {
    scratch.dir.path().join("blobs/sha256").join(desc.blob.hex())
}

/// A layer of ours, and one whose blob is a single member.
fn layers(scratch: &Scratch) -> Vec<LayerDesc> {
    let mut layers = vec![];
    for compression in ALL {
        layers.push(write(&scratch.store, compression, 2, &pieces()).expect("written"));
    }
    let tar = tar_bytes(&open(&scratch.store, &layers[0]));
    let zstd = zstd::encode_all(&tar[..], 1).expect("compresses");
    let foreign = super::super::import(&scratch.store, &mut &zstd[..], Compression::Zstd, None);
    layers.push(foreign.expect("imported"));
    layers
}

#[test]
fn no_damaged_byte_of_a_table_is_believed() {
    let scratch = scratch();
    let pieces = [directory("d"), file("d/noise", noise((1 << 20) + 9, 9)), file("e", "text")];
    let desc = write(&scratch.store, Compression::Gzip, 1, &pieces).expect("written");
    let table = scratch.store.table_path(&desc.blob);
    let good = std::fs::read(&table).expect("there");
    let layer = open(&scratch.store, &desc);
    let expected = (layer.entries().expect("readable"), contents(&layer).expect("readable"));
    // Frame records hold no checksum: a wrong length that still finds the bytes is harmless.
    let frames_at = good.len() - 2 * 48;
    for at in 0..good.len() {
        flip(&table, at as u64);
        // Data must not hide a wrong frame record.
        std::fs::remove_file(scratch.store.data_path(&desc.diff_id)).expect("there");
        let layer = open(&scratch.store, &desc);
        let actual = (layer.entries().expect("mended"), contents(&layer).expect("mended"));
        assert!(actual == expected, "byte {at}");
        let mended = std::fs::read(&table).expect("there") == good;
        assert!(mended || at >= frames_at, "byte {at}");
        std::fs::write(&table, &good).expect("writable");
    }
}

#[test]
fn a_missing_or_cut_table_is_made_again() {
    let scratch = scratch();
    for desc in layers(&scratch) {
        let table = scratch.store.table_path(&desc.blob);
        let good = std::fs::read(&table).expect("there");
        for len in [0, 1, 255, 256, good.len() - 1] {
            std::fs::write(&table, &good[..len]).expect("writable");
            assert_eq!(contents(&open(&scratch.store, &desc)).expect("mended").len(), 2);
            assert_eq!(std::fs::read(&table).expect("there"), good);
        }
        std::fs::remove_file(&table).expect("there");
        assert_eq!(contents(&open(&scratch.store, &desc)).expect("mended").len(), 2);
    }
}

#[test]
fn damaged_data_is_filled_again() {
    let scratch = scratch();
    for desc in layers(&scratch) {
        let expected = contents(&open(&scratch.store, &desc)).expect("readable");
        if desc.compression == Compression::None {
            continue;
        }
        let data = scratch.store.data_path(&desc.diff_id);
        for at in [2000, 1 << 20, (2 << 20) + 17] {
            flip(&data, at);
            assert_eq!(contents(&open(&scratch.store, &desc)).expect("mended"), expected);
        }
        std::fs::remove_file(&data).expect("there");
        assert_eq!(contents(&open(&scratch.store, &desc)).expect("mended"), expected);
        std::fs::write(&data, b"").expect("writable");
        assert_eq!(contents(&open(&scratch.store, &desc)).expect("mended"), expected);
    }
}

#[test]
fn a_damaged_blob_is_told_and_its_bytes_are_not_given() {
    let scratch = scratch();
    for desc in layers(&scratch) {
        let layer = open(&scratch.store, &desc);
        let _ = std::fs::remove_file(scratch.store.data_path(&desc.diff_id));
        flip(&blob_path(&scratch, &desc), desc.size / 2);
        let failed = contents(&layer).expect_err("a byte of the noise is wrong");
        assert!(matches!(failed, LayerError::Damaged { what: "blob", .. }), "{failed}");
        let mut tar = layer.tar().expect("a stream");
        assert!(std::io::copy(&mut tar, &mut std::io::sink()).is_err());
        flip(&blob_path(&scratch, &desc), desc.size / 2);
        assert_eq!(contents(&layer).expect("whole again").len(), 2);
    }
}

#[test]
fn a_layer_is_not_opened_under_another_name() {
    let scratch = scratch();
    let layers = layers(&scratch);
    let wrong =
        LayerDesc { diff_id: crate::digest::DiffId::from_bytes([7; 32]), ..layers[1].clone() };
    assert!(matches!(Layer::open(&scratch.store, &wrong), Err(LayerError::Digest { .. })));
    std::fs::remove_file(blob_path(&scratch, &layers[1])).expect("there");
    assert!(Layer::open(&scratch.store, &layers[1]).is_err(), "its blob is gone");
}

#[test]
fn many_threads_and_two_handles_read_the_same() {
    let scratch = scratch();
    for desc in layers(&scratch) {
        let expected = contents(&open(&scratch.store, &desc)).expect("readable");
        let _ = std::fs::remove_file(scratch.store.data_path(&desc.diff_id));
        let handles = [open(&scratch.store, &desc), open(&scratch.store, &desc)];
        std::thread::scope(|scope| {
            for at in 0..8 {
                let (layer, expected) = (&handles[at % 2], &expected);
                scope.spawn(move || assert_eq!(&contents(layer).expect("readable"), expected));
            }
        });
    }
}
