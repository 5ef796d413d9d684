//! (collections)
