#!/usr/bin/env bash
# Installs on Colab what the workbench needs and Colab lacks. Its torch, torchvision and numpy stay: they are constraints.
set -euo pipefail
cd "$(dirname "$0")/.."
kept=$(mktemp)
trap 'rm -f "$kept"' EXIT
python -m pip list --format=freeze | grep -E '^(torch|torchvision|numpy)==' > "$kept"
python -m pip install --quiet --constraint "$kept" --editable .
