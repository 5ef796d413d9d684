//! The results that most functions of the interface have.

use std::ffi::c_int;

/// An API function did what it was asked to.
pub const OK: c_int = 0;
/// It did not.
pub const ERR: c_int = 1;
