//! Scripts that attack the server: what was published of Redis's Lua and of LuaJIT, each with the words it must
//! end in. After each the server answers, and a script that has nothing to do with it finds all as it was.

use std::fs;
use std::io::{BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use crate::support::client::{Client, encode};
use crate::support::server::until;
use crate::support::{Reply, Server};

/// The words of a reply, or of the first element of its first element, and so on.
fn innermost(reply: &Reply) -> String {
    match reply {
        Reply::Array(items) => items.first().map(innermost).unwrap_or_default(),
        Reply::Integer(n) => n.to_string(),
        Reply::NilBulk | Reply::NilArray => String::new(),
        other => other.text(),
    }
}

/// All that a script can see of its surroundings, and some of what it can do with them.
const INNOCENT: &str = r#"
    local seen = {}
    local function look(name, t)
        for k, v in pairs(t) do seen[#seen + 1] = name .. tostring(k) .. ':' .. type(v) end
    end
    look('_G.', _G)
    for _, name in ipairs{'redis', 'cjson', 'cmsgpack', 'struct', 'bit', 'string', 'table', 'math', 'os', 'coroutine'} do
        look(name .. '.', _G[name])
    end
    table.sort(seen)
    local t = {3, 1, 2}
    table.sort(t) table.insert(t, 4) table.remove(t, 1)
    return {
        table.concat(seen, ' '), table.concat(t, ','), cjson.encode({1, 'x', {a = true}}),
        cjson.encode(cjson.decode('{"a":[1,2.5,null]}')), cmsgpack.unpack(cmsgpack.pack('m')),
        struct.pack('>I2', 258), bit.tohex(255, 4), ('%d%s'):format(1, 'a'), (('aXb'):gsub('%u', '-')),
        tostring(getmetatable('').__index), tostring(pcall(error, 'x')), redis.call('PING').ok,
        tostring(select('#', unpack({}, 1, 3))), tostring(rawequal(_G, getmetatable)),
    }
"#;

/// The result of such a script, without the addresses of tables.
fn innocent(c: &mut Client) -> Vec<String> {
    let reply = c.call(&["EVAL", INNOCENT, "0"]);
    assert!(!reply.is_error(), "{}", reply.text());
    reply.items().iter().map(Reply::text).collect()
}

/// The report or its kind; the script; words of what it returns or fails with.
#[rustfmt::skip]
const ATTACKS: &[(&str, &str, &str)] = &[
    // A range of results that the stack is not made for.
    ("CVE-2025-46817", "return {unpack({1,2,3}, 0, 2147483647)}", "too many results to unpack"),
    ("CVE-2025-46817", "return {unpack({1,2,3}, -2, 2147483647)}", "too many results to unpack"),
    ("CVE-2025-46817", "return {unpack({1,2,3}, -2147483648, 2147483647)}", "too many results to unpack"),
    ("CVE-2025-46817", "return redis.call('echo', unpack({1,2,3}, 0, 2147483647))", "too many results to unpack"),
    ("CVE-2025-46817", "return {unpack({1}, -1e300, 1e300)}", ""),
    ("CVE-2025-46817", "return {unpack({1}, 0/0, 2^53)}", ""),
    ("kind of CVE-2025-46817", "return #{string.byte(('x'):rep(1e6), 1, -1)}", "string slice too long"),
    ("kind of CVE-2025-46817", "return #{string.byte(('x'):rep(10), -2147483648, 2147483647)}", "10"),
    ("kind of CVE-2025-46817", "return select(-2147483648, 1)", "index out of range"),
    ("kind of CVE-2025-46817", "return table.concat({1}, ',', -2147483648, 2147483647)", "invalid value"),
    ("kind of CVE-2025-46817", "return table.concat({1}, ',', 2147483647, 2147483647)", "invalid value"),
    ("kind of CVE-2025-46817", "return #(('x'):rep(-2147483648) .. ('x'):sub(-2147483648, 2147483647))", "1"),
    ("kind of CVE-2025-46817", "return ('xy'):rep(2^31)", ""),
    ("kind of CVE-2025-46817", "return #((''):rep(2^31 - 1))", "0"),
    // Metatables that all scripts share.
    ("CVE-2025-46818", "getmetatable('').__index = function() return 1 end", "readonly table"),
    ("CVE-2025-46818", "getmetatable('').__add = function() return redis.call('set', 'secret', 'x') end", "readonly"),
    ("CVE-2025-46818", "rawset(getmetatable(''), '__add', print)", "nonexistent global variable 'print'"),
    ("CVE-2025-46818", "rawset(getmetatable(''), '__add', pcall)", "readonly table"),
    ("CVE-2025-46818", "return tostring(getmetatable(1)) .. tostring(getmetatable(nil)) .. tostring(getmetatable(pcall))", "nilnilnil"),
    ("CVE-2025-46818", "setmetatable('', {})", "table expected"),
    ("CVE-2025-46818", "string.rep = 1", "readonly table"),
    ("CVE-2025-46818", "local s = getmetatable('').__index s.rep = 1", "attempt to index"),
    ("kind of CVE-2025-46818", "return newproxy(true)", "nonexistent global variable 'newproxy'"),
    ("kind of CVE-2025-46818", "setmetatable({}, {__gc = function() redis.call('set', 'secret', 'x') end}) return 'inert'", "inert"),
    ("kind of CVE-2025-46818", "getmetatable(coroutine.create(pcall)).__gc = 1", "attempt to index"),
    // Long brackets.
    ("CVE-2025-46819", "return (select(2, loadstring('return [' .. ('='):rep(2e7) .. '[x')))", "unfinished long string"),
    ("CVE-2025-46819", "return (select(2, loadstring('--[' .. ('='):rep(2e7) .. '[x')))", "unfinished long comment"),
    ("CVE-2025-46819", "return (select(2, loadstring('return [' .. ('='):rep(2e7))))", ""),
    ("CVE-2025-46819", "return #loadstring('return [' .. ('='):rep(1e6) .. '[x]' .. ('='):rep(1e6) .. ']')()", "1"),
    ("CVE-2025-46819", "return (select(2, loadstring(('\\n'):rep(1e6) .. '=')))", "unexpected symbol near '='"),
    // Names of chunks, and readers that run while a chunk is read.
    (
        "CVE-2025-49844",
        "local name = ('n'):rep(300) .. '\\0' .. ('m'):rep(9000) \
         local step = 0 \
         local _, text = load(function() \
             step = step + 1 \
             for i = 1, 50 do collectgarbage() local s = ('junk'):rep(100) .. i end \
             if step < 3 then return 'x = ' end \
         end, '=' .. name) \
         return text",
        "nnnnnnnn",
    ),
    ("CVE-2025-49844", "return (select(2, load(function() error('in reader') end)))", "in reader"),
    ("CVE-2025-49844", "return (select(2, load(function() return {} end)))", "reader function must return a string"),
    ("CVE-2025-49844", "return (select(2, loadstring('x = = 1', '\\0')))", "unexpected symbol"),
    // Code that is compiled already.
    ("bytecode", "return (select(2, loadstring('\\27Lua' .. ('\\0'):rep(99))))", "attempt to load a binary chunk"),
    ("bytecode", "return (select(2, loadstring('\\27LJ\\2' .. ('\\0'):rep(99))))", "attempt to load a binary chunk"),
    ("bytecode", "local n = 0 return (select(2, load(function() n = n + 1 return ({'\\27', 'LJ\\2\\0'})[n] end)))", "attempt to load a binary chunk"),
    ("bytecode", "return loadstring(string.dump(function() end))()", "attempt to call a nil value"),
    // The bit library.
    ("CVE-2024-31449", "return bit.tohex(65535, -2147483648)", "0000FFFF"),
    ("CVE-2024-31449", "return bit.tohex(65535, 2147483647)", "0000ffff"),
    ("CVE-2024-31449", "return bit.lshift(1, -2147483648) + bit.rol(1, 2^40) + bit.arshift(-1, 1e300)", ""),
    // Numbers that are written wide.
    ("CVE-2024-25176", "return #('%99.99f'):format(1e308)", "409"),
    ("CVE-2024-25176", "return #('%99.99e|%99.99g|%-99.99a'):format(1e-308, 1e300, 1.5)", ""),
    ("CVE-2024-25176", "return ('%100d'):format(1)", "invalid"),
    ("CVE-2024-25176", "return ('%.100f'):format(1)", "invalid"),
    ("kind of CVE-2024-25176", "return #('%99.99q'):format('x')", ""),
    // Overflow while an overflow is handled.
    ("CVE-2024-25178", "local function f(n) return 1 + f(n + 1) end return tostring(xpcall(f, function(e) return f(1) end))", "false"),
    ("CVE-2020-24372", "local function f() local ok, e = pcall(f) error(e) end return tostring(pcall(f))", "false"),
    // Code put where another user's script would run it.
    ("CVE-2022-24735", "redis.call = function() end", "readonly table"),
    ("CVE-2022-24735", "function redis.pcall() end", "readonly table"),
    ("CVE-2022-24735", "rawset(redis, 'call', 1)", "readonly table"),
    ("CVE-2022-24735", "_G.redis = {}", "readonly table"),
    ("CVE-2022-24735", "redis = {}", "readonly table"),
    ("CVE-2022-24735", "rawset(_G, 'redis', {})", "readonly table"),
    ("CVE-2022-24735", "function pcall() end", "readonly table"),
    ("CVE-2022-24735", "local a a, cjson = 1, nil", "readonly table"),
    ("CVE-2022-24735", "loadstring('redis = 1')()", "readonly table"),
    ("CVE-2022-24735", "load(function() end) local step = 0 load(function() step = step + 1 return ({'redis', ' = 1'})[step] end)()", "readonly table"),
    ("CVE-2022-24735", "coroutine.wrap(function() cjson = 1 end)()", "readonly table"),
    ("CVE-2022-24735", "local f = function() return function() string = nil end end f()()", "readonly table"),
    ("CVE-2022-24735", "for i = 1, 2 do struct = i end", "readonly table"),
    // The name under which the parser finds the table that refuses.
    ("CVE-2022-24735", "_G['\\1globals'].redis = nil", "readonly table"),
    ("CVE-2022-24735", "rawget(_G, '\\1globals').redis = nil", "readonly table"),
    ("CVE-2022-24735", "rawset(_G, '\\1globals', {})", "readonly table"),
    ("CVE-2022-24735", "for name in pairs(_G) do if name:byte() == 1 then return 'shown' end end return 'hidden'", "hidden"),
    ("CVE-2022-24735", "local name repeat name = next(_G, name) if name and name:byte() == 1 then return 'shown' end until not name return 'hidden'", "hidden"),
    ("CVE-2022-24735", "return select('#', next({})) .. ',' .. select('#', next(_G, nil))", "1,2"),
    ("CVE-2022-24735", "setmetatable(_G, {__index = {}})", "readonly table"),
    ("CVE-2022-24735", "getmetatable(_G).__newindex = nil", "readonly table"),
    ("CVE-2022-24735", "getmetatable(_G).__index.redis = nil", "attempt to index"),
    ("CVE-2022-24735", "getmetatable(redis).__index = {}", "readonly table"),
    ("CVE-2022-24735", "for k in pairs(redis) do redis[k] = nil end", "readonly table"),
    ("CVE-2022-24735", "local k = next(cjson) cjson[k] = nil", "readonly table"),
    ("protected tables", "table.insert(redis, 'x')", "readonly table"),
    ("protected tables", "table.insert(redis, 1, 'x')", "readonly table"),
    ("protected tables", "table.insert(_G, 'x')", "readonly table"),
    ("protected tables", "table.insert(getmetatable(''), 'x')", "readonly table"),
    ("protected tables", "table.setn(redis, 1)", "obsolete"),
    ("protected tables", "table.foreach(redis, function(k) redis[k] = 1 end) return 'unchanged'", "unchanged"),
    ("protected tables", "rawset(string, 'len', 1)", "readonly table"),
    ("protected tables", "setmetatable(redis, nil)", "readonly table"),
    ("protected tables", "setmetatable(redis, {__index = _G})", "readonly table"),
    ("protected tables", "return setfenv(0, {})", "nonexistent global variable 'setfenv'"),
    ("protected tables", "return getfenv(1)", "nonexistent global variable 'getfenv'"),
    ("protected tables", "return redis.setresp(3), redis.breakpoint == nil, rawget(redis, 'call') == redis.call", ""),
    ("protected tables", "cjson.decode_array_with_array_mt(true) local m = getmetatable(cjson.decode('[]')) m.x = 1", "attempt to index"),
    ("protected tables", "cjson.decode_array_with_array_mt(false) return 'off'", "off"),
    ("collector", "collectgarbage('stop') collectgarbage('setpause', 1e9) collectgarbage('setstepmul', 0) return 'ignored'", "ignored"),
    ("collector", "return collectgarbage('count') > 0 and collectgarbage() + collectgarbage('step', 1000)", ""),
    // Errors that are not strings, results that are not what they say.
    ("CVE-2022-24736", "error()", ""),
    ("CVE-2022-24736", "error({})", "unknown error"),
    ("CVE-2022-24736", "error({err = {}})", "unknown error"),
    ("CVE-2022-24736", "error({err = 1, source = {}, line = {}})", ""),
    ("CVE-2022-24736", "error(setmetatable({}, {__index = error, __tostring = error}))", ""),
    ("CVE-2022-24736", "error(coroutine.create(pcall))", ""),
    ("CVE-2022-24736", "error(cjson.null)", ""),
    ("CVE-2022-24736", "return {err = {}}", ""),
    ("CVE-2022-24736", "return {ok = {}, map = 1, set = {}, double = 'x'}", ""),
    ("CVE-2022-24736", "return {verbatim_string = {string = 1, format = {}}}", ""),
    ("CVE-2022-24736", "return {map = {[{}] = {map = {}}}}", ""),
    ("CVE-2022-24736", "return setmetatable({}, {__index = function() error('no') end})", ""),
    ("CVE-2022-24736", "return {err = 'A\\r\\n+FORGED'}", "A  +FORGED"),
    ("CVE-2022-24736", "return {ok = 'A\\r\\n+FORGED'}", "A  +FORGED"),
    ("CVE-2022-24736", "return redis.error_reply('A\\r\\nB')", "A  B"),
    // More values than fit.
    ("CVE-2021-32626", "local t = {} for i = 1, 1e5 do t = {t} end return t", ""),
    ("CVE-2021-32626", "local t = {} t[1] = t return t", ""),
    ("CVE-2021-32626", "local t = {} t.map = t return t", ""),
    ("CVE-2021-32626", "return #{cmsgpack.unpack(('\\1'):rep(1e5))}", "out of Lua stack"),
    ("CVE-2021-32626", "return #{struct.unpack(('b'):rep(1e5), ('x'):rep(1e5))}", "too many results to unpack"),
    ("CVE-2021-32626", "return ('x'):find(('()'):rep(40))", "too many captures"),
    ("CVE-2021-32626", "return cjson.decode(('['):rep(1e5))", "too many nested"),
    ("CVE-2021-32626", "cjson.decode_max_depth(2^31 - 1) local ok, e = pcall(cjson.decode, ('['):rep(1e5)) cjson.decode_max_depth(1000) return e", "too many nested"),
    ("CVE-2021-32626", "local t = {} for i = 1, 1e4 do t = {t} end cjson.encode_max_depth(2^31 - 1) local ok, e = pcall(cjson.encode, t) cjson.encode_max_depth(1000) return e", "excessive nesting"),
    ("CVE-2022-24834", "return #cjson.encode(('\\1'):rep(2^18))", "1572866"),
    ("CVE-2018-11218", "return cmsgpack.unpack(('\\145'):rep(1e5))", "Bad data format"),
    ("CVE-2018-11218", "return cmsgpack.unpack(('\\129\\1'):rep(1e5))", "Bad data format"),
    ("CVE-2018-11218", "return cmsgpack.unpack('\\221\\255\\255\\255\\255')", "Missing bytes"),
    ("CVE-2018-11218", "return cmsgpack.unpack('\\219\\255\\255\\255\\255x')", "Missing bytes"),
    ("CVE-2018-11218", "return cmsgpack.unpack('\\129\\192\\1')", "nil"),
    ("CVE-2018-11218", "return cmsgpack.unpack_one('x', -1)", "Invalid request"),
    ("CVE-2018-11218", "return cmsgpack.unpack_limit('x', 1, 2^31)", "greater than input length"),
    ("CVE-2018-11218", "return cmsgpack.unpack_limit('x', -1, 0)", "Invalid request"),
    ("CVE-2018-11219", "return struct.unpack('I', 'abcd', 2^31)", "data string too short"),
    ("CVE-2018-11219", "return struct.unpack('I', 'abcd', 2^63)", "data string too short"),
    ("CVE-2018-11219", "return struct.unpack('I', 'abcd', -2^31)", "offset must be 1 or greater"),
    ("CVE-2018-11219", "return struct.unpack('bc0', '\\255abc')", "data string too short"),
    ("CVE-2018-11219", "return struct.unpack('>I4c0', '\\255\\255\\255\\255abc')", "data string too short"),
    ("CVE-2018-11219", "return struct.unpack('c0', 'abc')", "needs a previous size"),
    ("CVE-2015-8080", "return struct.pack('>I2147483648', '10')", "integral size overflow"),
    ("CVE-2015-8080", "return struct.pack('>I2147483647', '10')", "larger than limit"),
    ("CVE-2020-14147", "return struct.pack('!2147483648i4', 1)", "integral size overflow"),
    ("CVE-2020-14147", "return struct.pack('!1073741824bi4', 1, 2)", ""),
    ("CVE-2020-14147", "return struct.pack('!0i4', 1)", "not a power of 2"),
    ("CVE-2020-14147", "return struct.size('c2147483647c2147483647c2147483647')", ""),
    ("CVE-2020-14147", "return struct.pack('c2147483647', 'x')", "string too short"),
    ("CVE-2020-14147", "return struct.unpack('i0', '') + struct.unpack('I32', ('\\255'):rep(32))", ""),
    // Functions with more parameters than they are called with.
    (
        "CVE-2014-5461",
        "local p = {} for i = 1, 190 do p[i] = 'p' .. i end \
         local f = loadstring('return function(' .. table.concat(p, ',') .. ', ...) return p190, ... end')() \
         local function deep(n) if n == 0 then return f() end return (deep(n - 1)) end \
         return tostring(deep(100)) .. tostring(f(unpack({}, 1, 7000)))",
        "nilnil",
    ),
    // Outside of the sandbox.
    ("CVE-2022-0543", "return package.loadlib('liblua5.1.so.0', 'luaopen_io')", "nonexistent global variable 'package'"),
    ("CVE-2022-0543", "return require('ffi')", "nonexistent global variable 'require'"),
    ("CVE-2022-0543", "return io.popen('id')", "nonexistent global variable 'io'"),
    ("CVE-2022-0543", "return debug.getregistry()", "nonexistent global variable 'debug'"),
    ("CVE-2022-0543", "return os.execute('id')", "attempt to call field 'execute'"),
    ("CVE-2022-0543", "return dofile('/etc/passwd')", "nonexistent global variable 'dofile'"),
    ("CVE-2022-0543", "return loadfile('/etc/passwd')", "nonexistent global variable 'loadfile'"),
    ("CVE-2022-0543", "return module('x')", "nonexistent global variable 'module'"),
    ("of LuaJIT", "return jit.status()", "nonexistent global variable 'jit'"),
    ("of LuaJIT", "return (select(2, loadstring('return 1LL')))", "malformed number"),
    ("of LuaJIT", "return (select(2, loadstring('return 1i')))", "malformed number"),
    ("of LuaJIT", "local n = 0 for k in pairs(string) do n = n + 1 end return tostring(string.buffer) .. n", "nil15"),
    ("of LuaJIT", "return select(2, pcall(math.floor))", "number expected, got no value"),
    ("of LuaJIT", "return select(2, pcall(math.ceil))", "number expected, got no value"),
    ("of LuaJIT", "return tostring((math.floor()))", "number expected, got no value"),
    // C's stack.
    ("kind of CVE-2021-43519", "local function f() return (('x'):gsub('x', f)) end return f()", "stack overflow"),
    ("kind of CVE-2021-43519", "local function f() return coroutine.wrap(f)() end return f()", "stack overflow"),
    ("kind of CVE-2021-43519", "local function f() return select(2, coroutine.resume(coroutine.create(f))) end return f()", "stack overflow"),
    ("kind of CVE-2021-43519", "local function f() table.sort({1, 2, 3}, f) end return f()", "stack overflow"),
    ("kind of CVE-2021-43519", "local function f() return load(f) end return select(2, f())", ""),
    ("kind of CVE-2021-43519", "local t = setmetatable({}, {__tostring = function(t) return ('%s'):format(t) end}) return tostring(t)", "stack overflow"),
    ("kind of CVE-2021-43519", "local t = {} setmetatable(t, {__index = function(t, k) return t[k + 1] end}) return t[1]", "stack overflow"),
    ("kind of CVE-2021-43519", "local t = {} for i = 1, 1000 do t = setmetatable({}, {__index = t}) end return tostring(t.x)", ""),
    ("parser", "return (select(2, loadstring('return ' .. ('('):rep(1e5))))", "too many syntax levels"),
    ("parser", "return (select(2, loadstring('return ' .. ('{'):rep(1e5))))", "too many syntax levels"),
    ("parser", "return (select(2, loadstring('return ' .. ('-'):rep(1) .. ('not '):rep(1e5) .. '1')))", "too many syntax levels"),
    ("parser", "return (select(2, loadstring('return ' .. ('1 ..'):rep(1e5) .. '1')))", "too many syntax levels"),
    ("parser", "return (select(2, loadstring('return ' .. ('2^'):rep(1e5) .. '1')))", "too many syntax levels"),
    ("parser", "return (select(2, loadstring(('do '):rep(1e5))))", "too many syntax levels"),
    ("parser", "return (select(2, loadstring(('function f() '):rep(1e5))))", "too many syntax levels"),
    ("parser", "return (select(2, loadstring(('local a '):rep(300))))", "more than 200 local variables"),
    ("parser", "return (select(2, loadstring('a' .. (',a'):rep(1e5) .. ' = 1')))", "more than 200 variable names"),
    ("parser", "return type(loadstring('return ' .. ('a.'):rep(1e4) .. 'a'))", ""),
    ("parser", "return (select(2, loadstring('goto x')))", "undefined label"),
    ("patterns", "return ('a'):rep(1e5):find(('a?'):rep(1e5))", "pattern too complex"),
    ("patterns", "return ('a'):rep(99):gsub(('(a'):rep(9999), '')", "too many captures"),
    ("patterns", "return ('x'):find('%')", "malformed pattern"),
    ("patterns", "return ('x'):find('[a')", "malformed pattern"),
    ("patterns", "return ('x'):find('%f')", "missing '['"),
    ("patterns", "return ('x'):find('%9')", "invalid capture"),
    ("patterns", "return ('x'):gsub('x', '%9')", "invalid capture index"),
    ("patterns", "return ('x'):gsub('x', {x = {}})", "invalid replacement value"),
    ("patterns", "return ('x'):find('x', -2147483648) + ('x'):find('x', -2^63)", "2"),
    ("patterns", "return tostring(('x'):find('x', 2^62))", "nil"),
    // Commands.
    ("huge arguments", "return redis.call('echo', ('x'):rep(2^26)):len()", "67108864"),
    ("huge arguments", "return redis.pcall(unpack({}, 1, 7000)).err", "must be strings or integers"),
    ("huge arguments", "return redis.call({}, {})", "must be strings or integers"),
    ("huge arguments", "return redis.call()", "at least one argument"),
    ("huge arguments", "return redis.call(0/0)", "Unknown"),
    ("redis.* functions", "return redis.sha1hex(('x'):rep(2^26))", ""),
    ("redis.* functions", "redis.set_repl(2^53)", "Invalid replication flags"),
    ("redis.* functions", "redis.setresp(0/0)", "RESP version"),
    ("redis.* functions", "redis.log(1/0, 'x')", "Invalid log level"),
    ("redis.* functions", "return redis.register_function('f', function() end)", "attempt to call field"),
];

/// Runs a test on a stack that has room for a reply a thousand arrays deep.
fn with_room(test: fn()) {
    let thread = std::thread::Builder::new().stack_size(64 << 20);
    let done = thread.spawn(test).expect("a thread").join();
    done.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

#[test]
fn known_attacks_end_in_an_error_and_change_nothing() {
    with_room(known_attacks_in_eval);
}

fn known_attacks_in_eval() {
    let server = Server::oxidis().start();
    let mut c = server.client();
    let before = innocent(&mut c);
    let mut wrong = Vec::new();
    for (report, script, words) in ATTACKS {
        let reply = c.call(&["EVAL", script, "0"]);
        let text = innermost(&reply);
        if !text.contains(words) {
            wrong.push(format!("{report}: {script}: {text}, not {words}"));
        }
        c.cmd("PING").status("PONG");
        assert_eq!(innocent(&mut c), before, "{report}: {script}");
        c.cmd("EXISTS secret").is(0);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn attacks_are_the_same_in_functions_and_read_only_scripts() {
    with_room(attacks_are_the_same_elsewhere);
}

fn attacks_are_the_same_elsewhere() {
    let server = Server::oxidis().start();
    let mut c = server.client();
    let code = "#!lua name=attack\n\
                redis.register_function{function_name = 'f', callback = function(_, a) return loadstring(a[1])() end, \
                flags = {'no-writes'}}\n\
                redis.register_function('w', function(_, a) return loadstring(a[1])() end)";
    c.call(&["FUNCTION", "LOAD", code]).is("attack");
    let before = innocent(&mut c);
    for (report, script, words) in ATTACKS {
        for request in [
            ["FCALL_RO", "f", "0", script],
            ["FCALL", "w", "0", script],
            ["EVAL_RO", "return loadstring(ARGV[1])()", "0", script],
        ] {
            let reply = c.call(&request);
            let text = innermost(&reply);
            assert!(text.contains(words), "{report}: {request:?}: {text}");
            c.cmd("PING").status("PONG");
        }
    }
    assert_eq!(innocent(&mut c), before);
}

/// Redis 8.0.6 has `newproxy` only where `lua-enable-deprecated-api` is set; its finaliser is the user's code.
#[test]
fn finalisers_of_scripts_are_never_run() {
    let server = Server::oxidis()
        .config("lua-enable-deprecated-api yes\n")
        .start();
    let mut c = server.client();
    c.cmd("ACL SETUSER own on nopass +@all ~own*").ok();
    let mut own = server.client();
    own.cmd("AUTH own x").ok();
    let before = innocent(&mut c);
    let script = "for i = 1, 1000 do \
                  getmetatable(newproxy(true)).__gc = function() redis.call('set', 'secret', 'x') end \
                  local m = getmetatable(newproxy(true)) rawset(m, '__gc', function() while true do end end) \
                  local p = newproxy(true) getmetatable(p).__len = function() return 7 end \
                  getmetatable(newproxy(p)).__gc = function() error('late') end \
                  assert(#p == 7) end \
                  local env = setfenv(function() return x end, {x = 1}) assert(env() == 1 and getfenv(1)) \
                  return pcall(setfenv, 0, {}) and 'changed' or 'fine'";
    own.call(&["EVAL", script, "0"]).is("fine");
    for _ in 0..3 {
        let reply = c.call(&[
            "EVAL",
            "for i = 1, 100 do collectgarbage() end return 'fine'",
            "0",
        ]);
        reply.is("fine");
    }
    c.cmd("EXISTS secret").is(0);
    assert_eq!(innocent(&mut c), before);
    c.cmd("SCRIPT FLUSH SYNC").ok();
    c.cmd("EXISTS secret").is(0);
}

/// CVE-2024-46981: an interpreter that goes while there are closures, coroutines and garbage in it.
#[test]
fn interpreters_go_with_all_that_is_in_them() {
    let server = Server::oxidis().start();
    let mut c = server.client();
    for how in ["SYNC", "ASYNC"] {
        for round in 0..20 {
            let script = format!(
                "local t = {{}} for i = 1, 500 do local co = coroutine.wrap(function(a) \
                 local up = {{a}} t[i] = function() return up, co end coroutine.yield(up) end) co(t) end \
                 t.self = t return {round}"
            );
            c.call(&["EVAL", &script, "0"]).is(round);
            let code = format!(
                "#!lua name=lib\nlocal held = {{}} redis.register_function('f', function() \
                 held[#held + 1] = coroutine.create(function() return held end) return {round} end)"
            );
            c.call(&["FUNCTION", "LOAD", "REPLACE", &code]).is("lib");
            c.cmd("FCALL f 0").is(round);
            c.cmd(&format!("SCRIPT FLUSH {how}")).ok();
            c.cmd(&format!("FUNCTION FLUSH {how}")).ok();
        }
    }
    innocent(&mut c);
}

/// Redis 8077, 9449: strings that differ where a sparse hash does not look met in one chain. Quadratic, this would
/// take minutes.
#[test]
fn long_strings_that_hardly_differ_are_told_apart_at_once() {
    let server = Server::oxidis().config("busy-reply-threshold 0\n").start();
    let mut c = server.client();
    let script = "local t, a, n = {}, ('a'):rep(tonumber(ARGV[1])), 0 \
                  for i = 1, 100000 do t[a .. ('%06d'):format(i) .. a] = i end \
                  for _ in pairs(t) do n = n + 1 end return n";
    for len in ["100", "512", "900"] {
        c.call(&["EVAL", script, "0", len]).is(100_000);
    }
    let fill = "local a = ('k'):rep(200) for i = 1, 30000 do redis.call('set', a .. ('%06d'):format(i) .. a, i) end";
    c.call(&["EVAL", fill, "0"]).nil();
    c.call(&["EVAL", "return #redis.call('keys', '*')", "0"])
        .is(30_000);
}

/// An error is placed where the script calls what fails, also by `return f()`, which keeps no frame in LuaJIT.
#[test]
fn errors_of_calls_that_are_returned_have_a_place() {
    let server = Server::oxidis().start();
    let mut c = server.client();
    for script in [
        "return redis.call('incr')",
        "\nreturn error('no')",
        "local function f() return cjson.decode('[') end return f()",
        "local function f()\nreturn redis.call('incr') end return f()",
        "local function f() return string.rep() end local x = f()",
        "local function f() return error('no') end return f()",
    ] {
        let text = eval_error(&mut c, script);
        assert!(text.contains(", on @user_script:"), "{script}: {text}");
    }
    for script in [
        "local function f(n) if n == 0 then return 'end' end return f(n - 1) end return f(1e6)",
        "local t = {} function t.f(n) if n == 0 then return 'end' end return t.f(n - 1) end return t.f(1e6)",
        "local f f = function(g, n) if n == 0 then return 'end' end return g(f, n - 1) end return f(f, 1e6)",
    ] {
        c.call(&["EVAL", script, "0"]).is("end");
    }
    for (script, words) in [
        (
            "local d = cjson.decode local x = d('[')",
            "user_script:1: Expected value but found T_END",
        ),
        (
            "local x = struct.pack('i', 'x')",
            "bad argument #2 to 'pack' (number expected, got string)",
        ),
        (
            "local d = struct.pack local x = d('i', 'x')",
            "bad argument #2 to 'd' (number expected",
        ),
        (
            "return select(2, pcall(struct.pack, 'z'))",
            "bad argument #1 to '?' (invalid format option 'z')",
        ),
    ] {
        let text = innermost(&c.call(&["EVAL", script, "0"]));
        assert!(text.contains(words), "{script}: {text}");
    }
    c.cmd("EVALSHA a a").error("NOSCRIPT");
    c.cmd("EVALSHA aaaaaaaaaabbbbbbbbbbccccccccccdddddddddd a")
        .error("ERR value is not an integer");
}

fn eval_error(c: &mut Client, script: &str) -> String {
    let reply = c.call(&["EVAL", script, "0"]);
    assert!(reply.is_error(), "{script}");
    reply.text()
}

/// `cjson.decode_array_with_array_mt` (Redis 8.6): an empty array is told from an empty object.
#[test]
fn arrays_of_json_are_known_as_such_when_asked_for() {
    let server = Server::oxidis().start();
    let mut c = server.client();
    let both =
        "return cjson.encode(cjson.decode('{\"a\":[]}')) .. cjson.encode(cjson.decode('[{}]'))";
    c.call(&["EVAL", both, "0"]).is("{\"a\":{}}[{}]");
    c.call(&[
        "EVAL",
        "return tostring(cjson.decode_array_with_array_mt(true))",
        "0",
    ])
    .is("true");
    c.call(&["EVAL", both, "0"]).is("{\"a\":[]}[{}]");
    let changed = "local a = cjson.decode('[1,2]') a.x = 1 a[5] = 2 return cjson.encode(a)";
    c.call(&["EVAL", changed, "0"]).is("[1,2]");
    c.call(&[
        "EVAL",
        "return tostring(cjson.decode_array_with_array_mt('off'))",
        "0",
    ])
    .is("false");
    c.call(&["EVAL", both, "0"]).is("{\"a\":{}}[{}]");
}

/// Loops inside functions of the library, where no instruction of a script is run.
#[test]
fn what_loops_inside_the_library_can_be_killed() {
    let server = Server::oxidis().config("busy-reply-threshold 20\n").start();
    let (mut c, mut other) = (server.client(), server.client());
    for script in [
        "return ('a'):rep(300):find(('.-'):rep(20) .. 'b')",
        "return ('a'):rep(300):match(('.-'):rep(20) .. 'b')",
        "return ('a'):rep(300):gsub(('.-'):rep(20) .. 'b', '')",
        "for _ in ('a'):rep(300):gmatch(('.-'):rep(20) .. 'b') do end",
        "while true do pcall(string.find, ('a'):rep(300), ('.-'):rep(20) .. 'b') end",
        "table.insert({}, -2147483647, 1) table.insert({}, -2147483647, 1) while true do end",
        "local t = {} for i = 1, 26 do t = {t, t} end while true do pcall(cjson.encode, t) end",
        "local t = {} for i = 1, 15 do t = {t, t, t, t} end while true do pcall(cmsgpack.pack, t) end",
        "local t = {} for i = 1, 3e5 do t[i] = i % 7 end while true do table.sort(t, function(a, b) return a < b end) end",
        "while true do local t = {} for i = 1, 1e5 do t[i] = -i end pcall(table.sort, t) end",
        "return load(function() return ' ' end)",
        "return (('x'):gsub('x', function() while true do end end))",
        "return tostring(setmetatable({}, {__tostring = function() while true do end end}))",
        "return xpcall(error, function() while true do end end)",
        "while true do xpcall(error, function() while true do end end) end",
        "local co = coroutine.wrap(function() while true do coroutine.yield() end end) while true do co() end",
        "local co while true do co = coroutine.create(function() while true do end end) coroutine.resume(co) end",
        "local t = setmetatable({}, {__index = function(t, k) while true do end end}) return t.x",
        "local t = {} for i = 1, 40 do t = {t, t} end return t",
        "local t = {map = {}} for i = 1, 40 do t = {map = {a = t, b = t}} end return t",
        // Each way by which instructions come again.
        "::again:: goto again",
        "repeat local x = 1 until x == 2",
        "for i = 1, 1/0 do end",
        "local t = {1} while next(t) do for _ in pairs(t) do end end",
        "local function f() return f() end return f()",
        "local f, g f = function() return g() end g = function() return f() end return f()",
        "local function fib(n) if n < 2 then return n end return fib(n - 1) + fib(n - 2) end return fib(60)",
        "local t t = setmetatable({}, {__index = function(_, n) if n == 0 then return 0 end return t[n - 1] + t[n - 1] end}) \
         return t[60]",
        "local mt = {} mt.__unm = function(v) if v.n == 0 then return v end local w = setmetatable({n = v.n - 1}, mt) \
         local x = -w x = -w return v end return -setmetatable({n = 60}, mt)",
        "local mt = {} mt.__call = function(v, n) if n == 0 then error('x') end pcall(v, n - 1) pcall(v, n - 1) error('x') end \
         return setmetatable({}, mt)(60)",
    ] {
        c.send(&encode(&["EVAL", script, "0"])).expect("sent");
        while !other.cmd("PING").is_error() {}
        other.cmd("SCRIPT KILL").ok();
        let reply = c.read().expect("an answer");
        assert!(
            reply.text().contains("Script killed by user"),
            "{script}: {}",
            reply.text()
        );
        other.cmd("PING").status("PONG");
        innocent(&mut other);
    }
    // SHUTDOWN NOSAVE ends one that wrote, and the server with it.
    let script = "redis.call('set', 'k', 1) return ('a'):rep(300):find(('.-'):rep(20) .. 'b')";
    c.send(&encode(&["EVAL", script, "0"])).expect("sent");
    while !other.cmd("PING").is_error() {}
    other.cmd("SCRIPT KILL").error("UNKILLABLE");
    other.send(&encode(&["SHUTDOWN", "NOSAVE"])).expect("sent");
    let mut server = server;
    assert!(server.wait().success());
}

/// A script's memory has a bound, wherever it is taken; CVE-2022-24834: lengths that overflow.
#[test]
fn what_grows_inside_the_library_has_a_bound() {
    let server = Server::oxidis().config("busy-reply-threshold 0\n").start();
    let mut c = server.client();
    for script in [
        "local t = {('x'):rep(2^20)} for i = 1, 11 do t = {t, t} end return #cmsgpack.pack(t)",
        "local s = ('x'):rep(2^20) return #s:gsub('.', s)",
        "local t = {} for i = 1, 2^11 do t[i] = ('x'):rep(2^20) end return #table.concat(t)",
    ] {
        let reply = c.call(&["EVAL", script, "0"]);
        let text = reply.text();
        assert!(text.contains("not enough memory"), "{script}: {text}");
        innocent(&mut c);
    }
}

/// CVE-2021-32672: orders to the debugger that are not what they say.
#[test]
fn orders_to_the_debugger_are_read_with_care() {
    let server = Server::oxidis().start();
    let mut other = server.client();
    for order in [
        "*1\r\n$1000000000\r\n",
        "*1\r\n$-5\r\n",
        "*1000000\r\n",
        "*1\r\n$3\r\nab",
        "$$$$\r\n\r\n",
    ] {
        let mut c = server.client();
        c.cmd("SCRIPT DEBUG SYNC").ok();
        c.call(&["EVAL", "local a = 1\nreturn a", "0"]);
        c.send(order.as_bytes()).expect("sent");
        let _ = c.finish();
        other.cmd("PING").status("PONG");
        innocent(&mut other);
    }
}

/// Answers a replica's handshake until it asks for the data set; what follows is the caller's to send.
fn until_it_asks(listener: &TcpListener) -> TcpStream {
    let (mut link, _) = listener.accept().expect("a replica");
    let mut requests = BufReader::new(link.try_clone().expect("a handle"));
    loop {
        let request = Reply::read(&mut requests).expect("a request");
        let answer = match request.items()[0].text().to_uppercase().as_str() {
            "PING" => "+PONG\r\n",
            "PSYNC" => return link,
            _ => "+OK\r\n",
        };
        link.write_all(answer.as_bytes()).expect("sent");
    }
}

/// CVE-2026-23631: a full synchronisation replaces the keyspace, scripts and functions, while a script of the
/// replica's runs and lets others be served. It waits until the script has ended.
#[test]
fn a_full_synchronisation_waits_for_the_script_that_runs() {
    let library = |name: &str, body: &str| {
        format!(
            "#!lua name={name}\nredis.register_function{{function_name = '{name}', flags = {{'no-writes'}}, \
             callback = function() {body} end}}"
        )
    };
    let primary = Server::oxidis().start();
    let mut c = primary.client();
    let theirs = library("theirs", "return 'theirs'");
    c.call(&["FUNCTION", "LOAD", &theirs]).is("theirs");
    c.cmd("SET key theirs").ok();
    c.cmd("SAVE").ok();
    let dump = fs::read(primary.dir().join("dump.rdb")).expect("saved");

    for (request, kill) in [
        (&["FCALL", "own", "0"][..], "FUNCTION KILL"),
        (&["FCALL_RO", "own", "0"], "FUNCTION KILL"),
        (
            &["EVAL", "while true do redis.call('get', 'key') end", "0"],
            "SCRIPT KILL",
        ),
        (
            &["EVAL", "('a'):rep(300):find(('.-'):rep(20) .. 'b')", "0"],
            "SCRIPT KILL",
        ),
    ] {
        let replica = Server::oxidis().config("busy-reply-threshold 20\n").start();
        let (mut c, mut other) = (replica.client(), replica.client());
        let own = library("own", "while true do redis.call('get', 'key') end");
        c.call(&["FUNCTION", "LOAD", &own]).is("own");
        c.cmd("SET key own").ok();
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let port = listener.local_addr().expect("bound").port();
        c.cmd(&format!("REPLICAOF 127.0.0.1 {port}")).ok();
        let mut link = until_it_asks(&listener);

        c.send(&encode(request)).expect("sent");
        while !other.cmd("PING").is_error() {}
        let head = format!("+FULLRESYNC {} 0\r\n${}\r\n", "a".repeat(40), dump.len());
        link.write_all(&[head.as_bytes(), &dump].concat())
            .expect("sent");
        // Each is a turn of the server's in which the link could be read.
        for _ in 0..100 {
            other.cmd("PING").error("BUSY");
        }
        other.cmd(kill).ok();
        let text = c.read().expect("an answer").text();
        assert!(
            text.contains("Script killed by user"),
            "{request:?}: {text}"
        );

        let arrived = until(Duration::from_secs(20), || {
            (other.cmd("GET key").text() == "theirs").then_some(())
        });
        assert!(
            arrived.is_some(),
            "{request:?}: the data set of the primary"
        );
        other.cmd("FCALL_RO theirs 0").is("theirs");
        other.cmd("FCALL_RO own 0").error("ERR Function not found");
        innocent(&mut other);
    }
}

/// Numbers and strings are sorted by other code than the rest; all of it agrees with what a comparison says.
#[test]
fn tables_of_one_kind_are_sorted_like_others() {
    let server = Server::oxidis().start();
    let mut c = server.client();
    let script = r#"
        local function same(make, n)
            local fast, slow = {}, {}
            for i = 1, n do fast[i] = make(i) slow[i] = fast[i] end
            table.sort(fast)
            table.sort(slow, function(a, b) return a < b end)
            for i = 1, n do assert(fast[i] == slow[i], i) end
            assert(#fast == n)
        end
        for _, n in ipairs{0, 1, 2, 3, 10, 500} do
            same(function() return math.random(1, 50) - 25.5 end, n)
            same(function(i) return -i end, n)
            same(function() return ('x'):rep(math.random(0, 3)) .. math.random(1, 30) end, n)
            same(function(i) return '\0' .. string.char(255 - i % 256) end, n)
        end
        return {
            tostring(pcall(table.sort, {1, 'a'})), tostring(pcall(table.sort, {'a', 1, 'b'})),
            tostring(pcall(table.sort, {{}, {}})), tostring(pcall(table.sort, {0/0, 1, 0/0})),
        }
    "#;
    let reply = c.call(&["EVAL", script, "0"]);
    let said: Vec<String> = reply.items().iter().map(Reply::text).collect();
    assert_eq!(
        said,
        ["false", "false", "false", "true"],
        "{}",
        reply.text()
    );
}
