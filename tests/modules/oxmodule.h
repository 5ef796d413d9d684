/* The few functions of the module interface that the modules of this folder use, fetched through the first word of the
 * context. The names and types are those of the interface; a module that is built for a server needs nothing else. */
#ifndef OXMODULE_H
#define OXMODULE_H
#include <stddef.h>
#include <stdint.h>

typedef struct Ctx Ctx;
typedef struct Str Str;
typedef struct Key Key;
typedef struct Io Io;
typedef struct Type Type;
typedef struct Reply Reply;
typedef struct Blocked Blocked;
typedef int (*Command)(Ctx *, Str **, int);

#define OK 0
#define ERR 1
#define READ 1
#define WRITE 2

typedef struct {
    uint64_t version;
    void *(*load)(Io *, int);
    void (*save)(Io *, void *);
    void (*rewrite)(Io *, Str *, void *);
    size_t (*usage)(const void *);
    void (*digest)(void *, void *);
    void (*free)(void *);
} Methods;

static int (*GetApi)(const char *, void *);
static void (*SetModuleAttribs)(Ctx *, const char *, int, int);
static int (*CreateCommand)(Ctx *, const char *, Command, const char *, int, int, int);
static int (*ReplyWithLongLong)(Ctx *, long long);
static int (*ReplyWithSimpleString)(Ctx *, const char *);
static int (*ReplyWithError)(Ctx *, const char *);
static int (*ReplyWithCallReply)(Ctx *, Reply *);
static int (*WrongArity)(Ctx *);
static int (*ReplicateVerbatim)(Ctx *);
static Reply *(*Call)(Ctx *, const char *, const char *, ...);
static void (*FreeCallReply)(Reply *);
static Key *(*OpenKey)(Ctx *, Str *, int);
static void (*CloseKey)(Key *);
static int (*DeleteKey)(Key *);
static int (*KeyType)(Key *);
static int (*StringToLongLong)(const Str *, long long *);
static Type *(*CreateDataType)(Ctx *, const char *, int, Methods *);
static int (*ModuleTypeSetValue)(Key *, Type *, void *);
static Type *(*ModuleTypeGetType)(Key *);
static void *(*ModuleTypeGetValue)(Key *);
static void (*SaveSigned)(Io *, int64_t);
static int64_t (*LoadSigned)(Io *);
static void (*EmitAOF)(Io *, const char *, const char *, ...);
static void *(*Alloc)(size_t);
static void (*Free)(void *);
static Blocked *(*BlockClient)(Ctx *, Command, Command, void (*)(Ctx *, void *), long long);
static int (*UnblockClient)(Blocked *, void *);
static Ctx *(*GetThreadSafeContext)(Blocked *);
static void (*FreeThreadSafeContext)(Ctx *);
static void (*ThreadSafeContextLock)(Ctx *);
static void (*ThreadSafeContextUnlock)(Ctx *);
static uint64_t (*CreateTimer)(Ctx *, long long, void (*)(Ctx *, void *), void *);
static Str *(*CreateStringPrintf)(Ctx *, const char *, ...);
static void (*FreeString)(Ctx *, Str *);

#define FETCH(name) GetApi("RedisModule_" #name, &name)

static int begin(Ctx *ctx, const char *name) {
    GetApi = ((void **)ctx)[0];
    FETCH(SetModuleAttribs); FETCH(CreateCommand); FETCH(ReplyWithLongLong); FETCH(ReplyWithSimpleString);
    FETCH(ReplyWithError); FETCH(ReplyWithCallReply); FETCH(WrongArity); FETCH(ReplicateVerbatim); FETCH(Call);
    FETCH(FreeCallReply); FETCH(OpenKey); FETCH(CloseKey); FETCH(DeleteKey); FETCH(KeyType); FETCH(StringToLongLong);
    FETCH(CreateDataType); FETCH(ModuleTypeSetValue); FETCH(ModuleTypeGetType); FETCH(ModuleTypeGetValue);
    FETCH(SaveSigned); FETCH(LoadSigned); FETCH(EmitAOF); FETCH(Alloc); FETCH(Free); FETCH(BlockClient);
    FETCH(UnblockClient); FETCH(GetThreadSafeContext); FETCH(FreeThreadSafeContext); FETCH(ThreadSafeContextLock);
    FETCH(ThreadSafeContextUnlock); FETCH(CreateTimer); FETCH(CreateStringPrintf); FETCH(FreeString);
    SetModuleAttribs(ctx, name, 1, 1);
    return OK;
}
#endif
