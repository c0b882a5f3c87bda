//! A chromedriver, and the browsers that it starts.

use std::cell::Cell;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fantoccini::ClientBuilder;
use fantoccini::wd::Capabilities;
use hyper_util::client::legacy::connect::HttpConnector;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::found::programs;
use crate::page::{Page, Size};

/// Whoever is still there after SIGKILL and this sits in the kernel.
const DYING: Duration = Duration::from_secs(10);

/// What every browser is told. The sandbox of Chromium does not work for root, and `/dev/shm` is small
/// in a container.
const FLAGS: &[&str] = &[
    "--headless=new",
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-breakpad",
    "--force-color-profile=srgb",
    "--hide-scrollbars",
    "--no-first-run",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--enable-precise-memory-info",
    // Several browsers run at a time, and a window that is not in front is as much in use.
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
];

/// A chromedriver process in a process group of its own; it ends with this value, and its browsers too.
#[derive(Debug)]
pub struct Driver {
    child: Child,
    url: String,
    browser: String,
    profiles: TempDir,
    opened: Cell<u32>,
}

impl Driver {
    /// Starts one on a port that was free.
    pub fn start() -> Self {
        let programs = programs().unwrap_or_else(|why| panic!("{why}"));
        let profiles = tempfile::Builder::new().prefix("sns-browser-").tempdir();
        let profiles = profiles.expect("a directory");
        let child = Command::new(&programs.driver)
            .arg("--port=0")
            .env("HOME", profiles.path())
            .env("TMPDIR", profiles.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("chromedriver starts");
        let mut driver = Self {
            child,
            url: String::new(),
            browser: programs.browser.to_str().expect("a path").to_owned(),
            profiles,
            opened: Cell::new(0),
        };
        driver.url = format!("http://127.0.0.1:{}", driver.port());
        driver
    }

    /// Reads what it says until it names its port.
    fn port(&mut self) -> u16 {
        let stdout = self.child.stdout.take().expect("piped");
        let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
        let port = lines.find_map(|line| {
            let (_, port) = line.split_once("successfully on port ")?;
            port.trim_end_matches('.').parse().ok()
        });
        // It says no more than this.
        port.expect("chromedriver names its port")
    }

    /// Opens a browser of its own: nothing is shared with another page.
    pub async fn open(&self, size: Size) -> Page {
        self.opened.set(self.opened.get() + 1);
        let profile = self.profiles.path().join(self.opened.get().to_string());
        let mut flags: Vec<String> = FLAGS.iter().copied().map(str::to_owned).collect();
        flags.push(format!("--user-data-dir={}", profile.display()));
        flags.push(format!("--window-size={},{}", size.width, size.height));
        let Value::Object(wanted) = json!({
            "browserName": "chrome",
            "goog:chromeOptions": { "binary": self.browser, "args": flags },
            "goog:loggingPrefs": { "browser": "ALL" },
            // A dialog that nobody asked for makes the next command fail.
            "unhandledPromptBehavior": "dismiss and notify",
        }) else {
            unreachable!("an object")
        };
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(Capabilities::from_iter(wanted))
            .connect(&self.url)
            .await
            .expect("a browser starts");
        let page = Page::new(client, profile);
        page.resize(size).await;
        page
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let group = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let Some(group) = group else { return };
        let _ = kill_process_group(group, Signal::KILL);
        drop(self.child.wait());
        // The directory of their profiles goes next; those that write there must be gone.
        let deadline = Instant::now() + DYING;
        while any_of(self.child.id()) && Instant::now() < deadline {
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }
}

/// Whether a process of this group still runs. One that has ended and that nobody asked for, does not.
fn any_of(group: u32) -> bool {
    let Ok(processes) = std::fs::read_dir("/proc") else {
        return false;
    };
    let mut all =
        processes.filter_map(|entry| std::fs::read_to_string(entry.ok()?.path().join("stat")).ok());
    all.any(|stat| {
        // Behind the name, which may hold anything: state, parent, group.
        let words = stat.rsplit_once(") ").map_or("", |(_, words)| words);
        let words: Vec<&str> = words.split(' ').take(3).collect();
        matches!(words[..], [state, _, it] if state != "Z" && it == group.to_string())
    })
}
