#!/usr/bin/env bash
# Overriding a spec from the command line: any key of the schema can be set, whether or not the file has it.
# Usage: bash examples/overrides.sh [OUTPUT_FOLDER]     (needs no network)
set -euo pipefail
cd "$(dirname "$0")/.."
out="${1:-build/overrides}"

# What the spec says once the overrides are in, and where each setting comes from.
hfspec compile specs/minilm.yaml dtype=bfloat16 model_config.truncate_dim=128 --cfg job
hfspec plan specs/minilm.yaml dtype=bfloat16 model_config.truncate_dim=128

# One artifact with the weights cast while they are copied.
hfspec compile specs/minilm.yaml dtype=bfloat16 model_config.truncate_dim=128 -o "$out/small"

# Hydra's multirun: one artifact a combination, each in a folder named for what differs.
hfspec compile specs/minilm.yaml -m dtype=float32,float16 -o "$out/sweep"

# A typo is refused wherever it stands.
for typo in dtyp=float16 +dtyp=float16 ++dtyp=float16; do
  if hfspec compile specs/minilm.yaml "$typo" -o "$out/never"; then exit 1; fi
done
