-- What surrounds every script: globals that cannot be changed, and catch points that know the
-- server's errors. Runs once, when an interpreter is made, before any script.
--
-- Lua 5.1 has no read-only tables. A protected table is an empty one whose metatable reads from the
-- real one and refuses to write; `real` tells which is behind which, for the functions that look at
-- a table without its metatable.
--
-- Mirrors: luaSetTableProtectionRecursively() and the error handler of script_lua.c; Redis patches
-- its Lua for the first.

local native, kind = ...
local raw = {
    next = next, pairs = pairs, rawset = rawset, rawget = rawget, setmetatable = setmetatable,
    getmetatable = getmetatable, xpcall = xpcall, error = error, select = select, unpack = unpack,
    type = type, loadstring = loadstring, load = load, setfenv = setfenv, byte = string.byte,
    resume = coroutine.resume,
}
local globals = _G
local real = {}
local sealed

local function protect(inner)
    local proxy = {}
    real[proxy] = inner
    local meta = { __index = inner, __newindex = native.readonly, __metatable = sealed }
    return raw.setmetatable(proxy, meta), meta
end

sealed = protect({})
raw.getmetatable(sealed).__metatable = sealed

-- Errors raised by the server's own functions are opaque until they are caught.
local function catch(err)
    if raw.type(err) == 'userdata' then err = native.raised(err) end
    if raw.type(err) == 'table' and raw.type(raw.rawget(err, 'err')) == 'string' then
        return raw.rawget(err, 'err')
    end
    return err
end

-- A script that was killed must not catch its own end.
local killed = native.killed
local function caught(ok, ...)
    if not ok and killed.why then raw.error(killed.why, 0) end
    return ok, ...
end

local function pcall(f, ...)
    local n = raw.select('#', ...)
    if n == 0 then return caught(raw.xpcall(f, catch)) end
    local args = { ... }
    return caught(raw.xpcall(function() return f(raw.unpack(args, 1, n)) end, catch))
end

local function xpcall(f, handler)
    return caught(raw.xpcall(f, function(err)
        if raw.type(err) == 'userdata' then err = native.raised(err) end
        return handler(err)
    end))
end

local function resumed(ok, err, ...)
    if ok then return ok, err, ... end
    return caught(false, catch(err))
end

local function load_text(piece)
    return raw.type(piece) ~= 'string' or raw.byte(piece) ~= 27
end

local G = {
    xpcall = xpcall, pcall = pcall, tostring = tostring, getfenv = getfenv, assert = assert,
    tonumber = tonumber, rawequal = rawequal, collectgarbage = collectgarbage,
    getmetatable = getmetatable, type = type, select = select, unpack = unpack, gcinfo = gcinfo,
    ipairs = ipairs, _VERSION = _VERSION, error = error, newproxy = newproxy,
    setmetatable = function(t, meta)
        if real[t] then native.readonly() end
        return raw.setmetatable(t, meta)
    end,
    rawset = function(t, k, v)
        if real[t] then native.readonly() end
        return raw.rawset(t, k, v)
    end,
    rawget = function(t, k) return raw.rawget(real[t] or t, k) end,
    next = function(t, k) return raw.next(real[t] or t, k) end,
    pairs = function(t)
        local inner = real[t]
        if inner then return function(_, k) return raw.next(inner, k) end, t, nil end
        return raw.pairs(t)
    end,
    setfenv = function(f, env)
        if f == 0 then native.readonly() end
        return raw.setfenv(f, env)
    end,
    -- Compiled chunks could break the interpreter.
    loadstring = function(text, name)
        if not load_text(text) then return nil, 'attempt to load chunk with wrong mode' end
        return raw.loadstring(text, name)
    end,
    load = function(reader, name)
        local first = true
        return raw.load(function()
            local piece = reader()
            if first and not load_text(piece) then
                raw.error('attempt to load chunk with wrong mode', 0)
            end
            first = false
            return piece
        end, name)
    end,
}

local coroutines = {}
for k, v in raw.pairs(coroutine) do coroutines[k] = v end
coroutines.resume = function(...) return resumed(raw.resume(...)) end

local libraries = {
    string = string, table = table, math = math, os = { clock = os.clock }, coroutine = coroutines,
    cjson = native.cjson, cmsgpack = native.cmsgpack, struct = native.struct, bit = native.bit,
    redis = native.redis,
}
math.random, math.randomseed = native.random, native.randomseed
for name, library in raw.pairs(libraries) do G[name] = protect(library) end
local strings = raw.getmetatable('')
strings.__index, strings.__metatable = G.string, sealed
raw.setmetatable(G, { __index = native.missing })

-- The table that scripts know as _G is the one they were compiled with; it keeps nothing itself.
G._G = globals
for k in raw.next, globals do globals[k] = nil end
local environment = { __index = G, __newindex = native.readonly, __metatable = sealed }
real[globals] = G
raw.setmetatable(globals, environment)

-- What a library may use while it registers its functions.
local L = { redis = native.registering and protect(native.registering) }
if native.registering then raw.setmetatable(native.registering, { __index = native.missing }) end
raw.setmetatable(L, { __index = native.missing })

return {
    globals = G,
    run = function(f) return raw.xpcall(f, native.handler) end,
    register = function(f)
        environment.__index = L
        local ok, err = raw.xpcall(f, native.handler)
        environment.__index = G
        return ok, err
    end,
}
