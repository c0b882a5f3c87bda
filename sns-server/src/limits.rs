//! What one client may take from the others: the flags of the bounds on connections and of the rate
//! limits, and what they mean once checked. Why each default is what it is stands at the default.

use std::ffi::OsString;
use std::time::Duration;

use clap::{Args as Group, ValueEnum};

use crate::net;

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// They apply.
    On,
    /// They do not.
    Off,
}

impl Switch {
    fn name(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Off => "off",
        }
    }
}

/// How much one client may take.
#[derive(Clone, Copy, Debug, Group)]
#[command(next_help_heading = "Limits")]
pub struct LimitArgs {
    /// Connections that a listener keeps at most; fewer where there are not enough descriptors. Pages
    /// take 1024 of their own at most.
    #[arg(long, value_name = "N", env = "SNS_MAX_CONNECTIONS")]
    #[arg(default_value_t = net::CONNECTIONS as u32)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub max_connections: u32,
    /// Connections from one address at most, of IPv6 from one /64 [default: 256, but any number from
    /// this machine].
    #[arg(long, value_name = "N", env = "SNS_MAX_CONNECTIONS_PER_ADDRESS")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub max_connections_per_address: Option<u32>,
    /// After so many seconds a connection is asked to come back anew; streams go on by themselves.
    #[arg(long, value_name = "SECONDS", env = "SNS_MAX_CONNECTION_AGE")]
    #[arg(default_value_t = net::CONNECTION_AGE.as_secs())]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=31_536_000))]
    pub max_connection_age: u64,
    /// Whether users and addresses may do only so much in a second: see docs/security.md.
    #[arg(long, env = "SNS_RATE_LIMITS")]
    pub rate_limits: Option<Switch>,
}

/// As it was typed, checked; a node gives it on to the partner that it starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LimitsConfig {
    /// Of connections.
    pub net: net::Limits,
    /// Rates; `None`: as the accounts have it.
    pub rates: Option<Switch>,
}

impl From<LimitArgs> for LimitsConfig {
    fn from(typed: LimitArgs) -> Self {
        let number = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        let per_address = typed.max_connections_per_address.map(number);
        Self {
            net: net::Limits {
                connections: number(typed.max_connections),
                per_address: per_address.unwrap_or(net::CONNECTIONS_PER_ADDRESS),
                loopback_counts: per_address.is_some(),
                age: Duration::from_secs(typed.max_connection_age),
            },
            rates: typed.rate_limits,
        }
    }
}

impl LimitsConfig {
    /// The flags that say the same.
    pub fn args(&self) -> Vec<OsString> {
        let mut args: Vec<OsString> = Vec::new();
        let mut flag = |name: &str, value: String| args.extend([name.into(), value.into()]);
        flag("--max-connections", self.net.connections.to_string());
        if self.net.loopback_counts {
            let most = self.net.per_address.to_string();
            flag("--max-connections-per-address", most);
        }
        flag("--max-connection-age", self.net.age.as_secs().to_string());
        if let Some(rates) = self.rates {
            flag("--rate-limits", rates.name().to_owned());
        }
        args
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Alone {
        #[command(flatten)]
        limits: LimitArgs,
    }

    #[test]
    fn what_is_given_on_means_the_same() {
        for line in [
            "x",
            "x --max-connections 7 --max-connections-per-address 3 --rate-limits on",
            "x --max-connection-age 9 --rate-limits off",
        ] {
            let typed = Alone::try_parse_from(line.split(' ')).unwrap();
            let config = LimitsConfig::from(typed.limits);
            let given = std::iter::once("x".into()).chain(config.args());
            let again = Alone::try_parse_from(given).unwrap();
            assert_eq!(LimitsConfig::from(again.limits), config, "{line}");
        }
        let default = Alone::try_parse_from(["x"]).unwrap();
        assert_eq!(LimitsConfig::from(default.limits), LimitsConfig::default());
    }
}
