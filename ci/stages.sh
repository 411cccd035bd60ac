# The stages of ./ci/test, each a function run in a process of its own: bash ci/stages.sh STAGE

. "$(dirname "$0")/lib.sh"
use_venv

stages="lint layering build python c-release c-asan c-tsan c-guard instructions python-asan planted fuzz aarch64"

# Else the source folder, which has no compiled core, shadows the installed package.
export PYTHONSAFEPATH=1
# pytest cuts its lines to the width it sees.
export COLUMNS=160

# Instrumented code misleads gcc's guess about what may be uninitialized; every other build keeps that warning.
sanitized=(-Db_lto=false -Dbuildtype=debugoptimized)
address=(-Db_sanitize=address,undefined "${sanitized[@]}")
asan_report=$root/build/log/report

# Everything is judged before it fails, so that one run shows all there is to mend.
stage_lint() {
    local status=0 script
    ruff check . || status=1
    ruff format --check --diff . || status=1
    python ci/generate.py --check || status=1
    project_files | grep -zE '^(csrc|tests|benches)/.*\.(c|h|cpp)$' | xargs -0 clang-format --dry-run -Werror || status=1
    for script in $(grep -lE '^#!/bin/bash' ci/* .ci/*) ci/*.sh; do
        bash -n "$script" || status=1
    done
    # From an empty folder: what is judged is the package as installed, with its py.typed, not the source folder.
    mkdir -p build/empty
    (cd build/empty && mypy --config-file "$root/pyproject.toml" --cache-dir "$root/.mypy_cache") || status=1
    return $status
}

stage_layering() {
    python ci/layering.py --self-test
    python ci/layering.py
}

# Installed as a user would, into an environment that holds nothing else, and run from a folder that holds nothing.
try_install() { # NAME FILE
    local home=$root/build/dist/$1
    python -m venv --without-pip "$home"
    pip --python "$home/bin/python" install --quiet --no-compile "$2"
    (
        cd "$home"
        PATH=/usr/bin:/bin
        bin/numi-bypass --version
        bin/python -c 'import numi_bypass, numi_sim; print(numi_bypass.build_info())'
    )
}

stage_build() {
    rm -rf build/dist
    mkdir -p build/dist/source
    # meson makes the source archive from what is committed; a copy committed on the spot proves the tree as it stands.
    project_files | tar --null --files-from=- --create | tar --extract --directory build/dist/source
    git -C build/dist/source init --quiet
    git -C build/dist/source add --all
    git -C build/dist/source -c user.name=ci -c user.email=ci@localhost commit --quiet --message tree
    python -m build --no-isolation --outdir build/dist build/dist/source
    rm -rf build/dist/source
    try_install wheel build/dist/*.whl
    try_install sdist build/dist/*.tar.gz
}

stage_python() {
    NUMI_EXPECT_BUILD=release pytest -n auto
}

c_tests() { # STAGE OPTIONS...
    local stage=$1 status=0
    shift
    meson_build "build/$stage" -Dpython=false -Dtests=true "$@"
    "${fixed_addresses[@]}" meson test -C "build/$stage" --no-rebuild --print-errorlogs || status=$?
    python ci/skips.py "build/$stage/meson-logs/testlog.json"
    return $status
}

stage_instructions() {
    command -v valgrind || not_possible "there is no valgrind"
    meson_build build/count -Dpython=false -Dtests=true -Db_lto=false
    python ci/instructions.py build/count/tests/c/count_paths
}

stage_c_release() {
    c_tests c-release
}

stage_c_asan() {
    c_tests c-asan "${address[@]}" -Dchecks=true
}

stage_c_tsan() {
    [ ${#fixed_addresses[@]} -gt 0 ] || not_possible "setarch -R is refused, which the thread sanitizer needs"
    c_tests c-tsan -Db_sanitize=thread "${sanitized[@]}" -Dchecks=true
}

stage_c_guard() {
    c_tests c-guard -Dguard=true
}

# A command with the package of build/NAME-site under the address sanitizer. Reports go to files, since pytest swallows
# those of its workers; leaks are looked for in the C tests, since the interpreter itself leaves some.
with_asan() { # NAME COMMAND...
    local name=$1
    shift
    rm -f "$asan_report"-*
    LD_PRELOAD="$(cc -print-file-name=libasan.so) $(c++ -print-file-name=libstdc++.so)" \
        ASAN_OPTIONS="detect_leaks=0:log_path=$asan_report-asan" \
        UBSAN_OPTIONS="print_stacktrace=1:log_path=$asan_report-ubsan" \
        PYTHONPATH="$root/build/$name-site" NUMI_EXPECT_BUILD="$name" "${fixed_addresses[@]}" "$@"
}

stage_python_asan() {
    python_build asan "${address[@]}" -Dchecks=true
    with_asan asan pytest -n auto
    # A report of a process whose death no test noticed counts as well.
    if compgen -G "$asan_report-*"; then
        cat "$asan_report"-*
        return 1
    fi
}

# Each alarm is shown to go off for a fault planted in a build that can plant them; NUMI_PLANT says which.
stage_planted() {
    python_build overflow "${address[@]}" -Dplant=true
    if NUMI_PLANT=OVERFLOW with_asan overflow pytest -k histogram >build/log/overflow.txt 2>&1; then
        echo "the tests passed over a planted heap overflow"
        return 1
    fi
    grep -h 'ERROR: AddressSanitizer: heap-buffer-overflow' "$asan_report"-asan* build/log/overflow.txt
    rm -f "$asan_report"-*

    python_build guard -Doptimization=2 -Db_lto=false -Dguard=true -Dplant=true
    guard_bench hot-paths --smoke
    guard_bench merge --blocks 2
    guard_bench local-core --messages 200000
    expect_abort MALLOC malloc
    expect_abort STRDUP strdup

    expect_difference EMPTY_LEVEL test_model_book.py test_best_price_changes
    expect_difference LOST_LINK test_model_book.py test_thousands_of_events
    expect_difference REPLACE_PRIORITY test_model_book.py test_a_replace_goes_to_the_back
    expect_difference STALE_BEST test_model_book.py test_best_price_changes
    expect_difference REQUEST_ONCE test_recover.py TestRecoverMachine
    expect_difference JOIN_OFF_BY_ONE test_glimpse.py test_what_is_behind_the_snapshot
    expect_difference STALE_COPY test_model_merge.py test_the_core_and_the_model
    expect_difference LOST_FRAME test_model_merge.py test_the_core_and_the_model
    expect_difference SILENT_DROP test_tape.py test_losses_at_the_end
}

guard_bench() { # SCENARIO OPTIONS...
    PYTHONPATH="$root/build/guard-site" build/guard-site/bin/numi-bypass bench "$@"
}

expect_abort() { # FAULT FUNCTION
    local log=build/log/plant-$1.txt status=0
    NUMI_PLANT=$1 guard_bench hot-paths --smoke >"$log" 2>&1 || status=$?
    cat "$log"
    if [ "$status" -ne 134 ] || ! grep -q "$2 on the hot path" "$log"; then
        echo "expected SIGABRT (134) and the name $2 for the planted $1, got exit $status"
        return 1
    fi
}

# Each fault by the test that meets it first: the model says otherwise, or a check of the core's own.
expect_difference() { # FAULT FILE TEST
    local log=build/log/plant-$1.txt status=0
    PYTHONPATH="$root/build/guard-site" NUMI_EXPECT_BUILD=guard NUMI_PLANT=$1 \
        pytest -x "tests/$2" -k "$3" >"$log" 2>&1 || status=$?
    if [ "$status" -ne 1 ] || ! grep -E 'AssertionError|CorruptError|Falsifying' "$log"; then
        cat "$log"
        echo "expected that the models differ from the planted $1, got exit $status"
        return 1
    fi
}

# The corpus through gcc's sanitizers; looking for new inputs is ./ci/fuzz's work.
stage_fuzz() {
    [ -e tests/fuzz/meson.build ] || not_possible "there is no fuzz target yet"
    meson_build build/fuzz -Dpython=false -Dfuzz=true "${address[@]}" -Dchecks=true
    local target corpus count=0
    for target in $(find build/fuzz/tests/fuzz -name 'fuzz_*' -type f -executable); do
        corpus=tests/fuzz/corpus/$(basename "$target" | sed 's/^fuzz_//')
        [ -n "$(ls "$corpus")" ] # a target without a corpus proves nothing
        "${fixed_addresses[@]}" "$target" "$corpus"
        count=$((count + 1))
    done
    [ "$count" -gt 0 ]
}

stage_aarch64() {
    command -v aarch64-linux-gnu-gcc || not_possible "there is no aarch64-linux-gnu-gcc"
    meson_build build/aarch64 --cross-file ci/aarch64.ini -Dpython=false -Dtests=true
}

if [ "${1-}" = list ]; then
    printf '%s\n' $stages
    exit
fi
# 77 is only for what is not possible, never a command's own.
set -E
trap 'echo "exit $?: $BASH_COMMAND"; exit 1' ERR
"stage_${1//-/_}"
