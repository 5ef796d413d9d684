//! TLS from outside: a client of rustls, certificates made for a hundred years (`tests/it/tls/`).

use std::io::{BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::support::{Server, client, reply::Reply};

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it/tls")
        .join(name)
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound").port()
}

/// A server with a TLS port, and that port.
fn server(more: &str) -> (Server, u16) {
    let port = free_port();
    let path = |name| file(name).display().to_string();
    let (certificate, key, ca) = (path("server.crt"), path("server.key"), path("ca.crt"));
    let server = Server::oxidis()
        .config(&format!(
            "tls-port {port}\ntls-cert-file {certificate}\ntls-key-file {key}\n\
             tls-ca-cert-file {ca}\n{more}\n"
        ))
        .start();
    (server, port)
}

struct Client(BufReader<StreamOwned<ClientConnection, TcpStream>>);

impl Client {
    fn new(port: u16, with_certificate: bool) -> Client {
        let mut roots = RootCertStore::empty();
        let ca = CertificateDer::from_pem_file(file("ca.crt")).expect("a certificate");
        roots.add(ca).expect("an authority");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("they go with the provider")
            .with_root_certificates(roots);
        let settings = match with_certificate {
            false => builder.with_no_client_auth(),
            true => {
                let certificate = CertificateDer::from_pem_file(file("client.crt")).unwrap();
                let key = PrivateKeyDer::from_pem_file(file("client.key")).unwrap();
                builder
                    .with_client_auth_cert(vec![certificate], key)
                    .unwrap()
            }
        };
        let name = ServerName::try_from("localhost").expect("a name");
        let session = ClientConnection::new(Arc::new(settings), name).expect("a session");
        let socket = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
        socket
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        Client(BufReader::new(StreamOwned::new(session, socket)))
    }

    fn send(&mut self, words: &[&[u8]]) {
        let request = client::encode(words);
        self.0.get_mut().write_all(&request).expect("sent");
    }

    fn cmd(&mut self, line: &str) -> Reply {
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        self.send(&words);
        Reply::read(&mut self.0).expect("a reply")
    }

    /// Whether the server wants to have nothing to do with it.
    fn refused(mut self) -> bool {
        let ping = client::encode(&["PING"]);
        let sent = self.0.get_mut().write_all(&ping);
        sent.is_err() || Reply::read(&mut self.0).is_err()
    }
}

#[test]
fn requests_large_and_small() {
    let (server, port) = server("");
    let mut c = Client::new(port, true);
    c.cmd("PING").status("PONG");
    // Larger than the buffers of the session, of the socket, and than what is written in one turn.
    let big: Vec<u8> = (0..30_000_000u32).map(|n| (n / 7) as u8).collect();
    c.send(&[b"SET", b"big", &big]);
    Reply::read(&mut c.0).expect("a reply").ok();
    c.send(&[b"GET", b"big"]);
    assert!(Reply::read(&mut c.0).expect("a reply").bytes() == big);
    // Many at once: more plain bytes in a record than are read at a time.
    let many = client::encode(&["INCR", "n"]).repeat(50_000);
    c.0.get_mut().write_all(&many).expect("sent");
    for n in 1..=50_000 {
        Reply::read(&mut c.0).expect("a reply").is(n);
    }
    server.client().cmd("GET n").is("50000");
}

#[test]
fn certificates_are_asked_for_as_configured() {
    let (server, port) = server("tls-auth-clients-user CN");
    assert!(Client::new(port, false).refused());
    let mut plain = server.client();
    plain.cmd("CONFIG SET tls-auth-clients optional").ok();
    Client::new(port, false).cmd("ACL WHOAMI").is("default");
    plain.cmd("ACL SETUSER client on +@all ~mine").ok();
    let mut c = Client::new(port, true);
    c.cmd("ACL WHOAMI").is("client");
    c.cmd("SET mine v").ok();
    c.cmd("SET yours v").error("NOPERM");
    plain.cmd("ACL SETUSER client off").ok();
    Client::new(port, true).cmd("ACL WHOAMI").is("default");
}

#[test]
fn modules_are_given_the_certificates_of_clients() {
    let Some(module) = crate::modules::built() else {
        return;
    };
    let module = module.join("newer.so");
    let lines = format!("tls-auth-clients optional\nloadmodule {}", module.display());
    let (server, port) = server(&lines);
    let pem = std::fs::read_to_string(file("client.crt")).expect("it is there");
    let pem = &pem[pem.find("-----BEGIN").expect("a certificate")..];
    Client::new(port, true).cmd("NEWER.CERTIFICATE").is(pem);
    Client::new(port, true).cmd("NEWER.CERTIFICATE other").nil();
    Client::new(port, false).cmd("NEWER.CERTIFICATE").nil();
    server.client().cmd("NEWER.CERTIFICATE").nil();
}

#[test]
fn new_settings_are_for_new_connections() {
    let (server, port) = server("tls-auth-clients no");
    let mut plain = server.client();
    let mut old = Client::new(port, false);
    let key = file("server.encrypted.key").display().to_string();
    let failed = "ERR CONFIG SET failed (possibly related to argument 'tls-key-file') - Unable to update TLS";
    plain
        .cmd(&format!("CONFIG SET tls-key-file {key}"))
        .error(failed);
    plain.cmd("CONFIG SET tls-key-file-pass 1234").ok();
    plain.cmd(&format!("CONFIG SET tls-key-file {key}")).ok();
    let other = file("client.key").display().to_string();
    plain
        .cmd(&format!("CONFIG SET tls-key-file {other}"))
        .error(failed);
    plain.cmd("CONFIG SET tls-auth-clients yes").ok();
    old.cmd("PING").status("PONG");
    assert!(Client::new(port, false).refused());
    Client::new(port, true).cmd("PING").status("PONG");
    let moved = free_port();
    plain.cmd(&format!("CONFIG SET tls-port {moved}")).ok();
    old.cmd("PING").status("PONG");
    Client::new(moved, true).cmd("PING").status("PONG");
    plain.cmd("CONFIG SET tls-port 0").ok();
    assert!(TcpStream::connect(("127.0.0.1", moved)).is_err());
}

#[test]
fn whoever_speaks_no_tls_is_sent_away_in_silence() {
    let (_server, port) = server("");
    let mut socket = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    socket
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    socket.write_all(b"PING\r\n").expect("sent");
    let mut heard = Vec::new();
    let _ = std::io::Read::read_to_end(&mut socket, &mut heard);
    assert_eq!(heard, b"");
}

#[test]
fn migrate_goes_under_tls_where_the_cluster_does() {
    let (source, _) = server("tls-cluster yes");
    let (target, port) = server("");
    let mut here = source.client();
    let mut there = target.client();
    let big: Vec<u8> = (0..3_000_000u32).map(|n| (n / 7) as u8).collect();
    here.call(&[b"SET", b"big".as_slice(), &big]).ok();
    here.cmd("RPUSH list a b c").is(3);
    here.cmd("SET mortal v EX 1000").ok();
    here.cmd(&format!("MIGRATE 127.0.0.1 {port} big 0 10000"))
        .ok();
    let several = format!("MIGRATE 127.0.0.1 {port} '' 3 10000 KEYS list mortal");
    here.cmd(&several).ok();
    here.cmd("DBSIZE").is(0);
    assert!(there.cmd("GET big").bytes() == big);
    there.cmd("SELECT 3").ok();
    there.cmd("LRANGE list 0 -1").is(["a", "b", "c"]);
    crate::support::has_to_live(&mut there, "mortal", 1000);
    // One connection served both.
    let stats = here.cmd("INFO stats").text();
    assert!(stats.contains("migrate_cached_sockets:1\r\n"), "{stats}");

    // A client that speaks no TLS gets nothing, and no key is lost.
    here.cmd("SET k v").ok();
    let plain = target.port();
    here.cmd(&format!("MIGRATE 127.0.0.1 {plain} k 0 1000"))
        .error("IOERR");
    here.cmd("GET k").is("v");
    // Nor does one who does not answer at all.
    let deaf = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let deaf = deaf.local_addr().expect("it is bound").port();
    here.cmd(&format!("MIGRATE 127.0.0.1 {deaf} k 0 100"))
        .error("IOERR");
    here.cmd("CONFIG SET tls-cluster no").ok();
    here.cmd(&format!("MIGRATE 127.0.0.1 {plain} k 0 1000"))
        .ok();
    there.cmd("SELECT 0").ok();
    there.cmd("GET k").is("v");
}

/// 500 connections that never came to the end of their handshake were held for ever.
#[test]
fn a_handshake_has_a_deadline() {
    use std::io::Read;
    let (server, port) = server("");
    let mut c = server.client();
    let mut half_open: Vec<TcpStream> = (0..20)
        .map(|_| TcpStream::connect(("127.0.0.1", port)).expect("it listens"))
        .collect();
    // The beginning of a record, and then a byte now and then: nothing of this makes the deadline later.
    for stream in &mut half_open {
        stream
            .write_all(&[0x16, 0x03, 0x01, 0x40, 0x00, 0x01])
            .expect("sent");
        stream.set_nonblocking(true).expect("a mode is set");
    }
    let mut established = Client::new(port, true);
    established.cmd("PING").status("PONG");
    let gone = crate::support::server::until(Duration::from_secs(60), || {
        half_open.retain_mut(|stream| {
            let _ = stream.write_all(b"x");
            match stream.read(&mut [0; 64]) {
                Ok(0) => false,
                Ok(_) => true,
                Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
            }
        });
        half_open.is_empty().then_some(())
    });
    assert!(gone.is_some(), "{} are left", half_open.len());
    // A client that completed the handshake stays.
    established.cmd("PING").status("PONG");
    c.cmd("PING").status("PONG");
}
