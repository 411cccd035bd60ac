/* Stands in for libFuzzer where the compiler has none: runs the target once on every file of the
 * folders given. */
#include <dirent.h>
#include <sys/stat.h>

#include "fuzz.h"

static int run_file(const char *path) {
    FILE *file = fopen(path, "rbe");
    struct stat status;
    if (file == NULL || fstat(fileno(file), &status) != 0 || !S_ISREG(status.st_mode)) {
        if (file != NULL)
            fclose(file);
        return 0;
    }
    size_t size = (size_t)status.st_size;
    uint8_t *data =
        malloc(size + 1); /* of its own, so that the sanitizer sees a read past the end */
    MUST(data != NULL && fread(data, 1, size, file) == size);
    fclose(file);
    uint8_t *exact = realloc(data, size > 0 ? size : 1);
    MUST(exact != NULL);
    fprintf(stderr, "%s\n", path); /* the last one named is the one that failed */
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
    return 1;
}

static int run_folder(const char *folder) {
    DIR *entries = opendir(folder);
    if (entries == NULL) {
        fprintf(stderr, "%s: no such folder\n", folder);
        exit(1);
    }
    int count = 0;
    for (struct dirent *entry; (entry = readdir(entries)) != NULL;) {
        char path[4096];
        int length = snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (length > 0 && (size_t)length < sizeof path)
            count += run_file(path);
    }
    closedir(entries);
    return count;
}

int main(int argc, char **argv) {
    int count = 0;
    for (int i = 1; i < argc; i++)
        count += run_folder(argv[i]);
    printf("%d passed, 0 failed\n", count);
    return count > 0 ? 0 : 1; /* an empty corpus tests nothing */
}
