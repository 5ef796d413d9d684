//! Scripts and functions from outside: what a hostile one can do, what the debugger says, what is kept.

use std::time::{Duration, Instant};

use crate::support::client::{Client, encode};
use crate::support::random::Random;
use crate::support::server::until;
use crate::support::{Reply, Server};

/// The words of a reply, or of the first element of its first element, and so on.
fn innermost(reply: &Reply) -> String {
    match reply {
        Reply::Array(items) => items.first().map(innermost).unwrap_or_default(),
        Reply::Integer(n) => n.to_string(),
        Reply::NilBulk => String::new(),
        other => other.text(),
    }
}

fn eval(c: &mut Client, script: &str) -> Reply {
    c.call(&["EVAL", script, "0"])
}

#[test]
fn scripts_without_end_say_so_and_the_server_serves_on() {
    let server = Server::oxidis().config("busy-reply-threshold 20\n").start();
    let (mut c, mut other) = (server.client(), server.client());
    for script in [
        "while true do end",
        "while true do pcall(function() while true do end end) end",
        "local f = function() while true do redis.pcall('incr') end end while true do pcall(f) end",
        "coroutine.wrap(function() while true do end end)()",
    ] {
        c.send(&encode(&["EVAL", script, "0"])).expect("sent");
        let began = Instant::now();
        while !other.cmd("PING").is_error() {
            assert!(began.elapsed() < Duration::from_secs(10), "{script}");
        }
        other
            .cmd("GET k")
            .error("BUSY Redis is busy running a script");
        other.cmd("SCRIPT KILL").ok();
        let reply = c.read().expect("an answer");
        reply.error("ERR Script killed by user with SCRIPT KILL");
        other.cmd("PING").status("PONG");
    }
}

#[test]
fn memory_and_depth_have_an_end() {
    let server = Server::oxidis().config("busy-reply-threshold 0\n").start();
    let mut c = server.client();
    let endless = [
        "local t, s = {}, ('x'):rep(2 ^ 20) while true do t[#t + 1] = #t .. s end",
        "local s = 'x' while true do s = s .. s end",
        "return ('x'):rep(2 ^ 20):rep(1e5)",
    ];
    for script in endless {
        let reply = eval(&mut c, script);
        assert!(reply.is_error(), "{script}");
        assert!(
            reply.text().contains("not enough memory"),
            "{script}: {}",
            reply.text()
        );
        eval(&mut c, "return 'fine'").is("fine");
    }
    for (script, complaint) in [
        (
            "local function f(n) return 1 + f(n + 1) end return f(1)",
            "stack overflow",
        ),
        (
            "local function f() return coroutine.wrap(f)() end return f()",
            "overflow",
        ),
        ("return unpack({}, 1, 1e8)", "too many results to unpack"),
        (
            "return ('a'):rep(1e5):find(('a?'):rep(1e5))",
            "pattern too complex",
        ),
        (
            "return #{cmsgpack.unpack(('\\161x'):rep(1e4))}",
            "out of Lua stack",
        ),
        (
            "return cmsgpack.unpack(('\\145'):rep(1e5))",
            "Bad data format",
        ),
        ("return cjson.decode(('['):rep(1e5))", "too many nested"),
        (
            "local t = {} t[1] = t return cjson.encode(t)",
            "excessive nesting",
        ),
        (
            "return struct.pack('i2147483648', 1)",
            "integral size overflow",
        ),
        (
            "return struct.unpack('>I4', 'abc')",
            "data string too short",
        ),
        ("return struct.unpack('s', 'abc')", "unfinished string"),
        (
            "return loadstring(string.dump(function() end))()",
            "attempt to",
        ),
    ] {
        let reply = eval(&mut c, script);
        let text = innermost(&reply);
        assert!(text.contains(complaint), "{script}: {text}");
        c.cmd("PING").status("PONG");
    }
}

#[test]
fn more_scripts_and_functions_than_fit_on_a_stack() {
    let server = Server::oxidis().start();
    let mut c = server.client();
    let mut last = String::new();
    for i in 0..8200 {
        last = c.call(&["SCRIPT", "LOAD", &format!("return {i}")]).text();
        let code =
            format!("#!lua name=l{i}\nredis.register_function('f{i}', function() return {i} end)");
        c.call(&["FUNCTION", "LOAD", &code])
            .is(format!("l{i}").as_str());
    }
    c.call(&["EVALSHA", &last, "0"]).is(8199);
    c.cmd("FCALL f0 0").is(0);
    c.cmd("FCALL F8199 0").is(8199);
    eval(&mut c, "local t = {} for i = 1, 7900 do t[i] = 'v' .. i end return redis.call('rpush', 'l', unpack(t))")
        .is(7900);
    eval(&mut c, "return #redis.call('lrange', 'l', 0, -1)").is(7900);
    c.cmd("SCRIPT FLUSH ASYNC").ok();
    c.cmd("FUNCTION FLUSH ASYNC").ok();
    c.cmd("FCALL f0 0").error("ERR Function not found");
    // Freed bit by bit, by the thread that owns the data: so many are on their way, or gone.
    let told = |c: &mut Client, section: &str, field: &str| -> usize {
        let text = c.cmd(&format!("INFO {section}")).text();
        let line = text.lines().find_map(|line| line.strip_prefix(field));
        line.and_then(|n| n.parse().ok()).unwrap_or(0)
    };
    let pending = told(&mut c, "memory", "lazyfree_pending_objects:");
    let freed = told(&mut c, "stats", "lazyfreed_objects:");
    assert!(pending + freed >= 8200, "{pending} {freed}");
}

#[test]
fn libraries_meet_garbage() {
    let seed = Random::seed_from_env("OXIDIS_SCRIPTS_SEED");
    let mut random = Random::new(seed);
    let server = Server::oxidis().start();
    let mut c = server.client();
    let script = "local out = {} for _, f in ipairs({cmsgpack.unpack, cjson.decode, \
                  function(s) return struct.unpack(s, s) end, function(s) return struct.pack(s, 1, s) end, \
                  function(s) return cmsgpack.unpack_limit(s, 3, 1) end, \
                  function(s) return struct.unpack('<i4>hs', s) end}) do \
                  out[#out + 1] = pcall(function() return (f(ARGV[1])) end) end return #out";
    let good: [&[u8]; 3] = [
        b"[1,{\"a\":[true,null,1.5e3,\"\\u00e9\\ud83d\\ude00\"]}]",
        b"\x93\x01\x82\xa1a\xcb\x40\x09\x21\xfb\x54\x44\x2d\x18\xa1b\xc3\xdc\x00\x02\xc0\x90",
        b"<i4>I2!8bhlfdsc3xc0",
    ];
    for round in 0..20_000 {
        let mut bytes = match random.below(4) {
            0 => {
                let len = random.below(40);
                random.bytes(len)
            }
            n => good[n - 1].to_vec(),
        };
        for _ in 0..random.below(4) {
            if !bytes.is_empty() {
                let at = random.below(bytes.len());
                bytes[at] = random.next() as u8;
            }
        }
        let reply = c.call(&[b"EVAL".as_slice(), script.as_bytes(), b"0", &bytes]);
        assert_eq!(
            reply,
            Reply::from(6),
            "OXIDIS_SCRIPTS_SEED={seed}, round {round}: {}",
            bytes.escape_ascii()
        );
    }
}

#[test]
fn functions_survive_both_files() {
    let server = Server::oxidis()
        .args(["--enable-debug-command", "yes", "--appendonly", "yes"])
        .args(["--aof-use-rdb-preamble", "no"])
        .start();
    let mut c = server.client();
    let code = "#!lua name=kept\nredis.register_function{function_name='f', callback=function(k, a) \
                return redis.call('incrby', k[1], a[1]) end, flags={'allow-oom'}}";
    c.call(&["FUNCTION", "LOAD", code]).is("kept");
    let before = c.cmd("FUNCTION LIST WITHCODE");
    for command in ["DEBUG RELOAD", "DEBUG LOADAOF"] {
        c.cmd(command).ok();
        assert_eq!(c.cmd("FUNCTION LIST WITHCODE"), before, "{command}");
    }
    c.cmd("FCALL f 1 k 5").is(5);
    c.cmd("BGREWRITEAOF");
    let began = Instant::now();
    while !c
        .cmd("INFO persistence")
        .text()
        .contains("aof_rewrite_in_progress:0")
    {
        assert!(began.elapsed() < Duration::from_secs(20));
    }
    c.cmd("DEBUG LOADAOF").ok();
    c.cmd("FCALL f 1 k 5").is(10);

    // The payloads that Redis dumped.
    let Some(redis) = Server::redis() else { return };
    let redis = redis.start();
    let mut r = redis.client();
    r.call(&["FUNCTION", "LOAD", code]).is("kept");
    let theirs = r.cmd("FUNCTION DUMP").bytes().to_vec();
    c.cmd("FUNCTION FLUSH").ok();
    c.call(&[b"FUNCTION".as_slice(), b"RESTORE", &theirs]).ok();
    c.cmd("FCALL f 1 k 5").is(15);
}

#[test]
fn the_debugger_stops_shows_and_obeys() {
    let server = Server::oxidis().start();
    let (mut c, mut other) = (server.client(), server.client());
    c.cmd("SCRIPT DEBUG SYNC").ok();
    let script = "local x = ARGV[1]\nlocal function f(y)\n  return y .. x\nend\nredis.debug(x, {1})\n\
                  redis.breakpoint()\nreturn redis.call('set', KEYS[1], f('a'))\n";
    let lines = |reply: Reply| -> String {
        let lines: Vec<String> = reply.items().iter().map(Reply::text).collect();
        lines.join("|")
    };
    let begun = c.call(&["EVAL", script, "1", "k", "v"]);
    assert_eq!(
        lines(begun),
        "* Stopped at 1, stop reason = step over|-> 1   local x = ARGV[1]"
    );
    for (order, answer) in [
        ("print", "No local variables in the current context."),
        ("n", "* Stopped at 4, stop reason = step over|-> 4   end"),
        ("p x", "<value> \"v\""),
        (
            "b 3",
            "   2   local function f(y)|  #3     return y .. x|-> 4   end",
        ),
        (
            "c",
            "<debug> line 5: \"v\", {1}|* Stopped at 7, stop reason = redis.breakpoint() called|\
             -> 7   return redis.call('set', KEYS[1], f('a'))",
        ),
        ("redis get k", "<redis> get k|<reply> NULL"),
        ("e KEYS[1] .. 1", "<retval> \"k1\""),
        ("e error('no')", "<error> ERR ldb_eval:1: no"),
        (
            "unheard",
            "<error> Unknown Redis Lua debugger command or wrong number of arguments.",
        ),
        (
            "c",
            "* Stopped at 3, stop reason = break point|->#3     return y .. x",
        ),
        ("p y", "<value> \"a\""),
        (
            "trace",
            "In f:|->#3     return y .. x|From top level:|   7   return redis.call('set', KEYS[1], f('a'))",
        ),
        ("p KEYS", "<value> {\"k\"}"),
        ("m 5", "<value> replies are truncated at 60 bytes."),
        ("b 0", "All breakpoints removed."),
        ("c", "<endsession>"),
    ] {
        let words: Vec<&str> = order.split(' ').collect();
        assert_eq!(lines(c.call(&words)), answer, "{order}");
    }
    c.read().expect("EVAL's own answer").ok();
    assert!(c.read().is_err(), "the connection ends with the session");
    other.cmd("GET k").is("av");

    // A client that leaves a session lets the script run on; one that aborts it ends the script.
    let mut c = server.client();
    c.cmd("SCRIPT DEBUG SYNC").ok();
    eval(&mut c, "redis.call('set', 'k', 1)\nreturn 1");
    drop(c);
    other.cmd("GET k").is("1");
    let mut c = server.client();
    c.cmd("SCRIPT DEBUG SYNC").ok();
    eval(
        &mut c,
        "pcall(function()\nreturn 1 end)\nredis.call('set', 'k', 2)",
    );
    c.cmd("s");
    c.cmd("abort");
    c.read()
        .expect("EVAL's own answer")
        .error("ERR script aborted for user request");
    other.cmd("GET k").is("1");
}

/// `string.find` is compiled as one variable; a script must not be able to tell.
#[test]
fn fields_of_libraries_are_what_they_were_when_read_in_one_step() {
    let server = Server::oxidis().start();
    let mut c = server.client();
    for (script, words) in [
        (
            "string.find()",
            "bad argument #1 to 'find' (string expected, got no value)",
        ),
        (
            "return string.find()",
            "user_script:1: bad argument #1 to 'find'",
        ),
        ("local f = string.find return (f())", "bad argument #1 to"),
        ("return ('x'):rep({})", "bad argument #1 to 'rep'"),
        ("return redis.nothing", ""),
        (
            "redis.nothing()",
            "attempt to call field 'nothing' (a nil value)",
        ),
        (
            "redis.call.x = 1",
            "attempt to index field 'call' (a function value)",
        ),
        ("string.find = 1", "Attempt to modify a readonly table"),
        (
            "function string.find() end",
            "Attempt to modify a readonly table",
        ),
        (
            "function redis.new() end",
            "Attempt to modify a readonly table",
        ),
        ("redis.call, x = 1, 2", "Attempt to modify a readonly table"),
        ("string['find'] = 1", "Attempt to modify a readonly table"),
        (
            "_G['\\1string.find'] = 1",
            "Attempt to modify a readonly table",
        ),
        (
            "rawset(_G, '\\1string.find', 1)",
            "Attempt to modify a readonly table",
        ),
        (
            "return _G['\\1string.nothing']",
            "nonexistent global variable 'nothing'",
        ),
        (
            "return _G['\\1nothing.find']",
            "nonexistent global variable 'nothing'",
        ),
        (
            "return _G['\\1nothing']",
            "nonexistent global variable '\u{1}nothing'",
        ),
        ("nothing.find()", "nonexistent global variable 'nothing'"),
        (
            "local string = {find = function() return 7 end} return string.find()",
            "7",
        ),
        (
            "local f = function(string) return string.find end return f({find = 8})",
            "8",
        ),
        (
            "local string = string string = {find = 9} return (function() return string.find end)()",
            "9",
        ),
        ("return {string . find('ab', 'b')}", "2"),
        ("return {string\n.\nfind('ab', 'b')}", "2"),
        (
            "return {loadstring('return string.find(...)')('ab', 'b')}",
            "2",
        ),
        (
            "return tostring(string.find == string['find'] and string.find == ('').find)",
            "true",
        ),
        (
            "return tostring(math.pi == math['pi'] and cjson.null == cjson['null'])",
            "true",
        ),
        (
            "for _, t in ipairs({_G, string, redis}) do for k in pairs(t) do
                 assert(k:byte() > 31, k) assert(rawget(t, k) == t[k]) end end
             local n = 0 for k in next, _G do n = n + 1 end
             for k in pairs(_G) do n = n - 1 end return n",
            "0",
        ),
        ("return next(_G, 'nothing')", "nvalid key to 'next'"),
        ("next()", "bad argument #1 to 'next'"),
        ("return tostring(next({}))", "nil"),
        ("return {next({5})}", "1"),
        ("rawget({})", "bad argument #2 to 'rawget'"),
        ("return tostring(rawget({a = 1}, 'a', 2))", "1"),
        ("rawset({}, 1)", "bad argument #3 to 'rawset'"),
    ] {
        let text = innermost(&eval(&mut c, script));
        assert!(text.contains(words), "{script}: {text}");
    }
    // While a library registers its functions there is less.
    for (line, words) in [
        (
            "redis.call('get', 'k')",
            "nonexistent global variable 'call'",
        ),
        (
            "string.find('a', 'a')",
            "nonexistent global variable 'string'",
        ),
        ("redis.log(redis.LOG_DEBUG, 'x')", "No functions registered"),
    ] {
        let reply = c.call(&["FUNCTION", "LOAD", &format!("#!lua name=l\n{line}")]);
        assert!(reply.text().contains(words), "{line}: {}", reply.text());
    }
    let code = "#!lua name=l\nredis.register_function('f', function() return {string.find('ab', 'b')} end)";
    c.call(&["FUNCTION", "LOAD", code]).is("l");
    c.cmd("FCALL f 0").is([2, 2]);
}

/// Functions of an environment that a script made look into that one, names of libraries included.
#[test]
fn environments_of_a_script_have_their_own_libraries() {
    let server = Server::oxidis()
        .config("lua-enable-deprecated-api yes\n")
        .start();
    let mut c = server.client();
    let script = "local f = function() return string.find end
                  setfenv(f, {string = {find = 5}}) return f()";
    eval(&mut c, script).is(5);
    eval(&mut c, "return {string.find('ab', 'b')}").is([2, 2]);
    let reply = eval(&mut c, "string.find = 1");
    assert!(reply.text().contains("readonly table"), "{}", reply.text());
}

/// Numbers where strings are wanted, and strings where numbers are, are taken as Lua takes them.
#[test]
fn libraries_take_numbers_as_strings() {
    let server = Server::oxidis().start();
    let mut c = server.client();
    for (script, words) in [
        ("return struct.pack('s', 12)", "12\0"),
        ("return {struct.unpack('c2', 12)}", "12"),
        ("return struct.size(4)", "0"),
        ("return struct.pack('B', '65')", "A"),
        ("return struct.pack('<I3', 66051)", "\u{3}\u{2}\u{1}"),
        ("return struct.pack('>i3', 66051)", "\u{1}\u{2}\u{3}"),
        ("return #struct.pack('>I9', 1)", "9"),
        ("return {cmsgpack.unpack(5)}", "53"),
        ("return {cmsgpack.unpack_one(55, '1')}", "-1"),
        (
            "return cmsgpack.unpack({})",
            "bad argument #1 to 'unpack' (string expected, got table)",
        ),
        (
            "return cmsgpack.unpack()",
            "bad argument #1 to 'unpack' (string expected, got no value)",
        ),
        ("return {(string.gsub(1212, 2, 3))}", "1313"),
        ("return {string.gmatch(1212, '2')()}", "2"),
        ("return math.random(0)", "interval is empty"),
    ] {
        let text = innermost(&eval(&mut c, script));
        assert!(text.contains(words), "{script}: {text:?}");
    }
}

/// A function that `gsub` calls may raise an error, call `gsub` again, or both: each text stays its own.
#[test]
fn texts_of_nested_replacements_stay_apart() {
    let server = Server::oxidis().start();
    let mut c = server.client();
    let script = "
        local function nest(depth)
            return (('ab'):rep(3):gsub('%a', function(letter)
                if depth == 0 then return letter:upper() end
                local ok, said = pcall(string.gsub, 'xyz', '%a', function(inner)
                    if inner == 'y' then error('no', 0) end
                    return ('q'):rep(100)
                end)
                assert(not ok and said == 'no')
                return letter == 'a' and nest(depth - 1) or depth
            end))
        end
        local first = nest(3)
        for i = 1, 2000 do
            pcall(string.gsub, 'x', 'x', function() ('y'):rep(50):gsub('y', error) end)
        end
        assert(nest(3) == first)
        return {first, (('a b'):gsub('%w', {a = 1, b = false})), (('ab'):gsub('', function() return '-' end)),
                (('ab'):gsub('(a)(b)', function(a, b) return b .. a end))}";
    let inner = "AB".repeat(3);
    let one = format!("{inner}1").repeat(3);
    let two = format!("{one}2").repeat(3);
    let three = format!("{two}3").repeat(3);
    eval(&mut c, script).is([three.as_str(), "1 b", "-a-b-", "ba"]);
    for (script, words) in [
        (
            "('x'):gsub('x', function() return {} end)",
            "invalid replacement value (a table)",
        ),
        (
            "('x'):gsub('x', function() return true end)",
            "invalid replacement value (a boolean)",
        ),
        ("('x'):gsub('(x', function() end)", "unfinished capture"),
        (
            "('x'):gsub('x', {x = true})",
            "invalid replacement value (a boolean)",
        ),
        (
            "('x'):gsub('x', setmetatable({}, {__index = function() error('mine') end}))",
            "mine",
        ),
        (
            "return {(('x'):gsub('x', setmetatable({}, {__index = function() return 'm' end})))}",
            "m",
        ),
        (
            "return {(('x'):gsub('x', function() return 1.5 end))}",
            "1.5",
        ),
    ] {
        let text = innermost(&eval(&mut c, script));
        assert!(text.contains(words), "{script}: {text}");
    }
}

/// Between scripts the cron ends what the collector began, so that an interpreter gives back what a script left behind.
#[test]
fn garbage_is_collected_while_no_script_runs() {
    let server = Server::oxidis().start();
    let mut c = server.client();
    let held = |c: &mut Client| -> usize {
        let told = c.cmd("INFO memory").text();
        let line = told
            .lines()
            .find_map(|l| l.strip_prefix("used_memory_lua:"));
        line.and_then(|n| n.parse().ok())
            .expect("a number of bytes")
    };
    eval(&mut c, "return 1").is(1);
    let before = held(&mut c);
    let script = "collectgarbage() local t = {} for i = 1, 20000 do t[i] = {} end return #t";
    eval(&mut c, script).is(20_000);
    let patience = Duration::from_secs(30);
    let low = until(patience, || (held(&mut c) < 2 * before).then_some(()));
    assert!(low.is_some(), "{before} bytes before, {} now", held(&mut c));
}

/// A protected table is refused with the script's line where Lua code writes, and without a line where a function of the
/// library does, as in Redis.
#[test]
fn protected_tables_are_refused_in_the_words_of_redis() {
    let server = Server::oxidis().start();
    let mut c = server.client();
    for script in ["x = 1", "redis.x = 1", "_G.x = 1", "string.find = 1"] {
        let text = innermost(&eval(&mut c, script));
        let words = "ERR user_script:1: Attempt to modify a readonly table script: ";
        assert!(text.starts_with(words), "{script}: {text}");
    }
    for script in [
        "rawset(redis, 'x', 1)",
        "rawset(_G, 'x', 1)",
        "setmetatable(redis, {})",
        "table.insert(redis, 1)",
    ] {
        let text = innermost(&eval(&mut c, script));
        let words = "ERR Attempt to modify a readonly table script: ";
        assert!(text.starts_with(words), "{script}: {text}");
    }
    for script in ["return table.remove(redis)", "return table.sort(redis)"] {
        eval(&mut c, script).nil();
    }
}

/// Functions that the server puts around those of the interpreter name themselves and the script's line, as in Redis.
#[test]
fn functions_around_the_library_place_their_errors_in_the_script() {
    let server = Server::oxidis().start();
    let mut c = server.client();
    for (script, words) in [
        (
            "coroutine.resume(1)",
            "bad argument #1 to 'resume' (coroutine expected)",
        ),
        (
            "coroutine.wrap(1)",
            "bad argument #1 to 'wrap' (Lua function expected)",
        ),
        (
            "xpcall(tostring)",
            "bad argument #2 to 'xpcall' (value expected)",
        ),
    ] {
        let text = innermost(&eval(&mut c, script));
        let start = format!("ERR user_script:1: {words} script: ");
        assert!(text.starts_with(&start), "{script}: {text}");
    }
}
