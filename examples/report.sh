#!/usr/bin/env bash
# Draws the quality-control page of the example as Chromium shows it: examples/report.sh docs/report.jpg [MODEL]
set -euo pipefail
out=$(realpath -m "${1:?name a .jpg file to write}")
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
saint upsample "$here/chest_thick.nii.gz" --model "${2:-medium}" -o "$work/chest.nii.gz" --report "$work/page.html"
chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --user-data-dir="$work/profile" \
  --window-size=1160,1640 --screenshot="$work/page.png" "file://$work/page.html"
python3 - "$work/page.png" "$out" <<'PY'
import sys
from PIL import Image
with Image.open(sys.argv[1]) as image:
    image.convert("RGB").save(sys.argv[2], quality=72, optimize=True)
PY
