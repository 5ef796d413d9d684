/* counter.incr KEY       adds one to a value of the module's own type
 * counter.get KEY        shows it; -1 when there is none
 * counter.set KEY N      gives it a value
 * counter.call KEY       does what INCR does, by calling it */
#include "oxmodule.h"

static Type *counter;

static void *load(Io *io, int version) {
    if (version != 0) return NULL;
    int64_t *n = Alloc(sizeof *n);
    *n = LoadSigned(io);
    return n;
}
static void save(Io *io, void *value) { SaveSigned(io, *(int64_t *)value); }
static void rewrite(Io *io, Str *key, void *value) {
    EmitAOF(io, "counter.set", "sl", key, (long long)*(int64_t *)value);
}
static size_t usage(const void *value) { (void)value; return sizeof(int64_t); }
static void release(void *value) { Free(value); }

static int64_t *value_of(Ctx *ctx, Str *name, int create, Key **key) {
    *key = OpenKey(ctx, name, READ | WRITE);
    if (KeyType(*key) == 0) {
        if (!create) return NULL;
        int64_t *n = Alloc(sizeof *n);
        *n = 0;
        ModuleTypeSetValue(*key, counter, n);
        return n;
    }
    return ModuleTypeGetType(*key) == counter ? ModuleTypeGetValue(*key) : NULL;
}

static int incr(Ctx *ctx, Str **argv, int argc) {
    if (argc != 2) return WrongArity(ctx);
    Key *key;
    int64_t *n = value_of(ctx, argv[1], 1, &key);
    if (!n) ReplyWithError(ctx, "WRONGTYPE Operation against a key holding the wrong kind of value");
    else { ReplyWithLongLong(ctx, ++*n); ReplicateVerbatim(ctx); }
    CloseKey(key);
    return OK;
}

static int set(Ctx *ctx, Str **argv, int argc) {
    long long to;
    if (argc != 3) return WrongArity(ctx);
    if (StringToLongLong(argv[2], &to) != OK) return ReplyWithError(ctx, "ERR not a number");
    Key *key;
    int64_t *n = value_of(ctx, argv[1], 1, &key);
    if (!n) ReplyWithError(ctx, "WRONGTYPE Operation against a key holding the wrong kind of value");
    else { *n = to; ReplyWithLongLong(ctx, to); ReplicateVerbatim(ctx); }
    CloseKey(key);
    return OK;
}

static int get(Ctx *ctx, Str **argv, int argc) {
    if (argc != 2) return WrongArity(ctx);
    Key *key = OpenKey(ctx, argv[1], READ);
    int64_t *n = key && ModuleTypeGetType(key) == counter ? ModuleTypeGetValue(key) : NULL;
    ReplyWithLongLong(ctx, n ? *n : -1);
    if (key) CloseKey(key);
    return OK;
}

static int call(Ctx *ctx, Str **argv, int argc) {
    if (argc != 2) return WrongArity(ctx);
    Reply *reply = Call(ctx, "INCR", "!s", argv[1]);
    if (!reply) return ReplyWithError(ctx, "ERR no reply");
    ReplyWithCallReply(ctx, reply);
    FreeCallReply(reply);
    return OK;
}

int RedisModule_OnLoad(Ctx *ctx, Str **argv, int argc) {
    (void)argv; (void)argc;
    Methods methods = {1, load, save, rewrite, usage, NULL, release};
    if (begin(ctx, "counter") != OK) return ERR;
    counter = CreateDataType(ctx, "counter-1", 0, &methods);
    if (!counter) return ERR;
    if (CreateCommand(ctx, "counter.incr", incr, "write deny-oom fast", 1, 1, 1) != OK) return ERR;
    if (CreateCommand(ctx, "counter.set", set, "write deny-oom fast", 1, 1, 1) != OK) return ERR;
    if (CreateCommand(ctx, "counter.get", get, "readonly fast", 1, 1, 1) != OK) return ERR;
    return CreateCommand(ctx, "counter.call", call, "write deny-oom fast", 1, 1, 1);
}
