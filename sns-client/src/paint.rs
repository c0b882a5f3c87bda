//! Emphasis on a terminal, for those who want it.

/// Whether and how text is emphasised.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paint {
    on: bool,
}

impl Paint {
    /// Paints unless `NO_COLOR` (<https://no-color.org>) or a dumb terminal say otherwise.
    pub(crate) fn of_environment() -> Self {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        Self {
            on: set("NO_COLOR").is_none() && set("TERM").is_none_or(|term| term != "dumb"),
        }
    }

    /// Never paints.
    pub(crate) const PLAIN: Self = Self { on: false };

    #[cfg(test)]
    pub(crate) const COLOUR: Self = Self { on: true };

    pub(crate) fn is_on(self) -> bool {
        self.on
    }

    /// For what is not meant to draw the eye.
    pub(crate) fn dim(self, text: &str) -> String {
        self.with("2", text)
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    /// For what is in a bad way.
    pub(crate) fn red(self, text: &str) -> String {
        self.with("1;31", text)
    }

    /// For what is on its way.
    pub(crate) fn yellow(self, text: &str) -> String {
        self.with("33", text)
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.on {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}
