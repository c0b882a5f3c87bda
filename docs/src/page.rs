//! What stands in a document: headings, links, blocks of commands.

use std::collections::HashMap;

use pulldown_cmark::{CodeBlockKind, CowStr, Event, Options, Parser, Tag, TagEnd};

/// Why commands may stand in a document that no test runs.
pub const REASONS: &[&str] = &[
    "docker",
    "interactive",
    "network",
    "root",
    "slow",
    "systemd",
];

/// How a block is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum How {
    /// To its end.
    Run,
    /// One program that stays.
    Background,
    /// Not in a test, for this reason.
    NotRun(String),
    /// It is no command: a grammar, or what is printed.
    Text,
}

/// A fenced block.
#[derive(Clone, Debug)]
pub struct Block {
    /// Where it begins; counted from 1.
    pub line: usize,
    /// How it is run.
    pub how: How,
    /// What stands in it.
    pub text: String,
}

/// A document.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// What `#` may be followed by in a link to it.
    pub anchors: Vec<String>,
    /// Where it points to, with the line.
    pub links: Vec<(usize, String)>,
    /// Its fenced blocks of `sh` and `text`.
    pub blocks: Vec<Block>,
    /// Short code in its sentences, with the line.
    pub code: Vec<(usize, String)>,
    /// What is wrong with it, with the line.
    pub faults: Vec<(usize, String)>,
}

impl Page {
    /// Reads a document.
    pub fn parse(markdown: &str) -> Self {
        let mut page = Self::default();
        let mut slugs: HashMap<String, usize> = HashMap::new();
        let mut heading: Option<String> = None;
        let mut block: Option<Block> = None;
        let parser = Parser::new_ext(
            markdown,
            Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH,
        );
        for (event, range) in parser.into_offset_iter() {
            let line = markdown[..range.start].matches('\n').count() + 1;
            match event {
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::End(TagEnd::Heading(_)) => {
                    let slug = slug(&heading.take().unwrap_or_default());
                    let again = slugs.entry(slug.clone()).or_default();
                    page.anchors.push(match *again {
                        0 => slug,
                        n => format!("{slug}-{n}"),
                    });
                    *again += 1;
                }
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    page.links.push((line, dest_url.into_string()));
                }
                Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(info))) => {
                    block = page.fence(line, &info);
                }
                Event::End(TagEnd::CodeBlock) => page.blocks.extend(block.take()),
                Event::Text(text) => put(&text, &mut heading, &mut block),
                Event::Code(text) => {
                    put(&text, &mut heading, &mut None);
                    page.code.push((line, text.into_string()));
                }
                _ => {}
            }
        }
        page
    }

    fn fence(&mut self, line: usize, info: &str) -> Option<Block> {
        let mut words = info.split_whitespace();
        let how = match (words.next(), words.next()) {
            (Some("sh"), None) => How::Run,
            (Some("sh"), Some("background")) => How::Background,
            (Some("sh"), Some(why)) => match why.strip_prefix("not-run=") {
                Some(reason) if REASONS.contains(&reason) => How::NotRun(reason.to_owned()),
                _ => {
                    let wrong = format!("a block of sh is {why:?}; known: {REASONS:?}");
                    self.faults.push((line, wrong));
                    return None;
                }
            },
            (Some("text"), None) => How::Text,
            (None | Some("bash" | "shell" | "console"), _) => {
                let wrong = format!("a fence says {info:?}: commands are sh, what is printed text");
                self.faults.push((line, wrong));
                return None;
            }
            _ => return None,
        };
        Some(Block {
            line,
            how,
            text: String::new(),
        })
    }
}

fn put(text: &CowStr<'_>, heading: &mut Option<String>, block: &mut Option<Block>) {
    if let Some(block) = block {
        block.text.push_str(text);
    }
    if let Some(heading) = heading {
        heading.push_str(text);
    }
}

/// As GitHub makes an anchor of a heading.
fn slug(heading: &str) -> String {
    let kept = heading.trim().chars().filter_map(|c| match c {
        ' ' => Some('-'),
        '-' | '_' => Some(c),
        _ if c.is_alphanumeric() => Some(c.to_ascii_lowercase()),
        _ => None,
    });
    kept.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_links_and_blocks_are_found() {
        let page = Page::parse(
            "# One `two`, three!\n\n# One `two`, three!\n[a](b.md#c) ![d](e.png)\n\n```sh\nls\n```\n\
             ```sh background\nup\n```\n```sh not-run=root\nrm\n```\n```text\nout\n```\n```rust\nx\n```\n",
        );
        assert_eq!(page.anchors, ["one-two-three", "one-two-three-1"]);
        let links: Vec<&str> = page.links.iter().map(|(_, to)| &**to).collect();
        assert_eq!(links, ["b.md#c", "e.png"]);
        let hows: Vec<(usize, &How)> = page.blocks.iter().map(|b| (b.line, &b.how)).collect();
        let root = How::NotRun("root".to_owned());
        let all = [
            (6, &How::Run),
            (9, &How::Background),
            (12, &root),
            (15, &How::Text),
        ];
        assert_eq!(hows, all);
        assert_eq!(page.blocks[0].text, "ls\n");
        assert!(page.faults.is_empty(), "{:?}", page.faults);
    }

    #[test]
    fn a_fence_that_says_nothing_we_know_is_a_fault() {
        for fence in ["sh not-run=lazy", "sh later", "bash", ""] {
            let page = Page::parse(&format!("```{fence}\nls\n```\n"));
            assert_eq!(page.faults.len(), 1, "{fence:?}");
        }
    }
}
