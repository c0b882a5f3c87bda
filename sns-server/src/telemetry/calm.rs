//! The last thing between a log line and whoever reads it: what acts is an escape, and an event is one
//! line, whoever wrote what is in it and whether it was escaped before.

use std::io::{self, Write};

use sns_proto::escape::{escape, escape_json};

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// JSON, where an escape is one of JSON.
    Json,
    Text,
    /// Text with colours of our own.
    Colours,
}

/// Passes on whole events: the formatter hands over each in one piece.
#[derive(Debug)]
pub(super) struct Calm<W> {
    pub(super) to: W,
    pub(super) form: Form,
}

impl<W: Write> Write for Calm<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let line = text.strip_suffix('\n').unwrap_or(&text);
        let mut calm = match self.form {
            Form::Json => escape_json(line),
            Form::Text => escape(line),
            Form::Colours => coloured(line),
        };
        calm.push('\n');
        self.to.write_all(calm.as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// As [`escape`], but colours pass: they are all that a sequence of digits up to an `m` can ask for.
fn coloured(line: &str) -> String {
    let mut calm = String::with_capacity(line.len());
    let mut pieces = line.split("\u{1b}[");
    calm.push_str(&escape(pieces.next().unwrap_or_default()));
    for piece in pieces {
        let digits = piece.find(|c: char| !c.is_ascii_digit() && c != ';');
        if let Some(end) = digits.filter(|at| piece[*at..].starts_with('m')) {
            calm.push_str("\u{1b}[");
            calm.push_str(&piece[..=end]);
            calm.push_str(&escape(&piece[end + 1..]));
        } else {
            calm.push_str("\\u{1b}[");
            calm.push_str(&escape(piece));
        }
    }
    calm
}

#[cfg(test)]
#[path = "../../../sns-core/tests/support/hostile.rs"]
mod hostile;

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use sns_proto::escape::is_treacherous;
    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct To(Kept, Form);

    impl<'a> MakeWriter<'a> for To {
        type Writer = Calm<Kept>;

        fn make_writer(&'a self) -> Self::Writer {
            Calm {
                to: self.0.clone(),
                form: self.1,
            }
        }
    }

    /// What a log shows of a text that somebody forgot to escape: as a message, as a field, by
    /// `Display` and by `Debug`.
    fn logged(text: &str, form: Form) -> String {
        let kept = Kept::default();
        let to = To(kept.clone(), form);
        let text_form = tracing_subscriber::fmt().with_writer(to);
        let text_form = text_form.with_ansi(form == Form::Colours);
        let work = || {
            tracing::info!(name = text, shown = %text, debug = ?text, "{text}");
        };
        if form == Form::Json {
            tracing::subscriber::with_default(text_form.json().finish(), work);
        } else {
            tracing::subscriber::with_default(text_form.finish(), work);
        }
        String::from_utf8(kept.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn whatever_is_logged_is_one_line_that_acts_on_nothing() {
        let scripts = hostile::SCRIPTS.iter().map(|text| (*text).to_owned());
        for text in hostile::texts().into_iter().chain(scripts) {
            for form in [Form::Json, Form::Text, Form::Colours] {
                let log = logged(&text, form);
                let line = log.strip_suffix('\n').expect("a line");
                let plain = match form {
                    // Only colours are left of what begins with an escape.
                    Form::Colours => line.replace("\u{1b}[", ""),
                    _ => line.to_owned(),
                };
                assert!(!plain.contains(is_treacherous), "{form:?} {line:?}");
                if form == Form::Json {
                    let json: serde_json::Value = serde_json::from_str(line).expect("JSON");
                    assert_eq!(json["fields"]["name"], *text, "nothing is lost");
                }
            }
        }
    }

    #[test]
    fn colours_pass_and_nothing_else_does() {
        let red = "\u{1b}[31mred\u{1b}[0m";
        assert_eq!(coloured(red), red);
        assert_eq!(coloured("\u{1b}[2J\u{1b}[m"), "\\u{1b}[2J\u{1b}[m");
        assert_eq!(
            coloured("\u{1b}]0;x\u{7}\u{1b}[6n"),
            "\\u{1b}]0;x\\u{7}\\u{1b}[6n"
        );
        assert_eq!(coloured("a\u{1b}["), "a\\u{1b}[");
    }
}
