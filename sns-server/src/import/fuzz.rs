//! Files of an import made of hostile bytes.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::source::{Kind, Line, Source};

/// The first byte says what the file holds and whether it is compressed by us; a gzip of its own
/// making is known by its magic bytes. Reads it to its end, or to a bad line.
///
/// # Panics
/// When a promise about hostile files is broken.
pub fn import(data: &[u8]) {
    let Some((&mode, bytes)) = data.split_first() else {
        return;
    };
    let kind = [Kind::Users, Kind::Follows, Kind::Posts][usize::from(mode % 3)];
    let bytes = if mode & 0x80 == 0 {
        bytes.to_vec()
    } else {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).expect("memory");
        encoder.finish().expect("memory")
    };
    let file = tempfile::Builder::new();
    let shm = std::path::Path::new("/dev/shm");
    let mut file = if shm.is_dir() {
        file.tempfile_in(shm)
    } else {
        file.tempfile()
    }
    .expect("a place to write");
    file.write_all(&bytes).expect("a place to write");
    let source = Source {
        path: file.path().to_owned(),
        kind,
    };
    let size = source.size();
    let read = source.lines(|line, read| {
        assert!(read <= size);
        if let Line::Follow(user, followee) = line {
            assert_ne!(user, followee);
        }
        Ok(())
    });
    if let Err(failure) = read {
        assert_eq!(failure.exit_code(), 2, "{failure}");
        assert!(failure.message.len() < 2_000, "{failure}");
    }
}
