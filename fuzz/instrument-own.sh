#!/usr/bin/env bash
# RUSTC_WRAPPER for fuzz builds: instruments our own crates alone. tfhe-fft with coverage
# instrumentation takes a quarter of an hour to compile; with debug assertions it does not finish.
rustc="$1"
shift
name=""
previous=""
for argument in "$@"; do
    if [[ "$previous" == "--crate-name" ]]; then name="$argument"; fi
    previous="$argument"
done
case "$name" in
    gazelle* | he_* | ot_* | garble_* | model_* | plan_* | session_* | wire_* | input_files | "")
        exec "$rustc" "$@"
        ;;
esac
kept=()
for argument in "$@"; do
    case "$argument" in
        -Cpasses=sancov-module | -Cllvm-args=-sanitizer* | -Cllvm-args=-simplifycfg*) ;;
        *) kept+=("$argument") ;;
    esac
done
exec "$rustc" "${kept[@]}"
