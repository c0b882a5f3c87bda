//! The server of SNS.
