//! A watch as rows of text, no wider and no more than the screen. Plain functions.

use unicode_segmentation::UnicodeSegmentation as _;
use unicode_width::UnicodeWidthStr as _;

use super::watch::{Health, Row, Watch};
use crate::paint::Paint;
use crate::render::escape;

/// Between two columns.
const GAP: usize = 2;
/// The longest name shown whole.
const NAME_MAX: usize = 24;
/// A reason gets a column where it has this much room; else a row of its own.
const REASON_MIN: usize = 24;
/// Rows for changes, at most.
const CHANGES_MAX: usize = 5;

struct Column {
    title: &'static str,
    text: fn(&Row) -> String,
    right: bool,
    /// The last to go is 0.
    rank: u8,
}

const COLUMNS: [Column; 9] = [
    column("server", 0, |row| cut(&escape(&row.server.name), NAME_MAX)).left(),
    column("role", 8, |row| row.role().to_owned()).left(),
    column("state", 1, |row| row.state().to_owned()).left(),
    column("pid", 7, |row| number(row, row.server.pid.into())),
    column("applied", 6, |row| number(row, row.server.applied)),
    column("lag", 2, |row| number(row, row.lag())),
    column("entries/s", 3, |row| rate(row.rate)),
    column("streams", 5, |row| number(row, row.server.streams)),
    column("restarts", 4, |row| row.server.restarts.to_string()),
];

const fn column(title: &'static str, rank: u8, text: fn(&Row) -> String) -> Column {
    Column {
        title,
        text,
        right: true,
        rank,
    }
}

impl Column {
    const fn left(mut self) -> Self {
        self.right = false;
        self
    }
}

fn number(row: &Row, number: u64) -> String {
    if row.runs() {
        number.to_string()
    } else {
        "-".to_owned()
    }
}

fn rate(rate: Option<f64>) -> String {
    rate.map_or("-".to_owned(), |rate| format!("{rate:.0}"))
}

/// The line above the table: the router asked, how many serve, how fast the log grows.
pub(crate) fn header(watch: &Watch, router: &str) -> String {
    let (serving, all) = (watch.serving(), watch.rows().len());
    let total = rate(watch.total());
    let router = escape(router);
    format!("router {router}  {serving} of {all} serving  {total} entries/s")
}

/// The table: at most `width` columns and `height` rows. Where it is too high the unwell stay.
pub(crate) fn rows(watch: &Watch, width: usize, height: usize, paint: Paint) -> Vec<String> {
    let all = watch.rows();
    let cells: Vec<Vec<String>> = all
        .iter()
        .map(|row| COLUMNS.iter().map(|column| (column.text)(row)).collect())
        .collect();
    let (widths, shown, used) = fit(&cells, width);
    let room = width.saturating_sub(used + GAP);
    let beside = room >= REASON_MIN;
    let line = |mark: &str, cell: &dyn Fn(usize) -> String| {
        let mut line = mark.to_owned();
        for at in (0..COLUMNS.len()).filter(|at| shown[*at]) {
            let (text, gap) = (cell(at), if at == 0 { 1 } else { GAP });
            let pad = widths[at].saturating_sub(text.width());
            let (before, after) = if COLUMNS[at].right {
                (pad, 0)
            } else {
                (0, pad)
            };
            line += &" ".repeat(gap + before);
            line += &text;
            line += &" ".repeat(after);
        }
        line
    };
    let mut title = line(" ", &|at| COLUMNS[at].title.to_owned());
    if beside && all.iter().any(|row| !row.server.reason.is_empty()) {
        title += "  reason";
    }
    let mut groups: Vec<(Health, Vec<String>)> = Vec::new();
    for (row, cells) in all.iter().zip(&cells) {
        let health = row.health();
        let mark = match health {
            Health::Well => " ",
            Health::Weak => "*",
            Health::OnItsWay => "~",
            Health::Bad => "!",
        };
        let mut group = vec![line(mark, &|at| cells[at].clone())];
        let reason = escape(&row.server.reason);
        if !reason.is_empty() && beside {
            group[0] += "  ";
            group[0] += &cut(&reason, room);
        } else if !reason.is_empty() {
            group.push(format!("    {reason}"));
        }
        groups.push((health, group));
    }
    let mut rows = vec![paint.bold(&cut(title.trim_end(), width))];
    let left_out = shorten(&mut groups, height.saturating_sub(1));
    for (health, group) in groups {
        for row in group {
            let row = cut(row.trim_end(), width);
            rows.push(match health {
                Health::Well => row,
                Health::Weak | Health::OnItsWay => paint.yellow(&row),
                Health::Bad => paint.red(&row),
            });
        }
    }
    if left_out > 0 {
        rows.push(cut(
            &format!("  {left_out} more; the screen is too low"),
            width,
        ));
    }
    rows
}

/// How wide each column is, which are shown, and what that takes.
fn fit(
    cells: &[Vec<String>],
    width: usize,
) -> ([usize; COLUMNS.len()], [bool; COLUMNS.len()], usize) {
    let mut widths = [0; COLUMNS.len()];
    for (at, column) in COLUMNS.iter().enumerate() {
        let widest = cells.iter().map(|cells| cells[at].width()).max();
        widths[at] = widest.unwrap_or(0).max(column.title.width());
    }
    let mut shown = [true; COLUMNS.len()];
    let used = |shown: &[bool; COLUMNS.len()]| {
        let columns = (0..COLUMNS.len()).filter(|at| shown[*at]);
        // The first has the mark and a blank before it.
        columns.map(|at| widths[at] + GAP).sum::<usize>()
    };
    for rank in (1..COLUMNS.len()).rev() {
        if used(&shown) <= width {
            break;
        }
        if let Some(at) = COLUMNS
            .iter()
            .position(|column| usize::from(column.rank) == rank)
        {
            shown[at] = false;
        }
    }
    let used = used(&shown);
    (widths, shown, used)
}

/// Leaves out servers until all fits, those that are well first, the last of them first; how many.
fn shorten(groups: &mut Vec<(Health, Vec<String>)>, height: usize) -> usize {
    let all = groups.len();
    while !groups.is_empty() {
        let needed: usize = groups.iter().map(|(_, rows)| rows.len()).sum();
        if needed + usize::from(groups.len() < all) <= height {
            break;
        }
        let well = groups
            .iter()
            .rposition(|(health, _)| *health == Health::Well);
        groups.remove(well.unwrap_or(groups.len() - 1));
    }
    all - groups.len()
}

/// The whole screen. `gone` = no router answers: why, and since when; what is shown is old then.
pub(crate) fn page(
    watch: &Watch,
    router: &str,
    gone: Option<&str>,
    (width, height): (usize, usize),
    paint: Paint,
) -> Vec<String> {
    // In the last column a terminal is of two minds where the cursor is.
    let width = width.saturating_sub(1);
    // The header and the last row. Servers go before what happened to them.
    let room = height.saturating_sub(2);
    let needed = rows(watch, width, usize::MAX, Paint::PLAIN).len();
    let left = room.saturating_sub(needed + 1).min(CHANGES_MAX);
    let changes: Vec<String> = watch.changes().take(left).collect();
    let mut page = Vec::new();
    if let Some(gone) = gone {
        page.push(paint.red(&cut(&format!("! {}", escape(gone)), width)));
        let old = rows(watch, width, room, Paint::PLAIN);
        page.extend(old.iter().map(|row| paint.dim(row)));
    } else {
        page.push(cut(&header(watch, router), width));
        page.extend(rows(watch, width, room, paint));
    }
    if !changes.is_empty() {
        page.push(String::new());
        page.extend(changes.iter().map(|change| paint.dim(&cut(change, width))));
    }
    page.truncate(height.saturating_sub(1));
    // The last row, whatever is above it.
    page.resize(height.saturating_sub(1), String::new());
    page.push(paint.dim(&cut("q quits", width)));
    page
}

/// At most so many columns of it.
fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut kept = String::new();
    for letter in text.graphemes(true) {
        if kept.width() + letter.width() + 1 > width {
            break;
        }
        kept.push_str(letter);
    }
    if width > 0 {
        kept.push('…');
    }
    kept
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
