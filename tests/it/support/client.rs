//! A client that sends what it is told and reads whole replies. It waits ten seconds at most: a reply that
//! never comes is a failed test, not a hung one.

use std::io::{self, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::Reply;

const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub struct Client {
    stream: BufReader<Stream>,
}

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Client {
    pub fn tcp(port: u16) -> io::Result<Client> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Client {
            stream: BufReader::new(Stream::Tcp(stream)),
        })
    }

    pub fn unix(path: &Path) -> io::Result<Client> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Client {
            stream: BufReader::new(Stream::Unix(stream)),
        })
    }

    /// One command as one would type it, `SET key "a b\r\n"`, and its reply.
    #[track_caller]
    pub fn cmd(&mut self, line: &str) -> Reply {
        self.call(&split(line))
    }

    /// One command, argument by argument, and its reply.
    #[track_caller]
    pub fn call<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Reply {
        let sent = encode(args);
        self.send(&sent)
            .and_then(|()| self.read())
            .unwrap_or_else(|error| {
                let shown = sent[..sent.len().min(200)].escape_ascii();
                panic!("no reply to {shown}: {error}")
            })
    }

    /// Bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// The next reply, or push.
    pub fn read(&mut self) -> io::Result<Reply> {
        Reply::read(&mut self.stream)
    }

    /// Says that nothing more will be sent, and reads all that comes until the server closes.
    pub fn finish(&mut self) -> io::Result<Vec<u8>> {
        match self.stream.get_mut() {
            Stream::Tcp(stream) => stream.shutdown(Shutdown::Write)?,
            Stream::Unix(stream) => stream.shutdown(Shutdown::Write)?,
        }
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest)?;
        Ok(rest)
    }
}

/// A command as RESP.
pub fn encode<A: AsRef<[u8]>>(args: &[A]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        let arg = arg.as_ref();
        out.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// Words with the quoting of `redis-cli`: `"…"` with `\n \r \t \b \a \xHH` and escaped quotes, `'…'` with `\'`.
#[track_caller]
pub fn split(line: &str) -> Vec<Vec<u8>> {
    let mut words = Vec::new();
    let mut rest = line.trim_start().as_bytes();
    while let Some(&first) = rest.first() {
        let mut word = Vec::new();
        match first {
            b'"' | b'\'' => {
                rest = &rest[1..];
                loop {
                    match rest {
                        [] => panic!("unbalanced quotes: {line}"),
                        [quote, tail @ ..] if *quote == first => {
                            rest = tail;
                            break;
                        }
                        [b'\\', b'\'', tail @ ..] if first == b'\'' => {
                            word.push(b'\'');
                            rest = tail;
                        }
                        [b'\\', b'x', high, low, tail @ ..] if first == b'"' => {
                            let digit =
                                |c: u8| (c as char).to_digit(16).expect("\\xHH in a test") as u8;
                            word.push(digit(*high) * 16 + digit(*low));
                            rest = tail;
                        }
                        [b'\\', escaped, tail @ ..] if first == b'"' => {
                            word.push(match escaped {
                                b'n' => b'\n',
                                b'r' => b'\r',
                                b't' => b'\t',
                                b'b' => 8,
                                b'a' => 7,
                                other => *other,
                            });
                            rest = tail;
                        }
                        [byte, tail @ ..] => {
                            word.push(*byte);
                            rest = tail;
                        }
                    }
                }
            }
            _ => {
                let end = rest
                    .iter()
                    .position(u8::is_ascii_whitespace)
                    .unwrap_or(rest.len());
                word.extend_from_slice(&rest[..end]);
                rest = &rest[end..];
            }
        }
        words.push(word);
        rest = rest.trim_ascii_start();
    }
    words
}

impl Read for Stream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.read(buf),
            Stream::Unix(stream) => stream.read(buf),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.write(buf),
            Stream::Unix(stream) => stream.write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
