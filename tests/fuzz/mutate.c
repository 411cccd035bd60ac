/* Mutated inputs for one fuzz target, many and reproducible:
 *
 *   mutate_<target> SEED FIRST COUNT KEPT FOLDER...
 *
 * Input number n is a function of SEED, n and the files of the folders alone: a file, or nothing,
 * bent one to six times. Each is written to the file KEPT before it is run, so that the one that
 * breaks the target stands there. One that is not through in minutes is killed by the alarm. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"

enum { INPUT_MAX = 1 << 16, FILE_COUNT_MAX = 4096, ALARM_EACH = 256, ALARM_SECONDS = 300 };

struct file {
    uint8_t *data;
    size_t size;
};

static struct file files[FILE_COUNT_MAX];
static uint32_t file_count;
static uint64_t state; /* of xorshift64*, never 0 */

static uint64_t draw(uint64_t below) {
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return (state * 0x2545F4914F6CDD1Du >> 11) % below;
}

static void begin_draws(uint64_t seed, uint64_t number) {
    state = (seed * 0x9E3779B97F4A7C15u) ^ ((number + 1) * 0xBF58476D1CE4E5B9u);
    state += state == 0;
    for (int i = 0; i < 4; i++)
        draw(1);
}

static void load_file(const char *path) {
    struct stat status;
    FILE *file = fopen(path, "rbe");
    MUST(file != NULL && fstat(fileno(file), &status) == 0);
    if (S_ISREG(status.st_mode) && status.st_size <= INPUT_MAX) {
        MUST(file_count < FILE_COUNT_MAX);
        struct file *kept = &files[file_count++];
        kept->size = (size_t)status.st_size;
        kept->data = malloc(kept->size + 1);
        MUST(kept->data != NULL && fread(kept->data, 1, kept->size, file) == kept->size);
    }
    fclose(file);
}

/* In the order of the names, so that a seed means the same everywhere. */
static void load_folder(const char *folder) {
    struct dirent **entries;
    int count = scandir(folder, &entries, NULL, alphasort);
    MUST(count >= 0);
    for (int i = 0; i < count; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name);
        load_file(path);
        free(entries[i]);
    }
    free(entries);
}

static void overwrite(uint8_t *data, size_t size) {
    static const uint8_t telling[] = {0, 1, 2, 4, 8, 12, 20, 0x7F, 0x80, 0xFE, 0xFF, 0xFF};
    size_t at = draw(size), length = 1 + draw(4);
    bool random = draw(2) == 0;
    for (size_t i = at; i < size && i < at + length; i++)
        data[i] = random ? (uint8_t)draw(256) : telling[draw(sizeof telling)];
}

/* Bytes of this input or of another file, put in or laid over. */
static size_t lay_over(uint8_t *data, size_t size) {
    const struct file *from = &files[draw(file_count)];
    if (from->size == 0)
        return size;
    size_t start = draw(from->size), at = draw(size + 1);
    size_t length = 1 + draw(from->size - start);
    if (at + length > INPUT_MAX || size + length > INPUT_MAX)
        return size;
    bool insert = draw(2) == 0;
    if (insert)
        memmove(data + at + length, data + at, size - at);
    memcpy(data + at, from->data + start, length);
    return insert ? size + length : at + length > size ? at + length : size;
}

static size_t cut_out(uint8_t *data, size_t size) {
    size_t at = draw(size), length = 1 + draw(size - at < 16 ? size - at : 16);
    memmove(data + at, data + at + length, size - at - length);
    return size - length;
}

static size_t randomize(uint8_t *data) {
    size_t size = draw(300);
    for (size_t i = 0; i < size; i++)
        data[i] = (uint8_t)draw(256);
    return size;
}

static size_t bend(uint8_t *data, size_t size) {
    uint64_t how = draw(20);
    if (how >= 17 || size == 0)
        return lay_over(data, size);
    if (how < 8)
        data[draw(size)] ^= (uint8_t)(1u << draw(8));
    else if (how < 13)
        overwrite(data, size);
    else if (how < 15)
        return draw(size);
    else
        return cut_out(data, size);
    return size;
}

static size_t make_input(uint8_t *data) {
    if (draw(50) == 0)
        return randomize(data);
    const struct file *from = &files[draw(file_count)];
    size_t size = from->size;
    memcpy(data, from->data, size);
    for (uint64_t left = 1 + draw(6); left > 0; left--)
        size = bend(data, size);
    return size;
}

/* In memory of its own, so that the sanitizer sees a read past the end. */
static void run_input(const uint8_t *data, size_t size, int kept) {
    MUST(pwrite(kept, data, size, 0) == (ssize_t)size && ftruncate(kept, (off_t)size) == 0);
    uint8_t *exact = exactly(data, size);
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
}

int main(int argc, char **argv) {
    static uint8_t data[INPUT_MAX];
    MUST(argc >= 6);
    uint64_t seed = strtoull(argv[1], NULL, 0), first = strtoull(argv[2], NULL, 0);
    uint64_t count = strtoull(argv[3], NULL, 0);
    int kept = open(argv[4], O_CREAT | O_RDWR | O_CLOEXEC, 0644);
    MUST(kept >= 0);
    for (int i = 5; i < argc; i++)
        load_folder(argv[i]);
    MUST(file_count > 0);
    for (uint64_t number = first; number < first + count; number++) {
        if (number % ALARM_EACH == 0)
            alarm(ALARM_SECONDS);
        begin_draws(seed, number);
        run_input(data, make_input(data), kept);
    }
    unlink(argv[4]);
    printf("%llu passed, 0 failed\n", (unsigned long long)count);
    return 0;
}
