//! `import --all`: a new feed made of an export.
//!
//! It is built in a directory that nobody opens before the last line was read and the checksum fits: so
//! all of it is there in the end, or nothing.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::Instant;

use serde_json::json;
use sns_core::facts::Import;
use sns_core::{ErrorKind, Reason};
use tokio_util::sync::CancellationToken;

use super::{shown, stopped};
use crate::backup::{is_dash, summarise};
use crate::config::{DataConfig, LogPlace};
use crate::export::lines::{Reader, Wrong};
use crate::failure::{Failure, Result};
use crate::progress::Bar;

/// Lines between two looks whether to stop, and two steps of the bar.
const LOOK: u64 = 1_024;

/// Makes the feed, and prints a summary.
///
/// # Errors
/// `Invalid`: a bad line, named by its number; the directory is not empty; the log lies elsewhere.
/// `Damaged`: the file is not whole. Nothing is left of it then.
pub(super) fn run(
    data: &DataConfig,
    file: &Path,
    json: bool,
    stop: &CancellationToken,
) -> Result<()> {
    let began = Instant::now();
    if data.log != LogPlace::Dir {
        return Err(Failure::invalid(
            "--all makes a data directory: import into one, then `sns-server log copy --from DIR --to \
             nats://HOST`",
        ));
    }
    let import = Import::begin(&data.path, data.force_network_fs)?;
    let (imported, lines) = if is_dash(file) {
        let from = BufReader::new(std::io::stdin().lock());
        load(import, from, "stdin", 0, stop)?
    } else {
        let name = shown(file);
        let failed = |e| Failure::io(format!("cannot read {name}"), &e);
        let from = File::open(file).map_err(failed)?;
        let size = from.metadata().map_err(failed)?.len();
        load(import, BufReader::new(from), &name, size, stop)?
    };
    let object = json!({
        "file": file,
        "data": imported.path,
        "data_id": imported.data_id,
        "users": imported.users,
        "follows": imported.follows,
        "posts": imported.posts,
        "lines": lines,
        "seq": imported.seq.as_u64(),
        "first": imported.first,
        "digest": format!("{:032x}", imported.digest),
        "ms": u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
    });
    let text = format!(
        "made {}: {} users, {} follows, {} posts",
        imported.path.display(),
        imported.users,
        imported.follows,
        imported.posts
    );
    summarise(Path::new(""), json, &object, &text)
}

fn load(
    mut import: Import,
    from: impl BufRead,
    name: &str,
    size: u64,
    stop: &CancellationToken,
) -> Result<(sns_core::facts::Imported, u64)> {
    let bar = Bar::bytes("importing", size);
    let mut reader = Reader::begin(from).map_err(|wrong| bad(name, 1, wrong))?;
    loop {
        let fact = match reader.fact() {
            Ok(Some(fact)) => fact,
            Ok(None) => break,
            Err(wrong) => {
                // Who stops a pipeline stops both of its ends.
                stopped(stop)?;
                return Err(bad(name, reader.number, wrong));
            }
        };
        import
            .add(fact)
            .map_err(|error| refused(name, reader.number, &error))?;
        if reader.number.is_multiple_of(LOOK) {
            stopped(stop)?;
            bar.at(reader.bytes);
        }
    }
    bar.clear();
    let imported = import.finish(reader.log_time_ms)?;
    Ok((imported, reader.number))
}

fn bad(name: &str, number: u64, wrong: Wrong) -> Failure {
    match wrong {
        Wrong::Line(why) => {
            Failure::invalid(format!("{name}:{number}: {why}; nothing was written"))
        }
        Wrong::Cut(why) => Failure {
            kind: ErrorKind::Damaged,
            reason: Some(Reason::Damaged),
            message: format!(
                "{name} is damaged at line {number}: {why}; nothing was written: export again"
            ),
        },
    }
}

/// A line that breaks a rule of the feed is a bad line; a full disk is not.
fn refused(name: &str, number: u64, error: &sns_core::Error) -> Failure {
    let of_the_line = match error.kind() {
        ErrorKind::Invalid | ErrorKind::NotFound | ErrorKind::Conflict => true,
        _ => error.reason() == Reason::TooManyFollowees,
    };
    if of_the_line {
        return bad(name, number, Wrong::Line(error.message().to_owned()));
    }
    error.clone().into()
}
