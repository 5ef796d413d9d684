//! The title of the process, from `proc-title-template`.
//!
//! Mirrors: redisSetProcTitle() and expandProcTitleTemplate() of server.c.
//! Differs: the template is expanded by `expand_title` of the configuration, which also checks it.

use crate::sys::title::Title;

/// Where the title is shown, and the name it calls the program by.
#[derive(Debug)]
pub struct ProcessTitle {
    /// The room for it.
    pub room: Title,
    /// The program as it was called.
    pub program: String,
}
