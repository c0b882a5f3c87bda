//! The client of SNS.
