//! The part of a crash report that only the server can write: INFO, the current client, the configuration.
//!
//! Mirrors: logServerInfo(), logCurrentClient(), logConfigDebugInfo() of debug.c.

use super::Server;
use crate::commands::info;
use crate::observe;
use crate::state::State;
use crate::sys::crash;

/// Clients that the report lists.
const CLIENTS: usize = 1000;

/// Appends the server's part of a crash report. The client and its request come first: the rest looks at more of what
/// may be damaged.
#[doc(alias = "printCrashReport")]
pub(super) fn tell(server: &Server, out: &mut String) {
    let state = &server.state;
    out.push_str("\n------ CURRENT CLIENT INFO ------\n");
    match state.current_client.and_then(|key| state.clients.get(key)) {
        Some(client) => {
            out.push_str(&line(state, client));
            crash::describe_request(":", state.config.hide_user_data_from_log, out);
        }
        None => out.push_str("none\n"),
    }
    out.push_str("\n------ INFO OUTPUT ------\n");
    out.push_str(&info::report(state, info::WITHOUT_KEYS).replace('\r', ""));
    out.push_str("\n------ CLIENT LIST OUTPUT ------\n");
    for key in state.clients.connected_keys().into_iter().take(CLIENTS) {
        if let Some(client) = state.clients.get(key) {
            out.push_str(&line(state, client));
        }
    }
    out.push_str("\n------ CONFIG DEBUG OUTPUT ------\n");
    out.push_str(&String::from_utf8_lossy(&state.config.debug_lines()));
}

fn line(state: &State, client: &crate::clients::Client) -> String {
    let line = observe::act::clients::describe_client(state, client, None);
    let line = match state.config.hide_user_data_from_log {
        // Names and libraries come from users.
        true => line
            .split_once(" name=")
            .map_or(line.as_str(), |(before, _)| before)
            .to_owned(),
        false => line,
    };
    line + "\n"
}
