//! (types)
