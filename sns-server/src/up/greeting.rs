//! What `up` prints once all of it serves.

use super::Up;
use super::plan::Plan;
use crate::args::AuthMode;
use crate::config::ROUTER_DEFAULT;
use crate::failure::Result;
use crate::run_file::NodeFile;
use crate::telemetry::escaped;
use crate::{notify, output};

impl Up {
    /// What makes a name one's own, where that takes something.
    fn way_in(&self) -> &'static str {
        match self.auth {
            AuthMode::Open => "",
            AuthMode::Accounts => " auth login --new",
        }
    }

    /// The one line for programs, and the lines for people.
    pub(super) fn greet(&self, plan: &Plan, first: bool) -> Result<()> {
        notify::ready();
        notify::status(&format!("pairs: {}; router {}", self.pairs.len(), self.url));
        if !first {
            tracing::info!(
                router = self.url,
                "goes on with what the former program started"
            );
            return Ok(());
        }
        output::line(&format!("router {}", self.url))?;
        let mut flag = if self.url == ROUTER_DEFAULT {
            String::new()
        } else {
            format!(" --router {}", self.url)
        };
        let ca = self.tls.as_ref().and_then(|tls| tls.ca.as_ref());
        if let Some(ca) = ca {
            flag += " --tls-ca ";
            flag += &escaped(&ca.display().to_string());
        }
        let data = escaped(&self.data.display().to_string());
        let pairs = match self.pairs.len() {
            1 => "one pair".to_owned(),
            count => format!("{count} pairs"),
        };
        let mut lines = vec![
            format!("{pairs} of servers serve {data}; Ctrl-C stops them"),
            format!(
                "next, in another terminal: sns -u alice{flag}{}",
                self.way_in()
            ),
            format!("to see who serves:         sns-server status{flag}"),
        ];
        if self.auth == AuthMode::Open {
            // Never silently: others on this machine could take any name.
            lines.push("names have no passwords:   --auth accounts asks for them".to_owned());
        }
        // As its own file has it: a port may have been taken meanwhile.
        let first = plan.nodes().next().map(|node| &node.name);
        let file = first.and_then(|name| NodeFile::read(&self.data.join("nodes").join(name)));
        let page = file.map(|file| file.http_address).unwrap_or_default();
        if !page.is_empty() {
            let scheme = self.uri.scheme_str().unwrap_or("http");
            lines.push(format!("in a browser:              {scheme}://{page}/"));
            lines.push(format!("the servers in a browser:  {scheme}://{page}/ops"));
        }
        if self.course.is_some() {
            let at = self.course_address();
            lines.push(format!("the course's client:       connects to {at}"));
        }
        for line in lines {
            output::message(&line);
        }
        Ok(())
    }
}
