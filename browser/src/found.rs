//! Which browser there is.

use std::path::PathBuf;

/// What brings both on Debian.
const INSTALL: &str = "apt-get install chromium chromium-driver";

/// The browser and its driver.
pub(crate) struct Programs {
    pub(crate) browser: PathBuf,
    pub(crate) driver: PathBuf,
}

/// Looks for them on the path.
pub(crate) fn programs() -> Result<Programs, String> {
    let browser = ["chromium", "chromium-browser", "google-chrome"]
        .into_iter()
        .find_map(on_path)
        .ok_or_else(|| format!("no chromium on the path: {INSTALL}"))?;
    let driver = on_path("chromedriver");
    let driver = driver.ok_or_else(|| format!("no chromedriver on the path: {INSTALL}"))?;
    Ok(Programs { browser, driver })
}

/// Whether tests in a browser can run. Where there is none they are left out, and that is said; with
/// `CI=true` it is a failure.
///
/// # Panics
/// There is none, and `CI=true`.
#[allow(clippy::print_stderr, reason = "a test that is left out says so")]
pub fn is_here() -> bool {
    let Err(why) = programs() else { return true };
    let ci = std::env::var("CI").is_ok_and(|value| value == "true");
    assert!(!ci, "no browser: {why}");
    eprintln!("SKIPPED: no browser, the pages were NOT tested in one: {why}");
    false
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|dir| dir.join(name))
        .find(|program| program.is_file())
}
