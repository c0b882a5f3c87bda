//! Lists the files of `web/`, so that the program embeds each of them by its name.

use std::path::Path;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let root = env::var("CARGO_MANIFEST_DIR").map_err(io::Error::other)?;
    let web = Path::new(&root).join("web");
    // Also when a file comes or goes.
    println!("cargo:rerun-if-changed={}", web.display());
    let mut files: Vec<_> = fs::read_dir(&web)?.collect::<io::Result<_>>()?;
    files.sort_unstable_by_key(fs::DirEntry::file_name);
    let embedded = files.iter().map(|file| {
        let (path, name) = (file.path().display().to_string(), file.file_name());
        println!("cargo:rerun-if-changed={path}");
        let name = name.display().to_string();
        format!("    ({name:?}, include_bytes!({path:?})),\n")
    });
    let list = format!("&[\n{}]\n", embedded.collect::<String>());
    let out = env::var("OUT_DIR").map_err(io::Error::other)?;
    fs::write(Path::new(&out).join("assets.rs"), list)
}
