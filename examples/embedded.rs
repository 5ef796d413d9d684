//! A Redis server inside a program: what a test of your own would do.
//!
//! ```
//! use oxidis::Server;
//!
//! let server = Server::builder().start()?;
//! server.execute(["SET", "greeting", "hello"]);
//! assert_eq!(server.execute(["GET", "greeting"]).as_bytes(), Some(&b"hello"[..]));
//! # Ok::<(), oxidis::StartError>(())
//! ```
//!
//! Run it with `cargo run --example embedded`.

// The program around the server is its own.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

use redis::Commands;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Port 0 is the default: the system picks a free one, so that tests can run side by side.
    let server = oxidis::Server::builder().start()?;
    let address = server
        .address()
        .expect("it listens on TCP unless told otherwise");

    // Any client library speaks to it through its socket …
    let client = redis::Client::open(format!("redis://{address}"))?;
    let mut connection = client.get_connection()?;
    let _: () = connection.set("visits", 41)?;
    let visits: i64 = connection.incr("visits", 1)?;
    println!("over TCP:       visits = {visits}");

    // … and the program itself needs no socket at all.
    let visits = server.execute(["INCR", "visits"]);
    println!("in the process: visits = {visits:?}");

    // Several servers live side by side; nothing is shared between them.
    let other = oxidis::Server::builder().start()?;
    println!(
        "another server: visits = {:?}",
        other.execute(["GET", "visits"])
    );

    // Dropping a handle stops its server; `shutdown` does it by name.
    server.shutdown();
    Ok(())
}
