//! (keyspace)
