//! The wire: RESP2 and RESP3, in and out.
//!
//! ```text
//!   bytes -> request::Parser -> Argv (ranges of the query buffer)      resp/request.rs
//!   handler -> Reply -> Output -> socket                               resp/reply.rs, output.rs
//!   handler -> Error -> the words a client reads                       resp/error.rs
//!   another server's reply -> incoming::Incoming -> Value              resp/incoming.rs
//! ```
//!
//! Mirrors: the protocol half of networking.c.

pub mod argv;
mod error;
pub mod incoming;
mod output;
mod reply;
pub mod request;
mod value;

pub use error::{Error, up_to_zero};
pub use output::{Output, TAIL_MAX, TAIL_MIN};
pub use reply::{Begun, Mark, Protocol, Reply, three_letters};
pub use value::Value;
