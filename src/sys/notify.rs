//! Messages to the supervisor of the process: the service is ready, or it stops.
//!
//! Systemd names a datagram socket in the environment and reads lines such as `READY=1` from it. Upstart waits until
//! the process stops itself, and lets it go on.
//!
//! Mirrors: redisCommunicateSystemd(), redisSupervisedUpstart() of server.c. Differs: no libsystemd; the protocol is
//! one datagram.
#![allow(unsafe_code)] // Stopping oneself is a system call.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;

/// The supervisor that started the process.
#[derive(Debug, PartialEq, Eq)]
pub enum Supervisor {
    /// Its socket; a name that begins with `@` is in the abstract namespace.
    Systemd(PathBuf),
    /// It waits for the process to stop itself.
    Upstart,
}

impl Supervisor {
    /// The systemd that started us, if its socket is in the environment.
    pub fn systemd() -> Option<Supervisor> {
        let socket = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty())?;
        Some(Supervisor::Systemd(socket.into()))
    }

    /// The upstart that started us, if it left its name in the environment.
    pub fn upstart() -> Option<Supervisor> {
        std::env::var_os("UPSTART_JOB")?;
        Some(Supervisor::Upstart)
    }

    /// Tells that clients are served. Once.
    pub fn ready(&self) -> io::Result<()> {
        match self {
            Supervisor::Systemd(_) => self.say("STATUS=Ready to accept connections\nREADY=1\n"),
            Supervisor::Upstart => {
                // SAFETY: no preconditions; upstart sends SIGCONT.
                unsafe { libc::raise(libc::SIGSTOP) };
                Ok(())
            }
        }
    }

    /// Tells what goes on, in words; systemd shows them.
    pub fn say(&self, state: &str) -> io::Result<()> {
        let Supervisor::Systemd(socket) = self else {
            return Ok(());
        };
        let sender = UnixDatagram::unbound()?;
        #[cfg(target_os = "linux")]
        if let Some(name) = socket.as_os_str().as_encoded_bytes().strip_prefix(b"@") {
            use std::os::linux::net::SocketAddrExt;
            let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
            return sender.send_to_addr(state.as_bytes(), &address).map(drop);
        }
        sender.send_to(state.as_bytes(), socket).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systemd_is_told_through_its_socket() {
        let dir = std::env::temp_dir().join(format!("oxidis-notify-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("socket");
        let _ = std::fs::remove_file(&path);
        let listener = UnixDatagram::bind(&path).unwrap();
        Supervisor::Systemd(path).ready().unwrap();
        let mut buffer = [0; 100];
        let n = listener.recv(&mut buffer).unwrap();
        assert_eq!(
            &buffer[..n],
            b"STATUS=Ready to accept connections\nREADY=1\n"
        );
        std::fs::remove_dir_all(&dir).unwrap();
        let gone = Supervisor::Systemd(dir.join("socket"));
        assert!(gone.say("STOPPING=1\n").is_err());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn an_abstract_socket_will_do() {
        use std::os::linux::net::SocketAddrExt;
        use std::os::unix::net::SocketAddr;
        let name = format!("oxidis-notify-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let listener = UnixDatagram::bind_addr(&address).unwrap();
        Supervisor::Systemd(format!("@{name}").into())
            .say("STOPPING=1\n")
            .unwrap();
        let mut buffer = [0; 100];
        assert_eq!(listener.recv(&mut buffer).unwrap(), 11);
    }
}
