//! Figures for Prometheus, over HTTP on `metrics-port`.
//!
//! ```text
//!   GET /metrics ─► thread "metrics" ── letter ─► data thread: INFO ── text ─► table of names ─► reply
//! ```
//!
//! The thread owns a listener and nothing of the data; it asks for INFO through the mailbox, as an operator would, and
//! translates. One connection at a time, each with a deadline and a bound, so that whoever dawdles delays nobody but
//! the next scrape. The names are those of the exporter that people run beside Redis, so that their charts stay.
//!
//! Mirrors: nothing in Redis.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener, TcpStream};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use crate::background::Mailbox;
use crate::commands::info;
use crate::config::Config;
use crate::observe::exporter;

/// A request that is longer is none of ours.
const MAX_REQUEST: usize = 8 * 1024;
/// For each read and write, and for the answer of the data thread.
const PATIENCE: Duration = Duration::from_secs(5);

/// Begins to serve, if the configuration says so. The error is the line for the log.
pub(super) fn serve(config: &Config, mailbox: &Mailbox) -> Result<(), String> {
    if config.metrics_port == 0 {
        return Ok(());
    }
    let addresses: Vec<IpAddr> = config.bind.iter().filter_map(|a| address(a)).collect();
    let mut listener = Err(io::ErrorKind::AddrNotAvailable.into());
    for address in addresses {
        listener = TcpListener::bind((address, config.metrics_port));
        if listener.is_ok() {
            break;
        }
    }
    let failed = |error: io::Error| {
        let reason = crate::config::disk::reason(&error);
        format!(
            "Can't serve metrics on port {}: {reason}",
            config.metrics_port
        )
    };
    let listener = listener.map_err(failed)?;
    let mailbox = mailbox.clone();
    let run = move || {
        for stream in listener.incoming().flatten() {
            // Whoever broke off is told nothing more.
            let _ = answer(stream, &mailbox);
        }
    };
    let thread = thread::Builder::new().name("metrics".into()).spawn(run);
    thread.map(drop).map_err(failed)
}

fn address(bound: &str) -> Option<IpAddr> {
    match bound.trim_start_matches('-') {
        "*" => Some(Ipv4Addr::UNSPECIFIED.into()),
        "::*" => Some(Ipv6Addr::UNSPECIFIED.into()),
        address => address.parse().ok(),
    }
}

fn answer(mut stream: TcpStream, mailbox: &Mailbox) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let local = stream.peer_addr()?.ip().is_loopback();
    let mut request = Vec::new();
    let mut piece = [0; 1024];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") && request.len() < MAX_REQUEST {
        match stream.read(&mut piece)? {
            0 => return Ok(()),
            n => request.extend_from_slice(&piece[..n]),
        }
    }
    let line = request
        .split(|byte| *byte == b'\r')
        .next()
        .unwrap_or_default();
    let mut words = line.split(|byte| *byte == b' ');
    let (method, path) = (words.next(), words.next().unwrap_or_default());
    let path = path.split(|byte| *byte == b'?').next().unwrap_or_default();
    let (status, text) = match (method, path) {
        (Some(b"GET"), b"/metrics") => match ask(mailbox, local) {
            Some(Some(text)) => ("200 OK", text),
            Some(None) => ("403 Forbidden", "Protected mode: not from here.\n".into()),
            None => ("503 Service Unavailable", "The server is busy.\n".into()),
        },
        (Some(b"GET"), _) => ("404 Not Found", "There is /metrics.\n".into()),
        _ => ("405 Method Not Allowed", "GET, please.\n".into()),
    };
    let header = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        text.len()
    );
    stream.write_all(header.as_bytes())?;
    stream.write_all(text.as_bytes())
}

/// The figures, unless the server keeps strangers away (`Some(None)`) or does not answer in time.
fn ask(mailbox: &Mailbox, local: bool) -> Option<Option<String>> {
    let (tell, told) = channel();
    mailbox.send(move |state| {
        let guarded = state.config.protected_mode && state.acl.default_user().is_open();
        let allowed = local || !guarded;
        let _ = tell.send(allowed.then(|| info::figures(state)));
    });
    let info = told.recv_timeout(PATIENCE).ok()?;
    Some(info.map(|info| exporter::translate(&info)))
}
