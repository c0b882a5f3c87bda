//! Real NATS servers for tests and measurements, on 127.0.0.1 and on ports that were free.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

mod ask;
mod program;

pub use program::{is_here, program};

/// A server answers within this time after its start.
const START: Duration = Duration::from_secs(20);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(10);

/// What went wrong, for a human.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Failure(String);

/// What is tried, put in front of what the system answers.
fn failed(doing: impl std::fmt::Display) -> impl FnOnce(io::Error) -> Failure {
    move |error| Failure(format!("{doing}: {error}"))
}

/// How the servers are set.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How many; more than one make a cluster.
    pub servers: usize,
    /// Whether each write is synced before it is acknowledged.
    pub sync_always: bool,
    /// Whether the account of the log is told how the servers are set.
    pub export_settings: bool,
    /// Lines of the account's user, as `user: sns, password: "x"`; by default nobody has to say who
    /// they are.
    pub user: Option<String>,
    /// Lines at the top of each configuration.
    pub extra: String,
    /// Where clients are told to reach each server, in their order: a proxy in front of it, for
    /// instance. By default where it listens.
    pub advertise: Vec<SocketAddr>,
    /// Where the servers keep what they store; a temporary directory by default.
    pub dir: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            servers: 1,
            sync_always: true,
            export_settings: true,
            user: None,
            extra: String::new(),
            advertise: Vec::new(),
            dir: None,
        }
    }
}

/// Servers that run, or were killed; all end with this value.
#[derive(Debug)]
pub struct Servers {
    program: PathBuf,
    dir: PathBuf,
    _temporary: Option<TempDir>,
    all: Vec<Server>,
}

#[derive(Debug)]
struct Server {
    name: String,
    port: u16,
    child: Option<Child>,
}

impl Servers {
    /// Starts them, and waits until all answer.
    ///
    /// # Errors
    /// There is no program, or one does not start.
    pub fn start(settings: &Settings) -> Result<Self, Failure> {
        let program = program()?;
        let (dir, temporary) = if let Some(dir) = &settings.dir {
            fs::create_dir_all(dir).map_err(failed("making a directory"))?;
            (dir.clone(), None)
        } else {
            let temporary = tempfile::Builder::new().prefix("sns-natsd-").tempdir();
            let temporary = temporary.map_err(failed("making a directory"))?;
            (temporary.path().to_owned(), Some(temporary))
        };
        let ports = free_ports(2 * settings.servers).map_err(failed("drawing ports"))?;
        let (ports, routes) = ports.split_at(settings.servers);
        let mut servers = Self {
            program,
            dir,
            _temporary: temporary,
            all: Vec::new(),
        };
        for (number, port) in ports.iter().enumerate() {
            let server = Server {
                name: format!("n{}", number + 1),
                port: *port,
                child: None,
            };
            let config = configuration(settings, &server, &servers.dir, routes, number);
            fs::write(servers.file(&server.name, "conf"), config)
                .map_err(failed("writing a configuration"))?;
            servers.all.push(server);
        }
        for number in 0..settings.servers {
            servers.launch(number)?;
        }
        for number in 0..settings.servers {
            servers.until_up(number)?;
        }
        Ok(servers)
    }

    fn file(&self, name: &str, kind: &str) -> PathBuf {
        self.dir.join(format!("{name}.{kind}"))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.all.len()
    }

    /// Where the servers keep what they store: `<dir>/<name>`.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// `n1`, `n2`, …
    pub fn name(&self, number: usize) -> &str {
        &self.all[number].name
    }

    /// Where one listens.
    pub fn address(&self, number: usize) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.all[number].port).into()
    }

    /// `nats://127.0.0.1:P` of each.
    pub fn urls(&self) -> Vec<String> {
        (0..self.count())
            .map(|number| format!("nats://{}", self.address(number)))
            .collect()
    }

    /// Asks one of them whatever its clients may ask, `$JS.API.INFO` for instance, and gives the first
    /// answer back; each step may take `limit`.
    ///
    /// # Errors
    /// It does not answer, or not without a login.
    pub fn ask(&self, number: usize, subject: &str, limit: Duration) -> Result<String, Failure> {
        let answer = ask::ask(self.address(number), subject, limit);
        answer.map_err(failed(format_args!("asking {}", self.name(number))))
    }

    /// The process of one, while it runs.
    pub fn pid(&self, number: usize) -> Option<u32> {
        self.all[number].child.as_ref().map(Child::id)
    }

    fn launch(&mut self, number: usize) -> Result<(), Failure> {
        let server = &self.all[number];
        let log = self.file(&server.name, "log");
        let log = File::options().create(true).append(true).open(log);
        let log = log.map_err(failed("opening a log"))?;
        let errors = log.try_clone().map_err(failed("opening a log"))?;
        let child = Command::new(&self.program)
            .arg("--config")
            .arg(self.file(&server.name, "conf"))
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .spawn()
            .map_err(failed(format_args!("starting {}", self.program.display())))?;
        self.all[number].child = Some(child);
        Ok(())
    }

    /// Waits until one answers.
    fn until_up(&mut self, number: usize) -> Result<(), Failure> {
        let deadline = Instant::now() + START;
        let address = self.address(number);
        loop {
            if says_hello(address) {
                return Ok(());
            }
            let server = &mut self.all[number];
            let ended = match &mut server.child {
                Some(child) => child.try_wait().ok().flatten(),
                None => None,
            };
            if ended.is_some() || Instant::now() > deadline {
                let log = fs::read_to_string(self.file(self.name(number), "log"));
                let log = log.unwrap_or_default();
                let words: Vec<&str> = log.lines().rev().take(5).collect();
                return Err(Failure(format!(
                    "nats-server {} does not start: {}",
                    self.name(number),
                    words.join(" | ").escape_debug()
                )));
            }
            std::thread::park_timeout(LOOK);
        }
    }

    /// kill -9.
    ///
    /// # Errors
    /// It does not end.
    pub fn kill(&mut self, number: usize) -> Result<(), Failure> {
        if let Some(mut child) = self.all[number].child.take() {
            child.kill().map_err(failed("killing a server"))?;
            child.wait().map_err(failed("waiting for a server"))?;
        }
        Ok(())
    }

    /// Starts one again that was killed, with what it had stored, and waits until it answers.
    ///
    /// # Errors
    /// It does not start.
    pub fn start_again(&mut self, number: usize) -> Result<(), Failure> {
        if self.all[number].child.is_none() {
            self.launch(number)?;
        }
        self.until_up(number)
    }

    /// SIGSTOP.
    ///
    /// # Errors
    /// It does not run.
    pub fn stop(&self, number: usize) -> Result<(), Failure> {
        self.signal(number, Signal::STOP)
    }

    /// SIGCONT.
    ///
    /// # Errors
    /// It does not run.
    pub fn go_on(&self, number: usize) -> Result<(), Failure> {
        self.signal(number, Signal::CONT)
    }

    fn signal(&self, number: usize, signal: Signal) -> Result<(), Failure> {
        let pid = self.pid(number).and_then(|pid| i32::try_from(pid).ok());
        let pid = pid.and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| Failure(format!("{} does not run", self.name(number))))?;
        kill_process(pid, signal).map_err(|e| failed("sending a signal")(e.into()))
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        for number in 0..self.count() {
            // It may be gone already.
            let _ = self.kill(number);
        }
    }
}

/// Whether a server greets whoever connects.
fn says_hello(address: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect_timeout(&address, Duration::from_secs(1)) else {
        return false;
    };
    let mut word = [0; 5];
    stream
        .set_read_timeout(Some(Duration::from_secs(1)))
        .is_ok()
        && stream.read_exact(&mut word).is_ok()
        && &word == b"INFO "
}

/// Ports that are free now.
fn free_ports(count: usize) -> io::Result<Vec<u16>> {
    // All at once, so that none is drawn twice.
    let bound = (0..count).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
    let bound = bound.collect::<io::Result<Vec<_>>>()?;
    bound
        .iter()
        .map(|listener| Ok(listener.local_addr()?.port()))
        .collect()
}

fn configuration(
    settings: &Settings,
    server: &Server,
    dir: &Path,
    routes: &[u16],
    number: usize,
) -> String {
    let name = &server.name;
    let port = server.port;
    let store = dir.join(name);
    let store = store.display();
    let sync = if settings.sync_always {
        "sync_interval: always"
    } else {
        ""
    };
    let extra = &settings.extra;
    let advertise = settings.advertise.get(number);
    let advertise = advertise.map(|it| format!("client_advertise: \"{it}\"\n"));
    let advertise = advertise.unwrap_or_default();
    let mut text = format!(
        "server_name: {name}\nlisten: 127.0.0.1:{port}\n{advertise}{extra}\n\
         jetstream {{\n  store_dir: \"{store}\"\n  {sync}\n}}\n"
    );
    let subject = "$SYS.REQ.SERVER.PING.JSZ";
    let (export, import) = if settings.export_settings {
        (
            format!(
                "exports: [{{service: \"{subject}\", response_type: stream, accounts: [SNS]}}]"
            ),
            format!("imports: [{{service: {{account: SYS, subject: \"{subject}\"}}}}]"),
        )
    } else {
        (String::new(), String::new())
    };
    let (user, anyone) = match &settings.user {
        Some(user) => (user.clone(), ""),
        None => ("user: sns".to_owned(), "no_auth_user: sns\n"),
    };
    let accounts = format!(
        "accounts {{\n  SYS {{ {export} }}\n  SNS {{ jetstream: enabled, users: [{{{user}}}]\n    \
         {import} }}\n}}\nsystem_account: SYS\n{anyone}"
    );
    text.push_str(&accounts);
    if settings.servers > 1 {
        let route = routes[number];
        let all: Vec<String> = routes
            .iter()
            .map(|port| format!("nats://127.0.0.1:{port}"))
            .collect();
        let all = all.join(", ");
        let cluster = format!(
            "cluster {{\n  name: sns\n  listen: 127.0.0.1:{route}\n  routes: [{all}]\n}}\n"
        );
        text.push_str(&cluster);
    }
    text
}
