/* Metadata of keys: classes are made with flags that say which functions they have; a value is a string of the module.
 *
 *   loadmodule keymeta.so NAME VERSION FLAGS ...      makes classes while the module is loaded
 *   keymeta.register NAME VERSION FLAGS               makes one later; answers its number
 *   keymeta.set NAME key text, keymeta.get NAME key, keymeta.unregister NAME, keymeta.active, keymeta.log
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <pthread.h>
#include "oxmodule.h"

typedef struct KeyContext KeyContext;
typedef struct {
    uint64_t version, flags, reset;
    int (*copy)(KeyContext *, uint64_t *);
    int (*rename)(KeyContext *, uint64_t *);
    int (*move)(KeyContext *, uint64_t *);
    void (*unlink)(KeyContext *, uint64_t *);
    void (*free)(const char *, uint64_t);
    int (*load)(Io *, uint64_t *, int);
    void (*save)(Io *, void *, uint64_t *);
    void (*rewrite)(Io *, void *, uint64_t);
    int (*defrag)(void *, Str *, uint64_t);
    size_t (*usage)(KeyContext *, size_t, uint64_t);
    size_t (*effort)(KeyContext *, uint64_t);
} Config;

static int (*CreateKeyMetaClass)(Ctx *, const char *, int, Config *);
static int (*ReleaseKeyMetaClass)(int);
static int (*SetKeyMeta)(int, Key *, uint64_t);
static int (*GetKeyMeta)(int, Key *, uint64_t *);
static const Str *(*GetKeyNameFromOptCtx)(KeyContext *);
static const Str *(*GetToKeyNameFromOptCtx)(KeyContext *);
static int (*GetDbIdFromOptCtx)(KeyContext *);
static int (*GetToDbIdFromOptCtx)(KeyContext *);
static const Str *(*GetKeyNameFromIO)(Io *);
static const char *(*StringPtrLen)(const Str *, size_t *);
static void (*SaveStringBuffer)(Io *, const char *, size_t);
static char *(*LoadStringBuffer)(Io *, size_t *);
static int (*ReplyWithNull)(Ctx *);
static int (*ReplyWithCString)(Ctx *, const char *);
static int (*ReplyWithArray)(Ctx *, long);

#define CLASSES 8
static struct {
    char name[8];
    int id;
} classes[CLASSES];
static int made;
static long long active;

static char *events[256];
static int told;
/* What is freed may be freed by another thread. */
static pthread_mutex_t telling = PTHREAD_MUTEX_INITIALIZER;

static const char *text(const Str *str) {
    return str ? StringPtrLen(str, NULL) : "-";
}

static void tell(const char *what, KeyContext *at, const char *name, uint64_t meta) {
    char line[256];
    if (at)
        snprintf(line, sizeof line, "%s %s>%s %d>%d %s", what, text(GetKeyNameFromOptCtx(at)),
                 text(GetToKeyNameFromOptCtx(at)), GetDbIdFromOptCtx(at), GetToDbIdFromOptCtx(at), (char *)meta);
    else
        snprintf(line, sizeof line, "%s %s %s", what, name ? name : "-", (char *)meta);
    pthread_mutex_lock(&telling);
    if (told < 256) events[told++] = strdup(line);
    pthread_mutex_unlock(&telling);
}

static int copied(KeyContext *at, uint64_t *meta) {
    tell("copy", at, NULL, *meta);
    *meta = (uint64_t)strdup((char *)*meta);
    active++;
    return 1;
}

static int dropped_by_rename(KeyContext *at, uint64_t *meta) {
    tell("rename", at, NULL, *meta);
    return 0;
}

static int kept_by_rename(KeyContext *at, uint64_t *meta) {
    tell("rename", at, NULL, *meta);
    return 1;
}

static int dropped_by_move(KeyContext *at, uint64_t *meta) {
    tell("move", at, NULL, *meta);
    return 0;
}

static void unlinked(KeyContext *at, uint64_t *meta) {
    tell("unlink", at, NULL, *meta);
}

/* Frees early, and says so by the value that stands for nothing. */
static void unlinked_and_freed(KeyContext *at, uint64_t *meta) {
    tell("unlink", at, NULL, *meta);
    free((char *)*meta);
    *meta = 0;
    active--;
}

static void freed(const char *name, uint64_t meta) {
    tell("free", NULL, name, meta);
    free((char *)meta);
    __atomic_sub_fetch(&active, 1, __ATOMIC_SEQ_CST);
}

static void saved(Io *io, void *nothing, uint64_t *meta) {
    (void)nothing;
    SaveStringBuffer(io, (char *)*meta, strlen((char *)*meta));
    SaveSigned(io, 7);
}

static void saved_not(Io *io, void *nothing, uint64_t *meta) {
    (void)io, (void)nothing, (void)meta;
}

static int loaded(Io *io, uint64_t *meta, int version) {
    size_t len = 0;
    char *found = LoadStringBuffer(io, &len);
    if (!found) return -1;
    char *own = malloc(len + 16);
    memcpy(own, found, len);
    own[len] = 0;
    Free(found);
    /* A version above one shows which the file had. */
    if (version > 1) snprintf(own + len, 16, "@%d", version);
    LoadSigned(io);
    *meta = (uint64_t)own;
    active++;
    return 1;
}

static int loaded_and_dropped(Io *io, uint64_t *meta, int version) {
    loaded(io, meta, version);
    free((char *)*meta);
    active--;
    return 0;
}

static int loaded_not(Io *io, uint64_t *meta, int version) {
    loaded_and_dropped(io, meta, version);
    return -1;
}

/* Reads half of its data. */
static int loaded_short(Io *io, uint64_t *meta, int version) {
    size_t len = 0;
    (void)version;
    char *found = LoadStringBuffer(io, &len);
    Free(found);
    *meta = (uint64_t)strdup("half");
    active++;
    return 1;
}

static size_t used(KeyContext *at, size_t samples, uint64_t meta) {
    (void)at, (void)samples;
    return 1000000 + strlen((char *)meta);
}

static size_t effort(KeyContext *at, uint64_t meta) {
    (void)at, (void)meta;
    return 1000;
}

static void emit(Io *io, int id, uint64_t meta) {
    for (int i = 0; i < made; i++)
        if (classes[i].id == id)
            EmitAOF(io, "KEYMETA.SET", "csc", classes[i].name, GetKeyNameFromIO(io), (char *)meta);
}
#define EMIT(n) static void emit##n(Io *io, void *nothing, uint64_t meta) { (void)nothing; emit(io, n, meta); }
EMIT(1) EMIT(2) EMIT(3) EMIT(4) EMIT(5) EMIT(6) EMIT(7)
static void (*const emits[])(Io *, void *, uint64_t) = {emit1, emit2, emit3, emit4, emit5, emit6, emit7, NULL};

static int find(const char *name) {
    for (int i = 0; i < made; i++)
        if (!strcmp(classes[i].name, name)) return i;
    return -1;
}

static int make(Ctx *ctx, const char *name, int version, const char *flags) {
    Config config = {.version = 1};
#define HAS(flag) (strstr(flags, flag) != NULL)
    if (HAS("FUTURE")) config.version = 99;
    config.flags = HAS("ALLOWIGNORE") ? 1 : 0;
    config.copy = HAS("KEEPONCOPY") ? copied : NULL;
    config.rename = HAS("KEEPONRENAME") ? HAS("TELL") ? kept_by_rename : NULL : dropped_by_rename;
    config.move = HAS("KEEPONMOVE") ? NULL : dropped_by_move;
    config.unlink = HAS("UNLINKFREE") ? unlinked_and_freed : HAS("TELL") ? unlinked : NULL;
    config.free = freed;
    config.load = HAS("RDBLOAD") ? loaded : HAS("RDBDROP") ? loaded_and_dropped : HAS("RDBFAIL") ? loaded_not
                  : HAS("RDBSHORT") ? loaded_short : NULL;
    config.save = HAS("RDBSAVE") ? saved : HAS("RDBEMPTY") ? saved_not : NULL;
    config.rewrite = HAS("NOAOF") || made == 7 ? NULL : emits[made];
    config.usage = HAS("USAGE") ? used : NULL;
    config.effort = HAS("EFFORT") ? effort : NULL;
    int id = CreateKeyMetaClass(ctx, name, version, &config);
    if (id > 0 && find(name) < 0 && made < CLASSES) {
        snprintf(classes[made].name, sizeof classes[made].name, "%s", name);
        classes[made++].id = id;
    }
    return id;
}

static int register_(Ctx *ctx, Str **argv, int argc) {
    if (argc < 3) return WrongArity(ctx);
    int id = make(ctx, text(argv[1]), atoi(text(argv[2])), argc > 3 ? text(argv[3]) : "");
    if (id < 0) return ReplyWithError(ctx, "ERR failed to create metadata class");
    return ReplyWithLongLong(ctx, id);
}

static int set(Ctx *ctx, Str **argv, int argc) {
    if (argc != 4) return WrongArity(ctx);
    int at = find(text(argv[1]));
    if (at < 0) return ReplyWithError(ctx, "ERR metadata class not found");
    Key *key = OpenKey(ctx, argv[2], READ | WRITE);
    if (KeyType(key) == 0) {
        CloseKey(key);
        return ReplyWithNull(ctx);
    }
    uint64_t before = 0;
    if (GetKeyMeta(classes[at].id, key, &before) == OK && before) {
        free((char *)before);
        active--;
    }
    char *own = strdup(text(argv[3]));
    int set = SetKeyMeta(classes[at].id, key, (uint64_t)own);
    CloseKey(key);
    if (set != OK) {
        free(own);
        return ReplyWithError(ctx, "ERR failed to set metadata");
    }
    active++;
    return ReplyWithSimpleString(ctx, "OK");
}

/* By a key that is open for reading. */
static int set_reading(Ctx *ctx, Str **argv, int argc) {
    if (argc != 3) return WrongArity(ctx);
    int at = find(text(argv[1]));
    Key *key = OpenKey(ctx, argv[2], READ);
    int set = key ? SetKeyMeta(at < 0 ? 9 : classes[at].id, key, 0) : 99;
    if (key) CloseKey(key);
    return ReplyWithLongLong(ctx, set);
}

static int get(Ctx *ctx, Str **argv, int argc) {
    if (argc != 3) return WrongArity(ctx);
    int at = find(text(argv[1]));
    if (at < 0) return ReplyWithError(ctx, "ERR metadata class not found");
    Key *key = OpenKey(ctx, argv[2], READ);
    uint64_t meta = 0;
    int found = key && GetKeyMeta(classes[at].id, key, &meta) == OK;
    if (key) CloseKey(key);
    if (!found || !meta) return ReplyWithNull(ctx);
    return ReplyWithCString(ctx, (char *)meta);
}

static int unregister(Ctx *ctx, Str **argv, int argc) {
    if (argc != 2) return WrongArity(ctx);
    int at = find(text(argv[1]));
    if (at < 0) return ReplyWithError(ctx, "ERR metadata class not found");
    if (ReleaseKeyMetaClass(classes[at].id) != OK) return ReplyWithError(ctx, "ERR failed to unregister class");
    for (int i = at; i + 1 < made; i++) classes[i] = classes[i + 1];
    made--;
    return ReplyWithSimpleString(ctx, "OK");
}

static int active_now(Ctx *ctx, Str **argv, int argc) {
    (void)argv, (void)argc;
    return ReplyWithLongLong(ctx, active);
}

/* What happened since this was asked before. */
static int log_(Ctx *ctx, Str **argv, int argc) {
    (void)argv, (void)argc;
    pthread_mutex_lock(&telling);
    ReplyWithArray(ctx, told);
    for (int i = 0; i < told; i++) {
        ReplyWithCString(ctx, events[i]);
        free(events[i]);
    }
    told = 0;
    pthread_mutex_unlock(&telling);
    return OK;
}

int RedisModule_OnLoad(Ctx *ctx, Str **argv, int argc) {
    begin(ctx, "keymeta");
    FETCH(CreateKeyMetaClass); FETCH(ReleaseKeyMetaClass); FETCH(SetKeyMeta); FETCH(GetKeyMeta);
    FETCH(GetKeyNameFromOptCtx); FETCH(GetToKeyNameFromOptCtx); FETCH(GetDbIdFromOptCtx); FETCH(GetToDbIdFromOptCtx);
    FETCH(GetKeyNameFromIO); FETCH(StringPtrLen); FETCH(SaveStringBuffer); FETCH(LoadStringBuffer);
    FETCH(ReplyWithNull); FETCH(ReplyWithCString); FETCH(ReplyWithArray);
    if (!CreateKeyMetaClass || !ReleaseKeyMetaClass || !SetKeyMeta || !GetKeyMeta) return ERR;
    for (int i = 0; i + 2 < argc; i += 3)
        if (make(ctx, text(argv[i]), atoi(text(argv[i + 1])), text(argv[i + 2])) < 1) return ERR;
    if (CreateCommand(ctx, "keymeta.register", register_, "write", 0, 0, 0) != OK ||
        CreateCommand(ctx, "keymeta.set", set, "write deny-oom", 2, 2, 1) != OK ||
        CreateCommand(ctx, "keymeta.setreading", set_reading, "write", 2, 2, 1) != OK ||
        CreateCommand(ctx, "keymeta.get", get, "readonly", 2, 2, 1) != OK ||
        CreateCommand(ctx, "keymeta.unregister", unregister, "write", 0, 0, 0) != OK ||
        CreateCommand(ctx, "keymeta.active", active_now, "readonly fast", 0, 0, 0) != OK ||
        CreateCommand(ctx, "keymeta.log", log_, "readonly", 0, 0, 0) != OK)
        return ERR;
    return OK;
}
