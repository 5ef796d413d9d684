//! (util)
