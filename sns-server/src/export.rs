//! `export`: everything that a feed holds as JSON lines, at one seq, beside running servers.
//!
//! `docs/export-format.md` describes the format. It holds nothing that an import cannot bring back, so
//! that the export of an imported feed is the same file, byte for byte.

pub(crate) mod lines;

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use serde_json::json;
use sns_core::facts::{Export, Fact};

use crate::args;
use crate::backup::{is_dash, summarise, to};
use crate::config::{DataConfig, LogPlace};
use crate::failure::{Failure, Result};
use crate::progress::Bar;
use lines::{Header, Writer};

/// `export`
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// The data directory.
    #[command(flatten)]
    pub data: args::Data,
    /// The file to make; `-`: stdout, and the summary goes to stderr.
    #[arg(long, value_name = "FILE", default_value = "-")]
    pub out: PathBuf,
    /// Replace the file that is there.
    #[arg(long)]
    pub force: bool,
    /// Leave out the hashes of passwords: whoever imports it has names that belong to nobody.
    #[arg(long)]
    pub without_accounts: bool,
}

/// `export`, checked.
#[derive(Clone, Debug)]
pub struct ExportConfig {
    /// The data directory.
    pub data: DataConfig,
    /// Where it goes; `-`: stdout.
    pub out: PathBuf,
    /// Replace a file.
    pub force: bool,
    /// With the hashes of passwords.
    pub accounts: bool,
}

impl ExportConfig {
    /// Checks what was typed.
    ///
    /// # Errors
    /// `Invalid`: the log.
    pub fn check(typed: ExportArgs) -> Result<Self> {
        Ok(Self {
            data: DataConfig::check(typed.data.data, typed.data.storage)?,
            out: typed.out,
            force: typed.force,
            accounts: !typed.without_accounts,
        })
    }
}

/// Exports, and prints a summary.
///
/// # Errors
/// `Invalid`: there is no data, or the file is there already. Else as the log or the system refuse.
pub fn run(config: &ExportConfig, json: bool) -> Result<()> {
    let began = Instant::now();
    if config.data.log == LogPlace::Dir {
        config.data.existing()?;
    }
    let sns = config.data.builder("export")?.open()?;
    let exported = to(&config.out, config.force, |out| {
        let export = sns.export()?;
        let (seq, digest) = (export.seq(), export.digest());
        let counted = write(export, config.accounts, out)?;
        Ok((seq, digest, counted))
    });
    sns.close();
    let (seq, digest, done) = exported?;
    let object = json!({
        "file": config.out,
        "seq": seq.as_u64(),
        "digest": format!("{digest:032x}"),
        "users": done.users,
        "accounts": done.accounts,
        "follows": done.follows,
        "posts": done.posts,
        "bytes": done.bytes,
        "ms": u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
    });
    let place = if is_dash(&config.out) {
        "stdout".into()
    } else {
        config.out.display().to_string()
    };
    let secret = if done.accounts > 0 {
        format!(
            "; it holds the password hashes of {}: keep it to yourself",
            done.accounts
        )
    } else {
        String::new()
    };
    let text = format!(
        "exported to {place}: seq {seq}, {} users, {} follows, {} posts, {} bytes{secret}",
        done.users, done.follows, done.posts, done.bytes
    );
    summarise(&config.out, json, &object, &text)
}

fn write(export: Export, accounts: bool, out: &mut dyn std::io::Write) -> Result<lines::Written> {
    let (users, follows, posts) = export.counts();
    let bar = Bar::lines("exporting", users + follows + posts);
    let header = Header::new(accounts, export.log_time_ms());
    let mut writer = Writer::begin(out, &header)?;
    let mut count = 0_u64;
    export.each::<Failure>(&mut |mut fact| {
        if let Fact::User { password, .. } = &mut fact
            && !accounts
        {
            *password = None;
        }
        count += 1;
        if count.is_multiple_of(1_024) {
            bar.at(count);
        }
        writer.fact(&fact)
    })?;
    bar.clear();
    writer.end()
}
