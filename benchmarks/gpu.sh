#!/usr/bin/env bash
# Everything that needs a GPU, in one run: is it right, then how fast is it.
#
#     benchmarks/gpu.sh OUTPUT [--device cuda:0] [--size full]
#
# Writes OUTPUT/results.jsonl (a figure per line), OUTPUT/stages.jsonl (what each stage took and how it ended)
# and a log per stage. Every stage has a time limit of its own, and one that fails or takes too long loses
# only itself; all limits together are eight minutes. `--device cpu --size tiny` tries the script out, with
# limits ten times as long.
set -uo pipefail
cd "$(dirname "$0")/.."

usage="expected benchmarks/gpu.sh OUTPUT [--device cuda:0] [--size full]"
output=$(realpath -m "${1:?$usage}")
shift
device=cuda:0 size=full
while (($#)); do
    case $1 in
        --device) device=$2 ;;
        --size) size=$2 ;;
        *) echo "found $1; $usage" >&2; exit 2 ;;
    esac
    shift 2
done
python=${PYTHON:-.venv/bin/python}
[[ -x $python ]] || python=python3
streams=256 rates=10,20,100 slack=1
[[ $device == cpu ]] && streams=4 rates=0.2 slack=10
mkdir -p "$output"
home=$(mktemp -d)
server=
trap '[[ -n $server ]] && kill "$server" 2>/dev/null; rm -rf "$home"' EXIT

# stage NAME SECONDS COMMAND…
stage() {
    local name=$1 limit_s=$(($2 * slack)) started status
    shift 2
    started=$(date +%s)
    timeout --kill-after=5 "$limit_s" "$@" >"$output/$name.log" 2>&1
    status=$?
    printf '{"stage": "%s", "status": %d, "seconds": %d, "limit_s": %d}\n' \
        "$name" "$status" "$(($(date +%s) - started))" "$limit_s" | tee -a "$output/stages.jsonl"
}

measure() {
    local name=$1 limit_s=$2
    stage "$name" "$limit_s" "$python" -m benchmarks.goals "$name" --device "$device" --size "$size" \
        --streams "$streams" --home "$home" --output "$output/results.jsonl"
}

[[ $device == cpu ]] || nvidia-smi --query-gpu=name,driver_version,clocks.sm,clocks.mem,power.limit --format=csv \
    >"$output/device.csv"
correctness=(tests/providers -m "gpu or kernels")
[[ $device == cpu ]] && correctness=(tests/providers/decoding/test_kernels.py)
stage correctness 90 "$python" -m pytest -n0 -q --timeout $((90 * slack)) "${correctness[@]}"
measure conditioning 60 # makes the submission too
measure decode_step 45
measure semantic_tokens 25
measure first_audio 20
measure prefill 20
measure vocoder 25
measure submissions 40
measure aggregate 55
measure residency 30

# What a client hears, through HTTP.
export VOICECORE_HOME=$home VOICECORE_PORT=8123 VOICECORE_DEVICE=$device VOICECORE_DEMO=false
export VOICECORE_DEFAULT_MODEL=measured VOICECORE_LOG_FORMAT=json
"$python" -m server serve >"$output/server.log" 2>&1 &
server=$!
stage ready 25 bash -c \
    "until curl -sf http://127.0.0.1:8123/readyz >/dev/null; do kill -0 $server && sleep 0.2 || exit 1; done"
bench='import typer; from benchmarks.load.command import bench; typer.run(bench)'
stage served 45 "$python" -c "$bench" http://127.0.0.1:8123 --model measured --language en --rate "$rates" \
    --duration 8 --warm-up 2 --output "$output/served"
