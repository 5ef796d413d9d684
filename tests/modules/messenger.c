/* Messages between modules of the nodes of a cluster: each node keeps what it got. */
#include <stdio.h>
#include <string.h>
#include "oxmodule.h"

typedef void (*Receiver)(Ctx *, const char *, uint8_t, const unsigned char *, uint32_t);

static void (*RegisterClusterMessageReceiver)(Ctx *, uint8_t, Receiver);
static int (*SendClusterMessage)(Ctx *, const char *, uint8_t, const char *, uint32_t);
static char **(*GetClusterNodesList)(Ctx *, size_t *);
static void (*FreeClusterNodesList)(char **);
static const char *(*GetMyClusterID)(void);
static size_t (*GetClusterSize)(void);
static int (*GetClusterNodeInfo)(Ctx *, const char *, char *, char *, int *, int *);
static int (*ReplyWithArray)(Ctx *, long);
static int (*ReplyWithStringBuffer)(Ctx *, const char *, size_t);
static const char *(*StringPtrLen)(const Str *, size_t *);

#define KEPT 64

static struct {
    char from[40];
    uint8_t kind;
    uint32_t len;
    char bytes[128];
} got[KEPT];
static int count;

static void receive(Ctx *ctx, const char *from, uint8_t kind, const unsigned char *bytes, uint32_t len) {
    (void)ctx;
    if (count == KEPT) return;
    memcpy(got[count].from, from, 40);
    got[count].kind = kind;
    got[count].len = len;
    memcpy(got[count].bytes, bytes, len < 128 ? len : 128);
    count++;
}

/* node|all kind text */
static int send(Ctx *ctx, Str **argv, int argc) {
    if (argc != 4) return WrongArity(ctx);
    size_t len;
    long long kind = 0;
    const char *to = StringPtrLen(argv[1], NULL), *text = StringPtrLen(argv[3], &len);
    StringToLongLong(argv[2], &kind);
    int sent = SendClusterMessage(ctx, !strcmp(to, "all") ? NULL : to, (uint8_t)kind, text, (uint32_t)len);
    return sent == OK ? ReplyWithSimpleString(ctx, "OK") : ReplyWithError(ctx, "ERR not sent");
}

/* Sender, kind and bytes of each message so far. */
static int list(Ctx *ctx, Str **argv, int argc) {
    (void)argv, (void)argc;
    ReplyWithArray(ctx, 3 * count);
    for (int at = 0; at < count; at++) {
        ReplyWithStringBuffer(ctx, got[at].from, 40);
        ReplyWithLongLong(ctx, got[at].kind);
        ReplyWithStringBuffer(ctx, got[at].bytes, got[at].len);
    }
    return OK;
}

/* on|off kind */
static int listen(Ctx *ctx, Str **argv, int argc) {
    if (argc != 3) return WrongArity(ctx);
    long long kind = 0;
    StringToLongLong(argv[2], &kind);
    RegisterClusterMessageReceiver(ctx, (uint8_t)kind, StringPtrLen(argv[1], NULL)[1] == 'n' ? receive : NULL);
    return ReplyWithSimpleString(ctx, "OK");
}

/* The number of nodes, then the name, the port and the flags of each. */
static int nodes(Ctx *ctx, Str **argv, int argc) {
    (void)argv, (void)argc;
    size_t known;
    char **names = GetClusterNodesList(ctx, &known);
    if (!names) return ReplyWithError(ctx, "ERR no cluster");
    ReplyWithArray(ctx, 2 + 3 * (long)known);
    ReplyWithLongLong(ctx, (long long)GetClusterSize());
    ReplyWithStringBuffer(ctx, GetMyClusterID(), 40);
    for (size_t at = 0; at < known; at++) {
        char ip[46], primary[40];
        int port = 0, flags = 0;
        int found = GetClusterNodeInfo(ctx, names[at], ip, primary, &port, &flags);
        ReplyWithStringBuffer(ctx, names[at], 40);
        ReplyWithLongLong(ctx, found == OK ? port : -1);
        ReplyWithLongLong(ctx, flags);
    }
    FreeClusterNodesList(names);
    return OK;
}

int RedisModule_OnLoad(Ctx *ctx, Str **argv, int argc) {
    (void)argv, (void)argc;
    begin(ctx, "messenger");
    FETCH(RegisterClusterMessageReceiver); FETCH(SendClusterMessage); FETCH(GetClusterNodesList);
    FETCH(FreeClusterNodesList); FETCH(GetMyClusterID); FETCH(GetClusterSize); FETCH(GetClusterNodeInfo);
    FETCH(ReplyWithArray); FETCH(ReplyWithStringBuffer); FETCH(StringPtrLen);
    RegisterClusterMessageReceiver(ctx, 1, receive);
    RegisterClusterMessageReceiver(ctx, 2, receive);
    if (CreateCommand(ctx, "msg.send", send, "", 0, 0, 0) != OK ||
        CreateCommand(ctx, "msg.list", list, "", 0, 0, 0) != OK ||
        CreateCommand(ctx, "msg.listen", listen, "", 0, 0, 0) != OK ||
        CreateCommand(ctx, "msg.nodes", nodes, "", 0, 0, 0) != OK)
        return ERR;
    return OK;
}
