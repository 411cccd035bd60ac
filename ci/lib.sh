# Shared by the scripts in ci/, sourced by bash: where things are, how a step is shown, how a build is made.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD
venv=$root/.venv

export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
# A checkout owned by somebody else (a mounted folder, a container) is read all the same; a hook's repository is not ours.
export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0='*'
unset GIT_DIR GIT_INDEX_FILE GIT_WORK_TREE

say() { # progress: standard output belongs to what is run
    printf 'ci: %s\n' "$*" >&2
}

die() { # STATUS WORDS...
    local status=$1
    shift
    printf 'ci: %s\n' "$*" >&2
    exit "$status"
}

# What this machine cannot do is neither passed nor failed: 77, and the reason as the last line.
not_possible() {
    printf '%s\n' "$*"
    exit 77
}

# meson-python looks for meson and ninja on PATH, so activating is not enough: every script calls this.
use_venv() {
    export PATH="$venv/bin:$PATH" VIRTUAL_ENV="$venv"
    unset PYTHONHOME PYTHONPATH
}

# One line with the seconds it took; the output only when it failed.
step() { # LABEL COMMAND...
    local label=$1 started=$SECONDS log status=0
    shift
    log=$(mktemp)
    "$@" >"$log" 2>&1 </dev/null || status=$?
    if [ "$status" -ne 0 ]; then
        cat "$log" >&2
        rm -f "$log"
        die "$status" "$label failed"
    fi
    rm -f "$log"
    say "$label $((SECONDS - started))s"
}

# Every file of the project, committed or not, without what is ignored; separated by NUL.
project_files() {
    if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
        # a file deleted but still in the index is no file of the project
        git ls-files -coz --exclude-standard | while IFS= read -r -d '' file; do
            [ ! -e "$file" ] || printf '%s\0' "$file"
        done
    else
        find . \( -path ./.venv -o -path ./build -o -path ./dist -o -name __pycache__ -o -name '.*_cache' \) -prune -o \
            -type f -printf '%P\0'
    fi
}

# A build folder with these options. Configured anew only when they change: ninja notices changed files by itself.
meson_build() { # FOLDER OPTIONS...
    local folder=$1
    shift
    local wanted="CC=${CC:-} $(meson --version) $*"
    if [ "$(cat "$folder/.wanted" 2>/dev/null)" != "$wanted" ]; then
        rm -rf "$folder"
        meson setup "$folder" "$@"
        printf '%s\n' "$wanted" >"$folder/.wanted"
    fi
    meson compile -C "$folder"
}

# The package with a core built otherwise, in build/NAME-site; the one in .venv stays what it is.
python_build() { # NAME OPTIONS...
    local name=$1
    shift
    rm -rf "build/$name-site"
    pip install --quiet --no-deps --no-build-isolation --target "build/$name-site" . \
        -Cbuild-dir="build/$name" "${@/#/-Csetup-args=}"
}

# Old sanitizers cannot live with as many random bits of address as new kernels give: nothing where that is refused.
fixed_addresses=(setarch "$(uname -m)" -R)
"${fixed_addresses[@]}" true 2>/dev/null || fixed_addresses=()

# A clang that can link libFuzzer, which Debian keeps in a package of its own.
find_clang() {
    local name out
    out=$(mktemp)
    for name in clang clang-14; do
        if printf 'int LLVMFuzzerTestOneInput(const unsigned char *d, unsigned long n) { return !d && n; }' |
            "$name" -x c -fsanitize=fuzzer,address - -o "$out" 2>/dev/null; then
            rm -f "$out"
            printf '%s\n' "$name"
            return
        fi
    done
    rm -f "$out"
    return 1
}
