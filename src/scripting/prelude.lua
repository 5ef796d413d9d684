-- What surrounds every script: globals that cannot be changed, and catch points that know the
-- server's errors. Runs once, when an interpreter is made, before any script.
--
-- Lua has no read-only tables. A protected table is an empty one whose metatable reads from the
-- real one and refuses to write; `real` tells which is behind which, for the functions that look at
-- a table without its metatable.
--
-- Scripts read their globals from the real table, and write them through the protected one, which the
-- parser finds there under the name `hidden` (build.rs):
--
--   x = y            local g = environment[hidden]    g['x'] = environment['y']    g refuses
--
-- Functions of libraries stand there a second time, each under a name of its own, so that a script reads one in a
-- single step, past the protected table of its library:
--
--   string.find      environment['\1string.find']
--
-- Mirrors: luaSetTableProtectionRecursively() and the error handler of script_lua.c; Redis patches
-- its Lua for the first.

local native = ...
local raw = {
    next = next, pairs = pairs, rawget = rawget, setmetatable = setmetatable,
    getmetatable = getmetatable, xpcall = xpcall, error = error, type = type,
    setfenv = setfenv, wrap = coroutine.wrap, concat = table.concat, select = select,
    collectgarbage = collectgarbage, newproxy = newproxy,
}
-- Those that are called often, without a look into the table.
local raw_pcall, raw_resume, raw_format = pcall, coroutine.resume, string.format
local library = native.library
local check_stack = library.check_stack
local globals = _G
local real = {}
local sealed
local hidden = '\1globals'

-- Without a place, as functions in C raise it.
local function refuse() raw.error('Attempt to modify a readonly table', 0) end

local function protect(inner)
    local proxy = {}
    real[proxy] = inner
    local meta = {
        __index = inner, __newindex = native.readonly, __metatable = sealed, [native.protected] = true,
    }
    return raw.setmetatable(proxy, meta), meta
end

sealed = protect({})
raw.getmetatable(sealed).__metatable = sealed

-- Some errors raised by the server's own functions are opaque until they are caught.
local function catch(err)
    if raw.type(err) == 'userdata' then return native.raised(err) end
    return err
end

-- A script that was killed must not catch its own end.
local killed = native.killed
local function caught(ok, err, ...)
    if ok then return ok, err, ... end
    if killed.why then raw.error(killed.why, 0) end
    err = catch(err)
    if raw.type(err) == 'table' and raw.type(raw.rawget(err, 'err')) == 'string' then
        err = raw.rawget(err, 'err')
    end
    return false, err
end

local function handled(ok, ...)
    if not ok and killed.why then raw.error(killed.why, 0) end
    return ok, ...
end

local function resumed(ok, err, ...)
    if ok then return ok, err, ... end
    if killed.why then raw.error(killed.why, 0) end
    return false, catch(err)
end

-- The whole text before any of it is read: no code of a script runs while the parser does.
local function gather(reader)
    local pieces, n = {}, 0
    while true do
        local piece = reader()
        local kind = raw.type(piece)
        if kind == 'nil' or piece == '' then return raw.concat(pieces) end
        if kind ~= 'string' and kind ~= 'number' then
            raw.error('reader function must return a string', 0)
        end
        n = n + 1
        pieces[n] = piece
    end
end

local loadstring = library.loadstring

-- Scripts share one collector: what one of them sets would hold for the others.
local ignored = { stop = true, restart = true, setpause = true, setstepmul = true }

local G = {
    tostring = tostring, assert = assert, tonumber = tonumber, rawequal = rawequal,
    getmetatable = getmetatable, type = type, select = select, unpack = unpack, gcinfo = gcinfo,
    ipairs = ipairs, _VERSION = _VERSION, error = error, rawset = library.rawset,
    loadstring = loadstring,
    pcall = function(f, ...) return caught(raw_pcall(f, ...)) end,
    xpcall = function(...)
        local f, handler = ...
        if raw.select('#', ...) < 2 then
            raw.error("bad argument #2 to 'xpcall' (value expected)", 2)
        end
        return handled(raw.xpcall(f, function(err) return handler(catch(err)) end))
    end,
    setmetatable = function(t, meta)
        if real[t] then refuse() end
        return raw.setmetatable(t, meta)
    end,
    rawget = library.rawget,
    next = library.next,
    pairs = function(t)
        if real[t] then return library.next, t, nil end
        return raw.pairs(t)
    end,
    load = function(...)
        local reader, name = ...
        local kind = raw.select('#', ...) == 0 and 'no value' or raw.type(reader)
        if kind ~= 'function' then
            raw.error("bad argument #1 to 'load' (function expected, got " .. kind .. ")", 2)
        end
        local ok, text = raw_pcall(gather, reader)
        if ok then return loadstring(text, name or '=(load)') end
        if killed.why then raw.error(killed.why, 0) end
        return nil, catch(text)
    end,
    collectgarbage = function(what, arg)
        if ignored[what] then return 0 end
        return raw.collectgarbage(what or 'collect', arg)
    end,
}
if native.deprecated then
    G.getfenv = getfenv
    G.setfenv = function(f, env)
        if f == 0 then refuse() end
        return raw.setfenv(f, env)
    end
    -- A finaliser would run in the middle of another script: what scripts see as the metatable of a
    -- proxy passes all fields on to the real one but this.
    G.newproxy = function(with)
        local proxy = raw.newproxy(with)
        if with == true then
            local inner = raw.getmetatable(proxy)
            inner.__metatable = raw.setmetatable({}, {
                __index = inner,
                __newindex = function(_, k, v) if k ~= '__gc' then inner[k] = v end end,
            })
        end
        return proxy
    end
end

local coroutines = {
    create = coroutine.create, running = coroutine.running, status = coroutine.status,
    yield = coroutine.yield,
    resume = function(...)
        if raw.type((...)) ~= 'thread' then
            raw.error("bad argument #1 to 'resume' (coroutine expected)", 2)
        end
        check_stack()
        return resumed(raw_resume(...))
    end,
    wrap = function(f)
        if raw.type(f) ~= 'function' then
            raw.error("bad argument #1 to 'wrap' (Lua function expected)", 2)
        end
        local inner = raw.wrap(f)
        return function(...)
            check_stack()
            return inner(...)
        end
    end,
}

for name in raw.next, { find = 1, match = 1, gmatch = 1, gsub = 1 } do string[name] = library[name] end
for name in raw.next, { insert = 1, remove = 1, sort = 1 } do table[name] = library[name] end
-- Compiled chunks are not loaded: there is no use for what is in one, besides its mark.
string.dump = function(f)
    if raw.type(f) ~= 'function' then
        raw.error("bad argument #1 to 'dump' (function expected)", 2)
    end
    return '\27Lua'
end
string.gfind = library.gmatch
-- A value is written by its metatable's __tostring, which may call this again.
string.format = function(...)
    check_stack()
    return raw_format(...)
end
table.move = nil
table.setn = function() raw.error("'setn' is obsolete", 2) end
math.mod = math.fmod
bit.tohex = library.tohex

local libraries = {
    string = string, table = table, math = math, os = { clock = os.clock }, coroutine = coroutines,
    cjson = native.cjson, cmsgpack = native.cmsgpack, struct = native.struct, bit = bit,
    redis = native.redis,
}
math.random, math.randomseed = native.random, native.randomseed
for name, library in raw.pairs(libraries) do G[name] = protect(library) end
local strings = raw.getmetatable('')
-- A string is no table: its fields can be read, and the table that has them cannot be reached.
strings.__index, strings.__metatable = string, sealed
raw.setmetatable(G, { __index = native.missing })

-- The table that scripts know as _G is the one they were compiled with; it keeps nothing itself.
G._G = globals
for k in raw.next, globals do globals[k] = nil end
local environment = {
    __index = G, __newindex = native.readonly, __metatable = sealed, [native.protected] = true,
}
real[globals] = G
raw.setmetatable(globals, environment)
-- setfenv gives functions environments of a script's own, in which nothing is hidden.
local function join(environment, name, library)
    for field, value in raw.pairs(library) do
        if raw.type(value) == 'function' then environment['\1' .. name .. '.' .. field] = value end
    end
end
if not native.deprecated then
    G[hidden] = globals
    for name, library in raw.pairs(libraries) do join(G, name, library) end
end

-- What a library may use while it registers its functions. Functions keep the environment they were
-- made in, so that one changes what it holds.
local L = {
    redis = native.registering and protect(native.registering), [hidden] = raw.rawget(G, hidden),
}
local all = {}
if native.registering then
    -- No field that the other environment lacks: the table would be made smaller and larger again for each library.
    L['\1redis.log'] = not native.deprecated and native.registering.log or nil
    raw.setmetatable(native.registering, { __index = native.missing })
    for k, v in raw.next, G do all[k] = v end
end

local function become(fields)
    for k in raw.next, G do G[k] = nil end
    for k, v in raw.next, fields do G[k] = v end
end

return {
    globals = G,
    environment = native.deprecated and globals or G,
    run = function(f) return raw.xpcall(f, native.handler) end,
    register = function(f)
        become(L)
        local ok, err = raw.xpcall(f, native.handler)
        become(all)
        return ok, err
    end,
}
