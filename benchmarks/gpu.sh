#!/usr/bin/env bash
# Everything that needs a GPU, in one call of at most 8 minutes: the tests marked cuda, each benchmark with --device cuda,
# a training slice of the profiles colab and ffhq512, Triton's kernels against conv2d and PyTorch's operators.
#
#     benchmarks/gpu.sh               results in benchmarks/results/gpu-CARD.json; cards.json of the kernels follows
#     benchmarks/gpu.sh --dry-run     the same parts, as small as can be, on the CPU; nothing is kept but OUT
#
# Each part has its own limit of seconds: one that fails or hangs costs nothing but itself. PYTHON names the interpreter,
# OUT the folder of the parts' lines and numbers (build/gpu).
set -uo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python} out=${OUT:-build/gpu}
mkdir -p "$out" && rm -f "$out"/*.part "$out"/*.log "$out"/*.json

dry=false
[ "${1:-}" = --dry-run ] && dry=true

part() { # NAME SECONDS COMMAND...: run it, keep its lines, its exit code (124: too long) and its seconds
    local name=$1 limit=$2 start=$EPOCHREALTIME code=0
    shift 2
    timeout --kill-after=5 "$limit" "$@" >"$out/$name.log" 2>&1 || code=$?
    printf '{"code": %d, "seconds": %s, "limit": %d, "HIFACEGAN_TRITON": "%s"}\n' "$code" \
        "$(awk "BEGIN {printf \"%.1f\", $EPOCHREALTIME - $start}")" "$limit" "${HIFACEGAN_TRITON:-}" >"$out/$name.part"
    echo "$name: exit code $code, $(tail -n 1 "$out/$name.log")"
    return "$code"
}

bench() { # NAME SECONDS OPTIONS...
    local name=$1 limit=$2
    shift 2
    part "$name" "$limit" "$python" "benchmarks/$name.py" --out "$out/$name.json" "$@"
}

mapfile -t marked < <(grep -rl --include='*.py' 'mark\.cuda' tests)
tests=("$python" -m pytest -q -p no:cacheprovider -m cuda "${marked[@]}")
if $dry; then
    part tests 300 "${tests[@]}"
    bench suppression 300 --quick --shape 1 4 16 16 4
    bench inference 300 --quick --variant shipped --size 64
    bench training 300 --quick --size 64 --width 8 --precision float32
    bench memory 300 --quick demo
    bench restorers 300 --quick --side 64 --methods nafnet codeformer
else
    # kernels that pass take part in all that follows
    part tests 60 "${tests[@]}" && export HIFACEGAN_TRITON=1
    bench suppression 100 --device cuda
    bench memory 70 --device cuda colab ffhq512
    bench inference 70 --quick --device cuda
    bench training 90 --quick --device cuda
    bench restorers 60 --quick --device cuda
fi
$dry && exec "$python" benchmarks/_gpu.py "$out" --dry-run
exec "$python" benchmarks/_gpu.py "$out"
