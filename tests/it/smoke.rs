//! The server as a whole: it starts, serves by every door, ends when told, and starts again.

use std::process::Command;

use redis::Commands;

use crate::support::Server;

#[test]
fn a_first_session() {
    let server = Server::oxidis().start();
    let mut c = server.client();
    c.cmd("PING").status("PONG");
    c.cmd(r#"SET greeting "hello\r\nworld""#).ok();
    c.cmd("GET greeting").is("hello\r\nworld");
    c.cmd("GET nothing").nil();
    c.cmd("INCRBY n 5").is(5);
    c.cmd("INCRBY greeting 5")
        .error("ERR value is not an integer");
    c.cmd("MGET n nothing").items()[1].clone().nil();
    c.cmd("NOSUCHCOMMAND a b")
        .error("ERR unknown command 'NOSUCHCOMMAND'");
}

#[test]
fn the_unix_socket_and_tcp_are_two_doors_to_one_house() {
    let server = Server::oxidis().unix().start();
    server.unix_client().cmd("SET k v").ok();
    server.client().cmd("GET k").is("v");
}

#[test]
fn the_configuration_file_is_read_and_arguments_override_it() {
    let server = Server::oxidis()
        .config("databases 3\nmaxclients 100\n")
        .args(["--databases", "5"])
        .start();
    let mut c = server.client();
    c.cmd("SELECT 4").ok();
    c.cmd("SELECT 5").error("ERR DB index is out of range");
    c.cmd("CONFIG GET maxclients").is(["maxclients", "100"]);
}

#[test]
fn shutdown_ends_the_process_and_it_can_start_again() {
    let mut server = Server::oxidis().start();
    let mut c = server.client();
    c.cmd("SET k v").ok();
    c.send(b"SHUTDOWN NOSAVE\r\n").expect("still there");
    assert_eq!(server.wait().code(), Some(0));
    server.restart();
    server.client().cmd("EXISTS k").is(0);
}

#[test]
fn sigterm_ends_it_cleanly_and_takes_the_socket_away() {
    let mut server = Server::oxidis().unix().start();
    let socket = server.dir().join("socket");
    assert!(socket.exists());
    let pid = server.pid().to_string();
    let told = Command::new("kill").args(["-TERM", &pid]).status();
    assert!(told.expect("kill is everywhere").success());
    assert_eq!(server.wait().code(), Some(0));
    assert!(!socket.exists());
}

#[test]
fn the_redis_crate_is_at_home() -> redis::RedisResult<()> {
    let server = Server::oxidis().start();
    let client = redis::Client::open(format!("redis://127.0.0.1:{}/", server.port()))?;
    let mut c = client.get_connection()?;
    let () = c.set("k", "v")?;
    assert_eq!(c.get::<_, String>("k")?, "v");
    let (n, text): (i64, String) = redis::pipe().incr("n", 7).get("k").query(&mut c)?;
    assert_eq!((n, text.as_str()), (7, "v"));
    assert_eq!(c.get::<_, Option<String>>("nothing")?, None);
    Ok(())
}
