//! A program on a pseudo-terminal, and a picture of its screen.

use std::fmt::Write as _;
use std::num::NonZero;
use std::path::Path;
use std::sync::{Arc, Mutex};

use pty_process::{Command, OwnedWritePty, Pts, Size};
use sns_browser::{Page, until};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Child;
use vt100::{Cell, Color, Parser, Screen};

/// Colours 0 to 15 of the picture, on a dark ground.
const PALETTE: [&str; 16] = [
    "#1c2128", "#ff7b72", "#56d364", "#e3b341", "#79c0ff", "#d2a8ff", "#56d4dd", "#c9d1d9",
    "#8b949e", "#ffa198", "#7ee787", "#f2cc60", "#a5d6ff", "#e2c5ff", "#b3f0ff", "#ffffff",
];
const STYLE: &str = "html { background: #0d1117; color: #c9d1d9 }
    body { margin: 0; width: max-content }
    pre { margin: 0; padding: 14px 16px; font: 14px/1.35 'DejaVu Sans Mono', monospace; font-variant-ligatures: none }
    .dim { opacity: .62 } .bold { font-weight: 700; color: #f0f6fc }
    .cursor { outline: 1px solid #c9d1d9 }";

/// Somebody in front of a terminal.
pub(crate) struct Terminal {
    _child: Child,
    keys: OwnedWritePty,
    screen: Arc<Mutex<Parser>>,
    /// Kept open, so that the terminal outlives the program.
    _pts: Pts,
}

impl Terminal {
    /// Starts a program in front of so many columns and rows.
    pub(crate) fn start(
        program: &Path,
        args: &[&str],
        home: &Path,
        (columns, rows): (u16, u16),
    ) -> Self {
        let (pty, pts) = pty_process::open().expect("a terminal");
        pty.resize(Size::new(rows, columns)).expect("resized");
        let mut command = Command::new(program)
            .args(args)
            .env("TERM", "xterm-256color")
            .env("XDG_STATE_HOME", home);
        for name in ["SNS_USER", "SNS_JSON", "SNS_HISTORY", "NO_COLOR"] {
            command = command.env_remove(name);
        }
        let child = command.kill_on_drop(true).spawn_borrowed(&pts);
        let (mut shown, keys) = pty.into_split();
        let size = |number| NonZero::new(number).expect("a size");
        let screen = Arc::new(Mutex::new(Parser::new(size(rows), size(columns), 0)));
        let parser = Arc::clone(&screen);
        tokio::spawn(async move {
            let mut bytes = [0; 4_096];
            while let Ok(read @ 1..) = shown.read(&mut bytes).await {
                parser.lock().expect("sound").process(&bytes[..read]);
            }
        });
        Self {
            _child: child.expect("starts"),
            keys,
            screen,
            _pts: pts,
        }
    }

    pub(crate) async fn types(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).await.expect("typed");
    }

    fn text(&self) -> String {
        self.screen.lock().expect("sound").screen().contents()
    }

    /// Waits until this is on the screen.
    pub(crate) async fn sees(&self, text: &str) {
        until(
            &format!("{text:?} on the screen:\n{}", self.text()),
            async || self.text().contains(text).then_some(()),
        )
        .await;
    }

    /// Whether this is on the screen.
    pub(crate) fn shows(&self, text: &str) -> bool {
        self.text().contains(text)
    }

    /// A picture of the screen, a PNG, taken by a page that is good for nothing else.
    pub(crate) async fn picture(&self, page: &Page) -> Vec<u8> {
        let html = html(self.screen.lock().expect("sound").screen());
        page.goto("about:blank").await;
        page.call(
            "document.head.innerHTML = '<style>' + arguments[0] + '</style>';
            document.body.innerHTML = arguments[1]",
            vec![STYLE.into(), html.into()],
        )
        .await;
        let extent =
            "const { width, height } = document.querySelector('pre').getBoundingClientRect();
            return [Math.ceil(width), Math.ceil(height)]";
        let extent = page.js(extent).await;
        let side = |at: usize| {
            let pixels = extent[at].as_u64().and_then(|it| u32::try_from(it).ok());
            pixels.expect("a size")
        };
        page.resize(sns_browser::Size {
            width: side(0),
            height: side(1),
        })
        .await;
        page.picture().await
    }
}

/// The screen as elements: a `span` for each run of cells that look the same.
fn html(screen: &Screen) -> String {
    let (rows, columns) = screen.size();
    let mut html = String::from("<pre>");
    let mut last = rows.get();
    let blank = |row: u16| {
        (0..columns.get()).all(|column| {
            screen
                .cell(row, column)
                .is_none_or(|it| it.contents().trim().is_empty())
        })
    };
    while last > 1 && blank(last - 1) {
        last -= 1;
    }
    for row in 0..last {
        let mut open = String::new();
        for column in 0..columns.get() {
            let Some(cell) = screen.cell(row, column) else {
                continue;
            };
            if cell.is_wide_continuation() {
                continue;
            }
            let look = look(cell);
            if look != open {
                if !open.is_empty() {
                    html += "</span>";
                }
                if !look.is_empty() {
                    write!(html, "<span {look}>").expect("a string");
                }
                open = look;
            }
            match cell.contents() {
                "" => html.push(' '),
                "<" => html += "&lt;",
                "&" => html += "&amp;",
                text => html += text,
            }
        }
        if !open.is_empty() {
            html += "</span>";
        }
        html.push('\n');
    }
    html + "</pre>"
}

/// The attributes of a cell; none for plain text.
fn look(cell: &Cell) -> String {
    let mut classes = Vec::new();
    for (name, is) in [("bold", cell.bold()), ("dim", cell.dim())] {
        if is {
            classes.push(name);
        }
    }
    let (mut front, mut back) = (colour(cell.fgcolor()), colour(cell.bgcolor()));
    if cell.inverse() {
        (front, back) = (
            back.or(Some("#0d1117".to_owned())),
            front.or(Some("#c9d1d9".to_owned())),
        );
    }
    let mut style = String::new();
    for (property, value) in [("color", front), ("background", back)] {
        if let Some(value) = value {
            write!(style, "{property}:{value};").expect("a string");
        }
    }
    if cell.underline() {
        style += "text-decoration:underline;";
    }
    let mut look = String::new();
    if !classes.is_empty() {
        write!(look, "class=\"{}\" ", classes.join(" ")).expect("a string");
    }
    if !style.is_empty() {
        write!(look, "style=\"{style}\"").expect("a string");
    }
    look
}

fn colour(colour: Color) -> Option<String> {
    match colour {
        Color::Default => None,
        Color::Rgb(red, green, blue) => Some(format!("rgb({red} {green} {blue})")),
        Color::Idx(index @ 0..16) => Some(PALETTE[usize::from(index)].to_owned()),
        Color::Idx(index @ 16..232) => {
            let part = |part: u8| {
                if part == 0 {
                    0
                } else {
                    55 + 40 * u16::from(part)
                }
            };
            let index = index - 16;
            let (red, green, blue) = (part(index / 36), part(index / 6 % 6), part(index % 6));
            Some(format!("rgb({red} {green} {blue})"))
        }
        Color::Idx(index) => {
            let grey = 8 + 10 * u16::from(index - 232);
            Some(format!("rgb({grey} {grey} {grey})"))
        }
    }
}
