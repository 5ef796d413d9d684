/* Functions that came with Redis 8: options of the server, keyspace listeners that leave, users of contexts, slots. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "oxmodule.h"

typedef struct Iterator Iterator;
typedef struct User User;
typedef struct {
    uint16_t start, end;
} Range;
typedef struct {
    int32_t count;
    Range ranges[];
} Ranges;

static Iterator *(*ConfigIteratorCreate)(Ctx *, const char *);
static const char *(*ConfigIteratorNext)(Iterator *);
static void (*ConfigIteratorRelease)(Ctx *, Iterator *);
static int (*ConfigGetType)(const char *, int *);
static int (*ConfigGet)(Ctx *, const char *, Str **);
static int (*ConfigGetBool)(Ctx *, const char *, int *);
static int (*ConfigGetEnum)(Ctx *, const char *, Str **);
static int (*ConfigGetNumeric)(Ctx *, const char *, long long *);
static int (*ConfigSet)(Ctx *, const char *, Str *, Str **);
static int (*ConfigSetBool)(Ctx *, const char *, int, Str **);
static int (*ConfigSetEnum)(Ctx *, const char *, Str *, Str **);
static int (*ConfigSetNumeric)(Ctx *, const char *, long long, Str **);
static int (*LoadDefaultConfigs)(Ctx *);
static int (*LoadConfigs)(Ctx *);
static int (*RegisterNumericConfig)(Ctx *, const char *, long long, unsigned, long long, long long,
                                    long long (*)(const char *, void *),
                                    int (*)(const char *, long long, void *, Str **),
                                    int (*)(Ctx *, void *, Str **), void *);
typedef struct {
    uint64_t id, version;
} Event;
static int (*SubscribeToServerEvent)(Ctx *, Event, void (*)(Ctx *, Event, uint64_t, void *));
static const char *(*GetInternalSecret)(Ctx *, size_t *);
static int (*SubscribeToKeyspaceEvents)(Ctx *, int, int (*)(Ctx *, int, const char *, Str *));
static int (*UnsubscribeFromKeyspaceEvents)(Ctx *, int, int (*)(Ctx *, int, const char *, Str *));
static long long (*HashFieldMinExpire)(Key *);
static int (*HashGet)(Key *, int, ...);
static int (*ACLCheckKeyPrefixPermissions)(User *, Str *, int);
static User *(*GetModuleUserFromUserName)(Str *);
static int (*FreeModuleUser)(User *);
static void (*SetContextUser)(Ctx *, User *);
static const User *(*GetContextUser)(Ctx *);
static Str *(*GetUserUsername)(const User *);
static unsigned (*ClusterKeySlotC)(const char *, size_t);
static int (*ClusterCanAccessKeysInSlot)(int);
static Ranges *(*ClusterGetLocalSlotRanges)(Ctx *);
static void (*ClusterFreeSlotRanges)(Ctx *, Ranges *);
static int (*ClusterDisableTrim)(Ctx *);
static int (*ClusterPropagateForSlotMigration)(Ctx *, const char *, const char *, ...);
static int (*ClusterEnableTrim)(Ctx *);
static int (*ReplyWithArray)(Ctx *, long);
static void (*ReplySetArrayLength)(Ctx *, long);
static int (*ReplyWithCString)(Ctx *, const char *);
static int (*ReplyWithString)(Ctx *, Str *);
static Reply *(*CallReplyAttribute)(Reply *);
static int (*CallReplyAttributeElement)(Reply *, size_t, Reply **, Reply **);
static int (*CallReplyType)(Reply *);
static size_t (*CallReplyLength)(Reply *);
static Reply *(*CallReplyArrayElement)(Reply *, size_t);
static const char *(*CallReplyProto)(Reply *, size_t *);
static uint64_t (*GetClientId)(Ctx *);
static Str *(*GetClientCertificate)(Ctx *, uint64_t);
static int (*ReplyWithNull)(Ctx *);
static int (*ReplyWithStringBuffer)(Ctx *, const char *, size_t);
static const char *(*StringPtrLen)(const Str *, size_t *);

static const char *text(Str *word) { return StringPtrLen(word, NULL); }

/* The names that a pattern matches; all without one. */
static int names(Ctx *ctx, Str **argv, int argc) {
    Iterator *all = ConfigIteratorCreate(ctx, argc > 1 ? text(argv[1]) : NULL);
    long count = 0;
    const char *name;
    ReplyWithArray(ctx, -1);
    while ((name = ConfigIteratorNext(all)) != NULL) {
        ReplyWithCString(ctx, name);
        count++;
    }
    ReplySetArrayLength(ctx, count);
    ConfigIteratorRelease(ctx, all);
    return OK;
}

static int refused(Ctx *ctx, Str *why) {
    if (!why) return ReplyWithError(ctx, "ERR refused");
    char line[512];
    snprintf(line, sizeof(line), "ERR refused: %s", text(why));
    ReplyWithError(ctx, line);
    FreeString(ctx, why);
    return OK;
}

/* get|bool|enum|number|type name */
static int get(Ctx *ctx, Str **argv, int argc) {
    if (argc != 3) return WrongArity(ctx);
    const char *how = text(argv[1]), *name = text(argv[2]);
    Str *string = NULL;
    long long number = 0;
    int small = 0;
    if (!strcmp(how, "get") || !strcmp(how, "enum")) {
        int done = *how == 'g' ? ConfigGet(ctx, name, &string) : ConfigGetEnum(ctx, name, &string);
        if (done != OK) return refused(ctx, NULL);
        ReplyWithString(ctx, string);
        FreeString(ctx, string);
        return OK;
    }
    if (!strcmp(how, "bool")) {
        if (ConfigGetBool(ctx, name, &small) != OK) return refused(ctx, NULL);
        return ReplyWithLongLong(ctx, small);
    }
    if (!strcmp(how, "type")) {
        if (ConfigGetType(name, &small) != OK) return refused(ctx, NULL);
        return ReplyWithLongLong(ctx, small);
    }
    if (ConfigGetNumeric(ctx, name, &number) != OK) return refused(ctx, NULL);
    return ReplyWithLongLong(ctx, number);
}

/* set|bool|enum|number name value */
static int set(Ctx *ctx, Str **argv, int argc) {
    if (argc != 4) return WrongArity(ctx);
    const char *how = text(argv[1]), *name = text(argv[2]);
    Str *why = NULL;
    long long number = 0;
    StringToLongLong(argv[3], &number);
    int done = !strcmp(how, "set")    ? ConfigSet(ctx, name, argv[3], &why)
               : !strcmp(how, "enum") ? ConfigSetEnum(ctx, name, argv[3], &why)
               : !strcmp(how, "bool") ? ConfigSetBool(ctx, name, (int)number, &why)
                                      : ConfigSetNumeric(ctx, name, number, &why);
    return done == OK ? ReplyWithSimpleString(ctx, "OK") : refused(ctx, why);
}

static long long events, own_number, own_sets, bare_number;

static int heard(Ctx *ctx, int class, const char *event, Str *key) {
    (void)ctx, (void)class, (void)event, (void)key;
    events++;
    return OK;
}

#define GENERIC (1 << 2)
#define STRING (1 << 3)

/* Begins or ends to hear of strings, or of something it never heard of. */
static int listen(Ctx *ctx, Str **argv, int argc) {
    if (argc != 2) return WrongArity(ctx);
    const char *how = text(argv[1]);
    int done = !strcmp(how, "on")    ? SubscribeToKeyspaceEvents(ctx, STRING, heard)
               : !strcmp(how, "off") ? UnsubscribeFromKeyspaceEvents(ctx, STRING, heard)
                                     : UnsubscribeFromKeyspaceEvents(ctx, GENERIC, heard);
    return done == OK ? ReplyWithLongLong(ctx, events) : ReplyWithError(ctx, "ERR not subscribed");
}

static int earliest(Ctx *ctx, Str **argv, int argc) {
    if (argc != 2) return WrongArity(ctx);
    Key *key = OpenKey(ctx, argv[1], READ);
    ReplyWithLongLong(ctx, key ? HashFieldMinExpire(key) : -2);
    CloseKey(key);
    return OK;
}

#define C_FIELDS (1 << 2)
#define EXISTS (1 << 3)
#define EXPIRE_TIME (1 << 5)

/* The deadlines of the fields f and g, and whether it is refused to ask for existence as well. */
static int deadlines(Ctx *ctx, Str **argv, int argc) {
    if (argc != 2) return WrongArity(ctx);
    Key *key = OpenKey(ctx, argv[1], READ);
    long long f = 0, g = 0;
    HashGet(key, C_FIELDS | EXPIRE_TIME, "f", &f, "g", &g, NULL);
    ReplyWithArray(ctx, 3);
    ReplyWithLongLong(ctx, f);
    ReplyWithLongLong(ctx, g);
    ReplyWithLongLong(ctx, HashGet(key, C_FIELDS | EXPIRE_TIME | EXISTS, "f", &f, NULL));
    CloseKey(key);
    return OK;
}

/* user prefix flags */
static int prefix(Ctx *ctx, Str **argv, int argc) {
    if (argc != 4) return WrongArity(ctx);
    User *user = GetModuleUserFromUserName(argv[1]);
    if (!user) return ReplyWithError(ctx, "ERR no such user");
    long long flags = 0;
    StringToLongLong(argv[3], &flags);
    errno = 0;
    int done = ACLCheckKeyPrefixPermissions(user, argv[2], (int)flags);
    ReplyWithLongLong(ctx, done == OK ? 1 : errno == EACCES ? 0 : -errno);
    FreeModuleUser(user);
    return OK;
}

/* The name of the context's user before and after one is set. */
static int whose(Ctx *ctx, Str **argv, int argc) {
    if (argc != 2) return WrongArity(ctx);
    if (!GetContextUser) return ReplyWithError(ctx, "ERR no such function");
    User *user = GetModuleUserFromUserName(argv[1]);
    if (!user) return ReplyWithError(ctx, "ERR no such user");
    if (GetContextUser(ctx)) return ReplyWithError(ctx, "ERR somebody is there");
    SetContextUser(ctx, user);
    Str *name = GetUserUsername(GetContextUser(ctx));
    ReplyWithString(ctx, name);
    FreeString(ctx, name);
    SetContextUser(ctx, NULL);
    FreeModuleUser(user);
    return OK;
}

typedef struct {
    uint64_t version;
    char source[41], dest[41];
    const char *task;
    Ranges *slots;
} Moving;

#define MOVING 18
#define PROPAGATE 6

/* The kinds of the events of slots that move (0 to 6) and are trimmed (t0, t1), and how often a key was trimmed. */
static char moves[256];
static long long trimmed;
/* The key that is to be set on the new owner of slots. */
static char extra[64];

static int add_command(Ctx *ctx) {
    errno = 0;
    if (ClusterPropagateForSlotMigration(ctx, "SET", "cc", extra, "1") == OK) return 0;
    return errno;
}

static void note(const char *what, long long number) {
    size_t used = strlen(moves);
    snprintf(moves + used, sizeof(moves) - used, "%s%lld ", what, number);
}

static void moved(Ctx *ctx, Event event, uint64_t sub, void *data) {
    note(event.id == MOVING ? "" : "t", (long long)sub);
    if (event.id != MOVING) return;
    Moving *moving = data;
    if (strlen(moving->source) != 40 || strlen(moving->dest) != 40 || strlen(moving->task) != 40) note("bad", 0);
    if (moving->slots->count != 1 || moving->slots->ranges[0].end != 0) note("bad", 1);
    if (sub != PROPAGATE) return;
    if (add_command(ctx)) note("e", errno);
    if (ClusterPropagateForSlotMigration(ctx, "SET", "cc", "elsewhere", "1") == ERR) note("e", errno);
    if (ClusterPropagateForSlotMigration(ctx, "NOSUCH", "cc", extra, "1") == ERR) note("e", errno);
    if (ClusterPropagateForSlotMigration(ctx, "MSET", "cccc", extra, "1", "elsewhere", "1") == ERR) note("e", errno);
}

static int gone(Ctx *ctx, int class, const char *event, Str *key) {
    (void)ctx, (void)class, (void)key;
    if (!strcmp(event, "key_trimmed")) trimmed++;
    return OK;
}

/* slot key, can slot, mine, hold, release, secret, events, trimmed, extra key */
static int cluster(Ctx *ctx, Str **argv, int argc) {
    const char *how = argc > 1 ? text(argv[1]) : "";
    if (!strcmp(how, "slot") && argc == 3) {
        size_t len;
        const char *key = StringPtrLen(argv[2], &len);
        return ReplyWithLongLong(ctx, ClusterKeySlotC(key, len));
    }
    if (!strcmp(how, "can") && argc == 3) {
        long long slot = 0;
        StringToLongLong(argv[2], &slot);
        return ReplyWithLongLong(ctx, ClusterCanAccessKeysInSlot((int)slot));
    }
    if (!strcmp(how, "mine")) {
        Ranges *mine = ClusterGetLocalSlotRanges(ctx);
        if (!mine) return ReplyWithError(ctx, "ERR nothing");
        ReplyWithArray(ctx, 2 * mine->count);
        for (int at = 0; at < mine->count; at++) {
            ReplyWithLongLong(ctx, mine->ranges[at].start);
            ReplyWithLongLong(ctx, mine->ranges[at].end);
        }
        ClusterFreeSlotRanges(ctx, mine);
        return OK;
    }
    if (!strcmp(how, "events")) return ReplyWithCString(ctx, moves);
    if (!strcmp(how, "trimmed")) return ReplyWithLongLong(ctx, trimmed);
    if (!strcmp(how, "extra") && argc == 3) {
        snprintf(extra, sizeof(extra), "%s", text(argv[2]));
        return ReplyWithLongLong(ctx, add_command(ctx));
    }
    if (!strcmp(how, "hold")) return ReplyWithLongLong(ctx, ClusterDisableTrim(ctx));
    if (!strcmp(how, "release")) return ReplyWithLongLong(ctx, ClusterEnableTrim(ctx));
    if (!strcmp(how, "secret")) {
        size_t len = 0;
        const char *secret = GetInternalSecret(ctx, &len);
        return secret ? ReplyWithStringBuffer(ctx, secret, len) : ReplyWithError(ctx, "ERR no secret");
    }
    return WrongArity(ctx);
}

static long long get_number(const char *name, void *data) {
    (void)name;
    return *(long long *)data;
}

static int set_number(const char *name, long long value, void *data, Str **why) {
    (void)name;
    if (value == 13) {
        *why = CreateStringPrintf(NULL, "not thirteen");
        return ERR;
    }
    own_sets++;
    *(long long *)data = value;
    return OK;
}

static void backup(Ctx *ctx, Event event, uint64_t sub, void *data) {
    (void)ctx, (void)event, (void)sub, (void)data;
}

static int sets(Ctx *ctx, Str **argv, int argc) {
    (void)argv, (void)argc;
    return ReplyWithLongLong(ctx, own_sets);
}

/* Calls a command without arguments, with the letters of a format. */
static int call(Ctx *ctx, Str **argv, int argc) {
    if (argc != 3) return WrongArity(ctx);
    Reply *reply = Call(ctx, text(argv[1]), text(argv[2]));
    if (!reply) return ReplyWithError(ctx, "ERR no reply");
    ReplyWithCallReply(ctx, reply);
    FreeCallReply(reply);
    return OK;
}

/* What a module sees of a reply with an attribute: DEBUG PROTOCOL attrib, in the protocol that the letter names. */
static int attribute(Ctx *ctx, Str **argv, int argc) {
    if (argc != 2) return WrongArity(ctx);
    char format[8];
    snprintf(format, sizeof format, "%scc", text(argv[1]));
    Reply *reply = Call(ctx, "DEBUG", format, "protocol", "attrib");
    /* Redis finds the attribute of a reply only after the reply was looked at. */
    int type = CallReplyType(reply);
    Reply *attribute = CallReplyAttribute(reply), *key = NULL, *value = NULL;
    int found = attribute ? CallReplyAttributeElement(attribute, 0, &key, &value) : ERR;
    size_t len = 0;
    ReplyWithArray(ctx, 8);
    ReplyWithLongLong(ctx, type);
    if (found == OK) {
        ReplyWithLongLong(ctx, CallReplyType(attribute));
        ReplyWithLongLong(ctx, CallReplyLength(attribute));
        ReplyWithCallReply(ctx, key);
        ReplyWithCallReply(ctx, value);
        ReplyWithLongLong(ctx, CallReplyAttributeElement(attribute, 1, &key, &value));
        ReplyWithLongLong(ctx, CallReplyAttribute(attribute) == NULL && CallReplyAttribute(key) == NULL &&
                                   CallReplyArrayElement(attribute, 0) == NULL &&
                                   CallReplyAttributeElement(reply, 0, &key, &value) == ERR &&
                                   CallReplyAttribute(reply) == attribute);
    } else {
        for (int i = 0; i < 6; i++) ReplyWithNull(ctx);
    }
    const char *wire = CallReplyProto(reply, &len);
    ReplyWithStringBuffer(ctx, wire, len);
    FreeCallReply(reply);
    return OK;
}

/* Passes such a reply on. */
static int pass(Ctx *ctx, Str **argv, int argc) {
    if (argc != 2) return WrongArity(ctx);
    char format[8];
    snprintf(format, sizeof format, "%scc", text(argv[1]));
    Reply *reply = Call(ctx, "DEBUG", format, "protocol", "attrib");
    if (ReplyWithCallReply(ctx, reply) != OK) ReplyWithError(ctx, "ERR the protocol has no attributes");
    FreeCallReply(reply);
    return OK;
}

/* Calls a command with one argument from a thread that holds the lock. */
struct Task {
    Blocked *blocked;
    char name[64], argument[64];
};

static void *task(void *given) {
    struct Task *own = given;
    Ctx *ctx = GetThreadSafeContext(own->blocked);
    ThreadSafeContextLock(ctx);
    Reply *reply = Call(ctx, own->name, "c", own->argument);
    if (reply) {
        ReplyWithCallReply(ctx, reply);
        FreeCallReply(reply);
    } else
        ReplyWithError(ctx, "ERR no reply");
    ThreadSafeContextUnlock(ctx);
    UnblockClient(own->blocked, NULL);
    FreeThreadSafeContext(ctx);
    free(own);
    return NULL;
}

static int on_thread(Ctx *ctx, Str **argv, int argc) {
    if (argc != 3) return WrongArity(ctx);
    struct Task *own = calloc(1, sizeof *own);
    snprintf(own->name, sizeof own->name, "%s", text(argv[1]));
    snprintf(own->argument, sizeof own->argument, "%s", text(argv[2]));
    own->blocked = BlockClient(ctx, NULL, NULL, NULL, 0);
    pthread_t thread;
    pthread_create(&thread, NULL, task, own);
    pthread_detach(thread);
    return OK;
}

/* The certificate of the client. */
static int certificate(Ctx *ctx, Str **argv, int argc) {
    (void)argv;
    Str *pem = GetClientCertificate(ctx, argc > 1 ? 1u << 30 : GetClientId(ctx));
    if (!pem) return ReplyWithNull(ctx);
    ReplyWithString(ctx, pem);
    FreeString(ctx, pem);
    return OK;
}

#define UNPREFIXED (1 << 9)

int RedisModule_OnLoad(Ctx *ctx, Str **argv, int argc) {
    (void)argv, (void)argc;
    begin(ctx, "newer");
    FETCH(ConfigIteratorCreate); FETCH(ConfigIteratorNext); FETCH(ConfigIteratorRelease); FETCH(ConfigGetType);
    FETCH(ConfigGet); FETCH(ConfigGetBool); FETCH(ConfigGetEnum); FETCH(ConfigGetNumeric); FETCH(ConfigSet);
    FETCH(ConfigSetBool); FETCH(ConfigSetEnum); FETCH(ConfigSetNumeric); FETCH(LoadDefaultConfigs);
    FETCH(LoadConfigs); FETCH(RegisterNumericConfig); FETCH(GetInternalSecret); FETCH(SubscribeToKeyspaceEvents);
    FETCH(UnsubscribeFromKeyspaceEvents); FETCH(HashFieldMinExpire); FETCH(ACLCheckKeyPrefixPermissions);
    FETCH(GetModuleUserFromUserName); FETCH(FreeModuleUser); FETCH(SetContextUser); FETCH(GetContextUser);
    FETCH(GetUserUsername); FETCH(ClusterKeySlotC); FETCH(ClusterCanAccessKeysInSlot);
    FETCH(ClusterGetLocalSlotRanges); FETCH(ClusterFreeSlotRanges); FETCH(ClusterDisableTrim);
    FETCH(ClusterEnableTrim); FETCH(ReplyWithArray); FETCH(ReplySetArrayLength); FETCH(ReplyWithCString);
    FETCH(ReplyWithString); FETCH(ReplyWithStringBuffer); FETCH(StringPtrLen); FETCH(SubscribeToServerEvent);
    FETCH(ClusterPropagateForSlotMigration); FETCH(HashGet); FETCH(CallReplyAttribute);
    FETCH(CallReplyAttributeElement); FETCH(CallReplyType); FETCH(CallReplyLength); FETCH(CallReplyArrayElement);
    FETCH(CallReplyProto); FETCH(GetClientId); FETCH(GetClientCertificate); FETCH(ReplyWithNull);
    if (SubscribeToServerEvent(ctx, (Event){MOVING, 1}, moved) != OK ||
        SubscribeToServerEvent(ctx, (Event){MOVING + 1, 1}, moved) != OK ||
        SubscribeToKeyspaceEvents(ctx, 1 << 17, gone) != OK)
        return ERR;
    /* An event of old, which RediSearch asks for still and insists on. */
    if (SubscribeToServerEvent(ctx, (Event){12, 1}, backup) != OK) return ERR;
    if (RegisterNumericConfig(ctx, "number", 7, 0, 0, 100, get_number, set_number, NULL, &own_number) != OK ||
        RegisterNumericConfig(ctx, "newer-bare|newer-alias", 8, UNPREFIXED, 0, 100, get_number, set_number, NULL,
                              &bare_number) != OK)
        return ERR;
    /* A name that the server has. */
    if (RegisterNumericConfig(ctx, "maxmemory", 8, UNPREFIXED, 0, 100, get_number, set_number, NULL,
                              &bare_number) == OK)
        return ERR;
    if (LoadDefaultConfigs(ctx) != OK || own_number != 7 || LoadDefaultConfigs(ctx) == OK) return ERR;
    if (LoadConfigs(ctx) != OK) return ERR;
    if (CreateCommand(ctx, "newer.names", names, "", 0, 0, 0) != OK ||
        CreateCommand(ctx, "newer.get", get, "", 0, 0, 0) != OK ||
        CreateCommand(ctx, "newer.set", set, "", 0, 0, 0) != OK ||
        CreateCommand(ctx, "newer.sets", sets, "", 0, 0, 0) != OK ||
        CreateCommand(ctx, "newer.listen", listen, "", 0, 0, 0) != OK ||
        CreateCommand(ctx, "newer.earliest", earliest, "readonly", 1, 1, 1) != OK ||
        CreateCommand(ctx, "newer.deadlines", deadlines, "readonly", 1, 1, 1) != OK ||
        CreateCommand(ctx, "newer.prefix", prefix, "", 0, 0, 0) != OK ||
        CreateCommand(ctx, "newer.whose", whose, "", 0, 0, 0) != OK ||
        CreateCommand(ctx, "newer.cluster", cluster, "", 0, 0, 0) != OK ||
        CreateCommand(ctx, "newer.internal", sets, "internal", 0, 0, 0) != OK ||
        CreateCommand(ctx, "newer.attribute", attribute, "", 0, 0, 0) != OK ||
        CreateCommand(ctx, "newer.pass", pass, "", 0, 0, 0) != OK ||
        CreateCommand(ctx, "newer.thread", on_thread, "", 0, 0, 0) != OK ||
        CreateCommand(ctx, "newer.certificate", certificate, "", 0, 0, 0) != OK ||
        CreateCommand(ctx, "newer.call", call, "", 0, 0, 0) != OK)
        return ERR;
    return OK;
}
