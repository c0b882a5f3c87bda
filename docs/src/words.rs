//! What a line says to a program of ours, so that it can be asked whether it knows these words.

/// One call of a program of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spoken {
    /// `sns-server`, `sns` or `sns-chaos`.
    pub program: String,
    /// What follows, up to the next thing of the shell.
    pub words: Vec<String>,
}

const OURS: &[&str] = &["sns-server", "sns", "sns-chaos"];

/// All calls of our programs in a script, also behind `cargo run -p`, `sudo` and variables.
pub fn spoken(script: &str) -> Vec<Spoken> {
    let joined = script.replace("\\\n", " ");
    let mut all = Vec::new();
    for line in joined.lines() {
        for part in commands(line) {
            all.extend(call(&part));
        }
    }
    all
}

/// The commands of a line, in words; quotes are kept together and dropped.
#[expect(
    clippy::match_same_arms,
    reason = "what is quoted is nothing special, and comes first"
)]
fn commands(line: &str) -> Vec<Vec<String>> {
    let mut parts = vec![Vec::new()];
    let mut word = String::new();
    let mut quote: Option<char> = None;
    let mut quoted = false;
    let flush = |word: &mut String, quoted: &mut bool, parts: &mut Vec<Vec<String>>| {
        if let Some(last) = parts.last_mut()
            && (!word.is_empty() || *quoted)
        {
            last.push(std::mem::take(word));
        }
        *quoted = false;
    };
    for c in line.chars() {
        match (quote, c) {
            (Some(q), _) if c == q => quote = None,
            (Some(_), _) => word.push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                quoted = true;
            }
            (None, '#') if word.is_empty() => break,
            (None, '|' | ';' | '&' | '(' | ')' | '<' | '>') => {
                flush(&mut word, &mut quoted, &mut parts);
                parts.push(Vec::new());
            }
            (None, _) if c.is_whitespace() => flush(&mut word, &mut quoted, &mut parts),
            (None, _) => word.push(c),
        }
    }
    flush(&mut word, &mut quoted, &mut parts);
    parts
}

fn call(words: &[String]) -> Option<Spoken> {
    let mut at = 0;
    let mut of_cargo = None;
    while let Some(word) = words.get(at) {
        match word.as_str() {
            "cargo" => {
                let package = words.iter().position(|w| w == "-p" || w == "--bin")?;
                of_cargo = words.get(package + 1).cloned();
                if words.get(at + 1)? != "run" {
                    return None;
                }
                at = words.iter().position(|w| w == "--")?;
            }
            "sudo" | "exec" | "time" | "do" | "then" => {}
            _ if word.contains('=') && !word.starts_with('-') => {}
            _ => break,
        }
        at += 1;
        if of_cargo.is_some() {
            break;
        }
    }
    let program = match of_cargo {
        Some(package) if package == "sns-client" => "sns".to_owned(),
        Some(package) => package,
        None => {
            let word = words.get(at)?;
            at += 1;
            word.rsplit('/').next()?.to_owned()
        }
    };
    OURS.contains(&&*program).then(|| Spoken {
        program,
        words: words.get(at..).unwrap_or_default().to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_found_in_lines_of_a_shell() {
        let found = spoken(
            "X=1 sudo sns-server up --servers 3   # and more\n\
             cargo run --release -p sns-server -- \\\n  status --json | jq .\n\
             ls && target/release/sns -u 'a b' post \"x # y\" > out\n\
             printf 'sns is no call'\ncargo build -p sns-client\n",
        );
        let told: Vec<String> = found
            .iter()
            .map(|call| format!("{} {}", call.program, call.words.join("_")))
            .collect();
        assert_eq!(
            told,
            [
                "sns-server up_--servers_3",
                "sns-server status_--json",
                "sns -u_a b_post_x # y"
            ]
        );
    }
}
