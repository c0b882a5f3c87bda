//! What a history must show.
