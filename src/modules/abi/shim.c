/* The functions of the module interface that stable Rust cannot define: those with a variable number of arguments,
 * and those that pass `long double` by value.
 *
 * Each entry turns its arguments into words or text and calls one plain function of Rust, named `oxidis_module_...`.
 * Nothing here knows the server. A format of Call has one letter per argument: c a C string, s a string of ours,
 * l a long long, b a buffer with its length, v an array of strings with its length; all other letters are flags. */
#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FEW 48

void *oxidis_module_call(void *ctx, const char *name, const char *fmt, const uint64_t *words, size_t n);
int oxidis_module_replicate(void *ctx, const char *name, const char *fmt, const uint64_t *words, size_t n);
int oxidis_module_slot_command(void *ctx, const char *name, const char *fmt, const uint64_t *words, size_t n);
void oxidis_module_emit_aof(void *io, const char *name, const char *fmt, const uint64_t *words, size_t n);
void *oxidis_module_text(void *ctx, const char *text, size_t len);
int oxidis_module_error(void *ctx, const char *text, size_t len);
void oxidis_module_log(void *ctx, const char *level, const char *text, size_t len);
void oxidis_module_log_io(void *io, const char *level, const char *text, size_t len);
int oxidis_module_hash_set(void *key, int flags, void **words, size_t n);
int oxidis_module_hash_get(void *key, int flags, void **words, size_t n);
int oxidis_module_reply_long_double(void *ctx, const char *text, size_t len);
const char *oxidis_module_bytes(const void *string, size_t *len);
void oxidis_module_save_text(void *io, const char *text, size_t len);
char *oxidis_module_load_text(void *io, size_t *len);
void oxidis_module_free_text(char *text, size_t len);

/* The words that a format asks for; `few` when they fit there. */
static uint64_t *collect(const char *fmt, va_list ap, uint64_t *few, size_t *n) {
    size_t room = 2 * strlen(fmt), used = 0;
    uint64_t *words = room <= FEW ? few : malloc(room * sizeof(*words));
    if (!words) abort();
    for (; *fmt; fmt++) {
        switch (*fmt) {
        case 'c':
        case 's':
            words[used++] = (uint64_t)(uintptr_t)va_arg(ap, void *);
            break;
        case 'l':
            words[used++] = (uint64_t)va_arg(ap, long long);
            break;
        case 'b':
        case 'v':
            words[used++] = (uint64_t)(uintptr_t)va_arg(ap, void *);
            words[used++] = (uint64_t)va_arg(ap, size_t);
            break;
        default:
            break;
        }
    }
    *n = used;
    return words;
}

void *oxidis_shim_call(void *ctx, const char *name, const char *fmt, ...) {
    uint64_t few[FEW], *words;
    size_t n;
    va_list ap;
    va_start(ap, fmt);
    words = collect(fmt, ap, few, &n);
    va_end(ap);
    void *reply = oxidis_module_call(ctx, name, fmt, words, n);
    if (words != few) free(words);
    return reply;
}

int oxidis_shim_replicate(void *ctx, const char *name, const char *fmt, ...) {
    uint64_t few[FEW], *words;
    size_t n;
    va_list ap;
    va_start(ap, fmt);
    words = collect(fmt, ap, few, &n);
    va_end(ap);
    int result = oxidis_module_replicate(ctx, name, fmt, words, n);
    if (words != few) free(words);
    return result;
}

int oxidis_shim_slot_command(void *ctx, const char *name, const char *fmt, ...) {
    uint64_t few[FEW], *words;
    size_t n;
    va_list ap;
    va_start(ap, fmt);
    words = collect(fmt, ap, few, &n);
    va_end(ap);
    int result = oxidis_module_slot_command(ctx, name, fmt, words, n);
    if (words != few) free(words);
    return result;
}

void oxidis_shim_emit_aof(void *io, const char *name, const char *fmt, ...) {
    uint64_t few[FEW], *words;
    size_t n;
    va_list ap;
    va_start(ap, fmt);
    words = collect(fmt, ap, few, &n);
    va_end(ap);
    oxidis_module_emit_aof(io, name, fmt, words, n);
    if (words != few) free(words);
}

/* Prints into `few`, or into memory of its own when the text is longer. */
static char *print(const char *fmt, va_list ap, char *few, size_t room, size_t *len) {
    va_list again;
    va_copy(again, ap);
    int needed = vsnprintf(few, room, fmt, ap);
    char *text = few;
    if (needed < 0) {
        needed = 0;
        few[0] = 0;
    } else if ((size_t)needed >= room) {
        text = malloc((size_t)needed + 1);
        if (!text) abort();
        vsnprintf(text, (size_t)needed + 1, fmt, again);
    }
    va_end(again);
    *len = (size_t)needed;
    return text;
}

#define PRINTED(call)                                    \
    char few[1024];                                      \
    size_t len;                                          \
    va_list ap;                                          \
    va_start(ap, fmt);                                   \
    char *text = print(fmt, ap, few, sizeof(few), &len); \
    va_end(ap);                                          \
    call;                                                \
    if (text != few) free(text)

void *oxidis_shim_printf(void *ctx, const char *fmt, ...) {
    void *made;
    PRINTED(made = oxidis_module_text(ctx, text, len));
    return made;
}

int oxidis_shim_error_format(void *ctx, const char *fmt, ...) {
    int result;
    PRINTED(result = oxidis_module_error(ctx, text, len));
    return result;
}

void oxidis_shim_log(void *ctx, const char *level, const char *fmt, ...) {
    PRINTED(oxidis_module_log(ctx, level, text, len));
}

void oxidis_shim_log_io(void *io, const char *level, const char *fmt, ...) {
    PRINTED(oxidis_module_log_io(io, level, text, len));
}

/* Pairs of pointers up to a NULL in the first place of a pair. */
static void **pairs(va_list ap, void **few, size_t *n) {
    void **words = few;
    size_t used = 0, room = FEW;
    for (;;) {
        void *field = va_arg(ap, void *);
        if (!field) break;
        if (used + 2 > room) {
            void **more = malloc(2 * room * sizeof(*more));
            if (!more) abort();
            memcpy(more, words, used * sizeof(*more));
            if (words != few) free(words);
            words = more;
            room *= 2;
        }
        words[used++] = field;
        words[used++] = va_arg(ap, void *);
    }
    *n = used;
    return words;
}

int oxidis_shim_hash_set(void *key, int flags, ...) {
    void *few[FEW], **words;
    size_t n;
    va_list ap;
    va_start(ap, flags);
    words = pairs(ap, few, &n);
    va_end(ap);
    int result = oxidis_module_hash_set(key, flags, words, n);
    if (words != few) free(words);
    return result;
}

int oxidis_shim_hash_get(void *key, int flags, ...) {
    void *few[FEW], **words;
    size_t n;
    va_list ap;
    va_start(ap, flags);
    words = pairs(ap, few, &n);
    va_end(ap);
    int result = oxidis_module_hash_get(key, flags, words, n);
    if (words != few) free(words);
    return result;
}

/* A number as people write it: 17 digits after the point, trailing zeros left out. */
static size_t human(long double value, char *buf, size_t room) {
    if (isinf(value)) return (size_t)snprintf(buf, room, value > 0 ? "inf" : "-inf");
    if (isnan(value)) return (size_t)snprintf(buf, room, "nan");
    int printed = snprintf(buf, room, "%.17Lf", value);
    if (printed < 0 || (size_t)printed >= room) return 0;
    size_t len = (size_t)printed;
    if (strchr(buf, '.')) {
        while (len && buf[len - 1] == '0') len--;
        if (len && buf[len - 1] == '.') len--;
    }
    if (len == 2 && buf[0] == '-' && buf[1] == '0') {
        buf[0] = '0';
        len = 1;
    }
    buf[len] = 0;
    return len;
}

#define DIGITS (5 * 1024)

void *oxidis_shim_string_from_long_double(void *ctx, long double value, int humanly) {
    char buf[DIGITS];
    size_t len;
    if (humanly) {
        len = human(value, buf, sizeof(buf));
    } else if (isinf(value)) {
        len = (size_t)snprintf(buf, sizeof(buf), value > 0 ? "inf" : "-inf");
    } else {
        len = (size_t)snprintf(buf, sizeof(buf), "%.17Lg", value);
    }
    return oxidis_module_text(ctx, buf, len);
}

int oxidis_shim_reply_long_double(void *ctx, long double value) {
    char buf[DIGITS];
    size_t len = human(value, buf, sizeof(buf));
    return oxidis_module_reply_long_double(ctx, buf, len);
}

/* The whole text must be a number, without space before it; out of range and NaN are refused. */
static int parse(const char *text, size_t len, long double *value) {
    char *end;
    if (!len || len >= DIGITS || memchr(text, 0, len) || strchr(" \t\n\v\f\r", text[0])) return 1;
    long double parsed = strtold(text, &end);
    if (end != text + len || isnan(parsed)) return 1;
    if (isinf(parsed) && !strpbrk(text, "iI")) return 1;
    *value = parsed;
    return 0;
}

int oxidis_shim_string_to_long_double(const void *string, long double *value) {
    size_t len;
    const char *text = oxidis_module_bytes(string, &len);
    return parse(text, len, value);
}

void oxidis_shim_save_long_double(void *io, long double value) {
    char buf[DIGITS];
    int len = snprintf(buf, sizeof(buf), "%La", value);
    oxidis_module_save_text(io, buf, len < 0 ? 0 : (size_t)len);
}

long double oxidis_shim_load_long_double(void *io) {
    size_t len;
    long double value = 0;
    char *text = oxidis_module_load_text(io, &len);
    if (!text) return 0;
    if (parse(text, len, &value)) value = 0;
    oxidis_module_free_text(text, len);
    return value;
}
