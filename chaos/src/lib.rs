//! Kills, stops and cuts a running SNS under load, and proves from the history of what its clients
//! were told that nothing was lost, nothing came twice, and one order holds everywhere.

pub mod check;
pub mod history;
