//! TOML as a flat list of keys, each with its table and its line.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Key, Value};

/// What is wrong, and in which line.
pub(super) type Wrong = (usize, String);

/// All keys of a file, in no particular order.
///
/// # Errors
/// It is no TOML, or a key is set to what no flag takes.
pub(super) fn keys(text: &str) -> Result<Vec<Key>, Wrong> {
    let lines = Lines(text);
    let root = DeTable::parse(text).map_err(|e| {
        let line = lines.of(e.span().map_or(0, |span| span.start));
        let message: Vec<&str> = e.message().split_whitespace().collect();
        (line, format!("this is no TOML: {}", message.join(" ")))
    })?;
    let mut keys = Vec::new();
    collect(root.get_ref(), &[], lines, &mut keys)?;
    keys.sort_by_key(|key| key.line);
    Ok(keys)
}

/// Finds the line of a byte.
#[derive(Clone, Copy)]
struct Lines<'a>(&'a str);

impl Lines<'_> {
    fn of(self, at: usize) -> usize {
        let before = self.0.as_bytes().get(..at).unwrap_or(self.0.as_bytes());
        before.split(|byte| *byte == b'\n').count()
    }
}

/// Words of a command: more than any has.
const WORDS: usize = 3;

/// Tables in tables are commands in commands: `[log.verify]`. The same command is `["log verify"]`
/// where the top level has a key `log`, which TOML does not let be a table too.
fn collect(
    table: &DeTable<'_>,
    path: &[String],
    lines: Lines<'_>,
    keys: &mut Vec<Key>,
) -> Result<(), Wrong> {
    for (name, value) in table {
        let line = lines.of(name.span().start);
        if let DeValue::Table(inner) = value.get_ref() {
            let words = name.get_ref().split_whitespace().map(str::to_owned);
            let inside: Vec<String> = path.iter().cloned().chain(words).collect();
            // A name without a word would lead nowhere, as deep as one likes.
            if inside.len() == path.len() || inside.len() > WORDS {
                let name = name.get_ref();
                let why = "is named after no command: write [up], or [log.verify]";
                return Err((line, format!("the table {name:?} {why}")));
            }
            collect(inner, &inside, lines, keys)?;
            continue;
        }
        let name = name.get_ref().to_string();
        let value = value_of(value).map_err(|why| (line, format!("{name}: {why}")))?;
        keys.push(Key {
            table: path.to_vec(),
            name,
            value,
            line,
        });
    }
    Ok(())
}

fn value_of(value: &Spanned<DeValue<'_>>) -> Result<Value, String> {
    match value.get_ref() {
        DeValue::Boolean(on) => Ok(Value::Switch(*on)),
        DeValue::String(text) => Ok(Value::Text(text.to_string())),
        DeValue::Integer(number) => {
            let digits: String = number.as_str().chars().filter(|c| *c != '_').collect();
            i128::from_str_radix(&digits, number.radix())
                .map(|number| Value::Number(number.to_string()))
                .map_err(|_| format!("{digits} is too large"))
        }
        DeValue::Array(all) => {
            let values = all.iter().map(|one| match value_of(one)? {
                Value::Many(_) => Err("it is an array in an array: one is enough".to_owned()),
                other => Ok(other),
            });
            let values = values.collect::<Result<Vec<Value>, String>>()?;
            if values.is_empty() {
                return Err(
                    "the array is empty: name one at least, or leave the key out".to_owned(),
                );
            }
            Ok(Value::Many(values))
        }
        other => Err(format!(
            "it is a {}, which no setting takes: give a text in quotes, a whole number, true or \
             false, or an array of those",
            other.type_str()
        )),
    }
}
