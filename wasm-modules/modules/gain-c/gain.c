// Audio gain with clipping to -1..1, on the bare guest ABI: no SDK, no libc, no allocator of its own.
//
// Config: {"gain": 2} or {"gainDb": 6}; read by searching for the key, so strings that contain such a key as text
// would fool it. Output goes into the result buffer: set the node's outputKind to "audio".

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IMPORT(name) __attribute__((import_module("rm"), import_name(name)))
#define EXPORT(name) __attribute__((export_name(name)))

IMPORT("config") int32_t rm_config(char *out, uint32_t *len);
IMPORT("fail") void rm_fail(const char *text, size_t len);

#define FAIL(text) (rm_fail(text, sizeof(text) - 1), -1)

static float factor = 1.0f;
static char config[1024];

// The text after `"key":`, or null.
static const char *value_of(const char *json, const char *key)
{
    for (; *json; json++) {
        const char *a = json, *b = key;
        while (*b && *a == *b)
            a++, b++;
        if (*b)
            continue;
        while (*a == ' ' || *a == ':')
            a++;
        return a;
    }
    return NULL;
}

// A decimal number without exponent; false if there is none.
static bool number(const char *text, float *out)
{
    float sign = 1.0f, value = 0.0f, place = 1.0f;
    bool point = false, digits = false;
    if (*text == '-')
        sign = -1.0f, text++;
    for (; (*text >= '0' && *text <= '9') || (*text == '.' && !point); text++) {
        if (*text == '.') {
            point = true;
            continue;
        }
        digits = true;
        value = value * 10.0f + (float)(*text - '0');
        place *= point ? 10.0f : 1.0f;
    }
    *out = sign * value / place;
    return digits;
}

// 10^(db/20) without a maths library: halve until the series for e^x is short, then square back.
static float from_db(float db)
{
    double x = (double)db * 0.11512925464970229 / 64.0; // ln(10) / 20
    double power = 1.0 + x * (1.0 + x / 2.0 * (1.0 + x / 3.0 * (1.0 + x / 4.0)));
    for (int i = 0; i < 6; i++)
        power *= power;
    return (float)power;
}

EXPORT("rm_abi_version") int32_t abi_version(void) { return 1; }

EXPORT("initialize") int32_t initialize(const char *session_id)
{
    (void)session_id;
    uint32_t len = sizeof config - 1;
    if (rm_config(config, &len) != 0)
        return FAIL("config: longer than 1023 bytes");
    config[len] = 0;
    const char *gain = value_of(config, "\"gain\""), *db = value_of(config, "\"gainDb\"");
    float value = 0.0f;
    if (gain && db)
        return FAIL("config.gain: give gain or gainDb, not both");
    if (gain) {
        if (!number(gain, &value) || value < 0.0f)
            return FAIL("config.gain: must be 0 or more");
        factor = value;
    } else if (db) {
        if (!number(db, &value) || value < -120.0f || value > 120.0f)
            return FAIL("config.gainDb: must be between -120 and 120");
        factor = from_db(value);
    }
    return 0;
}

EXPORT("process")
int32_t process(const float *data, int32_t data_len, float *restrict result, int32_t *result_len)
{
    static const float *kept;
    static int32_t kept_len;
    // Too small a buffer: say what is needed. The input stays where it is, so there is nothing to keep but its place,
    // and the work is done when the host comes back with data_len -1.
    if (data_len == -1)
        data = kept, data_len = kept_len;
    if (data_len % 4 != 0)
        return *result_len = 0, FAIL("input is no whole number of 32-bit samples");
    if (data_len > *result_len) {
        kept = data;
        *result_len = kept_len = data_len;
        return 1;
    }
    for (int32_t i = 0; i < data_len / 4; i++) {
        float louder = data[i] * factor;
        louder = louder > 1.0f ? 1.0f : louder;
        result[i] = louder < -1.0f ? -1.0f : louder;
    }
    *result_len = data_len;
    return 0;
}
