//! What the flags of `sns bench` mean once checked.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use sns_load::Mix;

use crate::args::RawBench;
use crate::output::Failure;

/// Connections or streams beyond these are a mistake: a process has not many more descriptors.
const CONNECTIONS: usize = 65_536;
/// The longest run: a week.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3_600);
/// The warm-up without a word about it, at most.
const WARMUP: Duration = Duration::from_secs(2);

/// What to measure.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Bench {
    pub(crate) load: Load,
    pub(crate) graph: Option<PathBuf>,
    pub(crate) undirected: bool,
    pub(crate) pace: Pace,
    pub(crate) connections: usize,
    pub(crate) duration: Duration,
    pub(crate) warmup: Duration,
    pub(crate) seed: u64,
    pub(crate) preload: Option<u64>,
    pub(crate) fail_if: Vec<FailIf>,
}

/// What load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    /// Calls of a mix.
    Calls(Mix),
    /// Posts, timed on their way to open streams.
    Watch,
}

/// How fast.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Pace {
    /// Requests a second.
    Rate(f64),
    /// As many as keep this p99.
    FindMax(Duration),
}

/// What makes the program fail.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FailIf {
    typed: String,
    pub(crate) figure: Figure,
    above: bool,
    /// Milliseconds of a time; else a plain number.
    limit: f64,
}

/// A figure that can be expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Figure {
    P50,
    P90,
    P99,
    P999,
    Max,
    Errors,
    Achieved,
}

impl Figure {
    const ALL: [(&str, Self); 7] = [
        ("p50", Self::P50),
        ("p90", Self::P90),
        ("p99", Self::P99),
        ("p999", Self::P999),
        ("max", Self::Max),
        ("errors", Self::Errors),
        ("achieved", Self::Achieved),
    ];
}

impl FailIf {
    /// Whether a figure, in milliseconds if it is a time, makes the program fail.
    pub(crate) fn is_met(&self, value: f64) -> bool {
        if self.above {
            value > self.limit
        } else {
            value < self.limit
        }
    }
}

impl fmt::Display for FailIf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.typed)
    }
}

impl FromStr for FailIf {
    type Err = String;

    fn from_str(typed: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("{typed:?} is no expectation ({why}): write p99>20ms");
        let at = typed
            .find(['<', '>'])
            .ok_or_else(|| wrong("there is no < or > in it"))?;
        let (name, limit) = (typed[..at].trim(), typed[at + 1..].trim());
        let known = Figure::ALL.iter().find(|(known, _)| *known == name);
        let figure = known.map(|(_, figure)| *figure).ok_or_else(|| {
            let names = Figure::ALL.map(|(name, _)| name).join(", ");
            wrong(&format!("the figures are {names}"))
        })?;
        let limit = match figure {
            Figure::Errors | Figure::Achieved => number(limit).map_err(|why| wrong(&why))?,
            _ => duration(limit).map_err(|why| wrong(&why))?.as_secs_f64() * 1e3,
        };
        Ok(Self {
            typed: typed.to_owned(),
            figure,
            above: &typed[at..=at] == ">",
            limit,
        })
    }
}

/// Checks what was typed.
pub(crate) fn check(raw: RawBench) -> Result<Bench, Failure> {
    let usage = |flag: &'static str| move |why: String| Failure::Usage(format!("{flag}: {why}"));
    let load = match raw.mix.as_str() {
        "watch" => Load::Watch,
        mix => Load::Calls(mix.parse().map_err(|_| {
            let known = "write dsb, nightcore, post, read or watch";
            Failure::Usage(format!("--mix: {mix:?} is no mix: {known}"))
        })?),
    };
    let p99 = duration(&raw.p99).map_err(usage("--p99"))?;
    let pace = match raw.rate {
        None => Pace::FindMax(p99),
        Some(rate) => {
            let rate = number(&rate).map_err(usage("--rate"))?;
            if rate <= 0.0 {
                return Err(Failure::Usage("--rate: it has to be above 0".to_owned()));
            }
            Pace::Rate(rate)
        }
    };
    if load == Load::Watch && matches!(pace, Pace::FindMax(_)) {
        let why = "--find-max: a rate of calls is searched, and watch is about streams: use --rate";
        return Err(Failure::Usage(why.to_owned()));
    }
    let connections = raw.connections.parse().ok();
    let connections = connections.filter(|n| (1..=CONNECTIONS).contains(n));
    let connections = connections.ok_or_else(|| {
        let typed = &raw.connections;
        Failure::Usage(format!(
            "--connections: {typed:?} is none: write a number from 1 to {CONNECTIONS}"
        ))
    })?;
    let length = duration(&raw.duration).map_err(usage("--duration"))?;
    if length.is_zero() {
        let why = "--duration: nothing can be measured in no time";
        return Err(Failure::Usage(why.to_owned()));
    }
    let warmup = raw.warmup.as_deref().map(duration).transpose();
    let warmup = warmup.map_err(usage("--warmup"))?;
    let whole = |flag, typed: &str| {
        let wrong = || Failure::Usage(format!("{flag}: {typed:?} is no number: write 0 or more"));
        typed.parse::<u64>().map_err(|_| wrong())
    };
    let preload = raw.preload.map(|typed| whole("--preload", &typed));
    let fail_if: Result<_, _> = raw.fail_if.iter().map(|typed| typed.parse()).collect();
    Ok(Bench {
        load,
        graph: raw.graph,
        undirected: raw.undirected,
        pace,
        connections,
        duration: length,
        warmup: warmup.unwrap_or_else(|| (length / 10).min(WARMUP)),
        seed: whole("--seed", &raw.seed)?,
        preload: preload.transpose()?,
        fail_if: fail_if.map_err(usage("--fail-if"))?,
    })
}

/// A number that is finite and not negative.
fn number(typed: &str) -> Result<f64, String> {
    let number = typed
        .parse()
        .ok()
        .filter(|n: &f64| n.is_finite() && *n >= 0.0);
    number.ok_or_else(|| format!("{typed:?} is no number: write 0 or more"))
}

/// A time: a number and its unit, us, ms, s, m or h.
pub(crate) fn duration(typed: &str) -> Result<Duration, String> {
    let wrong =
        || format!("{typed:?} is no time: write it with its unit, as 500us, 10ms, 1.5s, 2m, 1h");
    let unit = typed.find(|c: char| c != '.' && !c.is_ascii_digit());
    let (amount, unit) = typed.split_at(unit.ok_or_else(wrong)?);
    let amount: f64 = amount.parse().map_err(|_| wrong())?;
    let unit = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        _ => return Err(wrong()),
    };
    let seconds = amount * unit;
    if seconds > LONGEST.as_secs_f64() {
        return Err(format!("{typed:?} is too long: 168h at most"));
    }
    Ok(Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(typed: &str) -> Result<Bench, Failure> {
        let typed = format!("sns bench {typed}");
        let args = crate::args::parse(typed.split(' ').map(Into::into));
        let args = args.map_err(|early| match early {
            crate::args::Early::Mistake { failure, .. } => failure,
            crate::args::Early::Text(text) => Failure::Usage(text),
        })?;
        match crate::command::check(args)?.action {
            crate::command::Action::Bench(bench) => Ok(*bench),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn times_have_units() {
        for (typed, micros) in [
            ("250us", 250),
            ("10ms", 10_000),
            ("1.5s", 1_500_000),
            ("2m", 120_000_000),
            ("1h", 3_600_000_000),
            ("0s", 0),
        ] {
            assert_eq!(
                duration(typed),
                Ok(Duration::from_micros(micros)),
                "{typed}"
            );
        }
        for typed in ["", "10", "ms", "-1s", "1.2.3s", "1 s", "1d", "99999h", "1é"] {
            duration(typed).expect_err(typed);
        }
    }

    #[test]
    fn a_warm_up_is_a_tenth_of_the_run_and_two_seconds_at_most() {
        for (typed, warmup) in [
            ("--rate 10 --duration 5s", 500),
            ("--rate 10", 2_000),
            ("--rate 10 --warmup 7ms", 7),
        ] {
            let bench = checked(typed).expect(typed);
            assert_eq!(bench.warmup, Duration::from_millis(warmup), "{typed}");
        }
    }

    #[test]
    fn expectations_are_met_above_or_below_their_limit() {
        let bench = checked("--find-max --p99 5ms --fail-if p99>20ms --fail-if achieved<5000");
        let bench = bench.expect("is right");
        assert_eq!(bench.pace, Pace::FindMax(Duration::from_millis(5)));
        let [slow, few] = &bench.fail_if[..] else {
            panic!("{bench:?}");
        };
        assert_eq!((slow.figure, few.figure), (Figure::P99, Figure::Achieved));
        assert!(slow.is_met(20.001) && !slow.is_met(20.0));
        assert!(few.is_met(4_999.0) && !few.is_met(5_000.0));
    }

    #[test]
    fn what_makes_no_sense_is_a_usage_error() {
        for typed in [
            "",
            "--mix dsb",
            "--rate 10 --find-max",
            "--rate 0",
            "--rate -1",
            "--rate NaN",
            "--rate fast",
            "--rate 10 --mix all",
            "--rate 10 --undirected",
            "--rate 10 --connections 0",
            "--rate 10 --connections 70000",
            "--rate 10 --duration 10",
            "--rate 10 --duration 0s",
            "--rate 10 --seed x",
            "--rate 10 --preload -1",
            "--rate 10 --fail-if p99=3ms",
            "--rate 10 --fail-if p98>3ms",
            "--rate 10 --fail-if p99>3",
            "--rate 10 --fail-if errors>3ms",
            "--mix watch --find-max",
        ] {
            let failure = checked(typed).expect_err(typed);
            assert_eq!(failure.kind(), "invalid", "{typed}");
        }
    }
}
