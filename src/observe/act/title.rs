//! Shows the title of the process again when something that it names has changed.
//!
//! Mirrors: redisSetProcTitle() of server.c.
//! Differs: in nothing that `ps` shows.

use crate::config::expand_title;
use crate::observe::title::ProcessTitle;
use crate::state::State;

/// Shows the title again: the template, or something it names, has changed.
#[doc(alias = "redisSetProcTitle")]
pub fn show_title(state: &State) {
    let Some(ProcessTitle { room, program }) = &state.title else {
        return;
    };
    let config = &state.config;
    let socket = || config.unixsocket.clone().unwrap_or_default();
    let value = |name: &str| match name {
        "title" => Some(program.clone()),
        "listen-addr" => {
            let port = match config.port {
                0 => config.tls_port,
                port => port,
            };
            let address = config.bind.first().map_or("*", String::as_str);
            Some(match port {
                0 => format!("unixsocket:{}", socket()),
                port => format!("{address}:{port}"),
            })
        }
        "server-mode" => Some(match state.config.mode() {
            "standalone" => String::new(),
            mode => format!("[{mode}]"),
        }),
        "config-file" => {
            let file = config.file.as_ref();
            Some(file.map_or_else(|| "-".into(), |file| file.display().to_string()))
        }
        "port" => Some(config.port.to_string()),
        "tls-port" => Some(config.tls_port.to_string()),
        "unixsocket" => Some(socket()),
        _ => None,
    };
    if let Some(title) = expand_title(&config.proc_title_template, value) {
        room.set(&title);
    }
}
