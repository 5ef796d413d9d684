/* plain.echo N     answers N. The module has no data type, so that it can be unloaded. */
#include "oxmodule.h"

static int echo(Ctx *ctx, Str **argv, int argc) {
    long long n;
    if (argc != 2) return WrongArity(ctx);
    if (StringToLongLong(argv[1], &n) != OK) return ReplyWithError(ctx, "ERR not a number");
    return ReplyWithLongLong(ctx, n);
}

int RedisModule_OnLoad(Ctx *ctx, Str **argv, int argc) {
    (void)argv;
    if (begin(ctx, "plain") != OK) return ERR;
    if (CreateCommand(ctx, "plain.echo", echo, "readonly fast", 0, 0, 0) != OK) return ERR;
    /* An argument asks it to fail at the last moment: nothing of it may be left. */
    return argc == 0 ? OK : ERR;
}
