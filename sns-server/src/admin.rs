//! What an operator asks of the log and the snapshots of a data directory, also beside running
//! servers.

mod entry;
