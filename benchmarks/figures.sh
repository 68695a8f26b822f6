#!/usr/bin/env bash
# Measures every figure that the README quotes and writes it to benchmarks/results, then into the
# README. Wants an installed lilnetx with its bench extra, Fashion-MNIST, and an otherwise idle
# machine; takes about four minutes. PIN names the core to stay on (default 0).
set -euo pipefail
cd "$(dirname "$0")/.."
results=benchmarks/results
model=lilnetx/models/resnet20-fashion-mnist.lnx
pin=${PIN:-0}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

lilnetx eval "$model" --data fashion-mnist --json > "$results/resnet20-eval.json"
lilnetx inspect "$model" --json > "$results/resnet20-inspect.json"
lilnetx-bench --pin "$pin" --seconds 20 \
  --json "$results/resnet20-bench.json" --csv "$results/resnet20-bench.csv"
lilnetx synth resnet50 --density 0.19 --seed 0 -o "$scratch/resnet50-density-0.19.lnx"
for batch in 1 16; do
  lilnetx-bench "$scratch/resnet50-density-0.19.lnx" --pin "$pin" --batch "$batch" --seconds 40 \
    --json "$results/resnet50-batch$batch.json" --csv "$results/resnet50-batch$batch.csv"
done
python benchmarks/load.py --pin "$pin" --json "$results/load-resnet50.json"
python benchmarks/readme.py
