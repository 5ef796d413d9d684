/* stress.run THREADS MILLISECONDS     threads lock, write, delete keys that others hold open, block and unblock clients,
 *                                     start timers; the reply comes when all have ended: how many turns there were
 * stress.wait KEY                     blocks its client until a thread of stress.run unblocks it */
#include "oxmodule.h"
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#define SLOTS 64

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static Blocked *waiting[SLOTS];
static int running;

typedef struct {
    Blocked *blocked;
    int threads;
    long long ms;
} Run;

typedef struct {
    Run *run;
    unsigned seed;
    long long turns;
} Worker;

static long long now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

static void tick(Ctx *ctx, void *data) {
    (void)data;
    Reply *reply = Call(ctx, "INCR", "c!", "stress:timers");
    if (reply) FreeCallReply(reply);
}

static int woken(Ctx *ctx, Str **argv, int argc) {
    (void)argv; (void)argc;
    return ReplyWithLongLong(ctx, 1);
}

static int wait_(Ctx *ctx, Str **argv, int argc) {
    (void)argv; (void)argc;
    Blocked *blocked = BlockClient(ctx, woken, NULL, NULL, 0);
    pthread_mutex_lock(&mutex);
    /* Without a thread that would wake it, the client goes on at once. */
    int at = running ? 0 : SLOTS;
    while (at < SLOTS && waiting[at]) at++;
    if (at < SLOTS) waiting[at] = blocked;
    pthread_mutex_unlock(&mutex);
    if (at == SLOTS) UnblockClient(blocked, NULL);
    return OK;
}

static void wake_all(void) {
    pthread_mutex_lock(&mutex);
    for (int at = 0; at < SLOTS; at++) {
        if (waiting[at]) UnblockClient(waiting[at], NULL);
        waiting[at] = NULL;
    }
    pthread_mutex_unlock(&mutex);
}

static void *work(void *data) {
    Worker *own = data;
    Ctx *ctx = GetThreadSafeContext(NULL);
    long long end = now_ms() + own->run->ms;
    while (now_ms() < end) {
        ThreadSafeContextLock(ctx);
        for (int step = 0; step < 8; step++) {
            Str *name = CreateStringPrintf(ctx, "stress:%u", rand_r(&own->seed) % 16);
            Key *key = OpenKey(ctx, name, READ | WRITE);
            Reply *reply = NULL;
            switch (rand_r(&own->seed) % 4) {
            case 0: reply = Call(ctx, "DEL", "s!", name); break; /* while it is open */
            case 1: reply = Call(ctx, "SET", "scc!", name, "v", "KEEPTTL"); break;
            case 2: reply = Call(ctx, "RPUSH", "sc!", name, "element"); break;
            default: DeleteKey(key); break;
            }
            KeyType(key);
            if (reply) FreeCallReply(reply);
            CloseKey(key);
            FreeString(ctx, name);
        }
        if (own->turns % 16 == 0) CreateTimer(ctx, rand_r(&own->seed) % 3, tick, NULL);
        ThreadSafeContextUnlock(ctx);
        wake_all();
        own->turns++;
    }
    FreeThreadSafeContext(ctx);
    return NULL;
}

static void *conduct(void *data) {
    Run *run = data;
    pthread_t threads[16];
    Worker workers[16];
    for (int n = 0; n < run->threads; n++) {
        workers[n] = (Worker){run, (unsigned)n + 1, 0};
        pthread_create(&threads[n], NULL, work, &workers[n]);
    }
    long long turns = 0;
    for (int n = 0; n < run->threads; n++) {
        pthread_join(threads[n], NULL);
        turns += workers[n].turns;
    }
    pthread_mutex_lock(&mutex);
    running = 0;
    pthread_mutex_unlock(&mutex);
    wake_all();
    Ctx *ctx = GetThreadSafeContext(run->blocked);
    ReplyWithLongLong(ctx, turns);
    FreeThreadSafeContext(ctx);
    UnblockClient(run->blocked, NULL);
    free(run);
    return NULL;
}

static int run_(Ctx *ctx, Str **argv, int argc) {
    long long threads, ms;
    if (argc != 3) return WrongArity(ctx);
    if (StringToLongLong(argv[1], &threads) != OK || StringToLongLong(argv[2], &ms) != OK || threads < 1 || threads > 16)
        return ReplyWithError(ctx, "ERR 1 to 16 threads, and milliseconds");
    Run *run = malloc(sizeof *run);
    *run = (Run){BlockClient(ctx, NULL, NULL, NULL, 0), (int)threads, ms};
    pthread_mutex_lock(&mutex);
    running = 1;
    pthread_mutex_unlock(&mutex);
    pthread_t thread;
    pthread_create(&thread, NULL, conduct, run);
    pthread_detach(thread);
    return OK;
}

int RedisModule_OnLoad(Ctx *ctx, Str **argv, int argc) {
    (void)argv; (void)argc;
    if (begin(ctx, "stress") != OK) return ERR;
    if (CreateCommand(ctx, "stress.run", run_, "write", 0, 0, 0) != OK) return ERR;
    return CreateCommand(ctx, "stress.wait", wait_, "", 0, 0, 0);
}
