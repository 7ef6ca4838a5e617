#!/usr/bin/env bash
# Builds the image, measures it, and runs it as a hospital would: any user, read-only root, no network.
#
#     ENGINE=podman TORCH_INDEX=ADDRESS integrations/container/check.sh
#
# ENGINE: docker or podman. IMAGE: an image that exists, to check in place of building one. BUILD_OPTIONS, RUN_OPTIONS: more
# options of the engine's build and run. MOST_MB: the largest archive of the image that passes (gzip, as registries keep it).
set -euo pipefail
cd "$(dirname "$0")/../.."
ENGINE=${ENGINE:-docker}
MOST_MB=${MOST_MB:-1000}
data=$(mktemp -d)
trap 'rm -rf "$data"' EXIT
TIMEFORMAT="  %R s"

fail() {
  echo "FAILED: $*" >&2
  exit 1
}

if [ -z "${IMAGE:-}" ]; then
  IMAGE=saint-check
  # shellcheck disable=SC2086
  $ENGINE build -f integrations/container/Containerfile -t "$IMAGE" --build-arg "TORCH_INDEX=${TORCH_INDEX:-}" \
    ${BUILD_OPTIONS:-} .
fi

run() { # [--entrypoint PROGRAM --] ARGUMENTS: in a container of user 12345, who owns the folder /data and nothing else
  local entrypoint=()
  if [ "$1" = --entrypoint ]; then
    entrypoint=(--entrypoint "$2")
    shift 3
  fi
  # shellcheck disable=SC2086
  $ENGINE run --rm --read-only --tmpfs /tmp --network none --user 12345:12345 --cap-drop ALL \
    --security-opt no-new-privileges -v "$data:/data" ${RUN_OPTIONS:-} "${entrypoint[@]}" "$IMAGE" "$@"
}

unpacked=$(($($ENGINE image inspect --format '{{.Size}}' "$IMAGE") / 1000000))
packed=$(($($ENGINE save "$IMAGE" | gzip -1 | wc -c) / 1000000))
echo "size: $packed MB packed, $unpacked MB unpacked"
[ "$packed" -le "$MOST_MB" ] || fail "packed more than $MOST_MB MB"

user=$($ENGINE image inspect --format '{{.Config.User}}' "$IMAGE")
[[ "$user" =~ ^[1-9] ]] || fail "runs as $user by default"

cp examples/chest_thick.nii.gz "$data/"
chown -R 12345:12345 "$data" 2> /dev/null || chmod -R a+rwX "$data"
echo "saint --version"
time version=$(run --version)
[[ "$version" == *"$(sed -n 's/^__version__ = "\(.*\)"/\1/p' saint_cli/runtime/version.py)"* ]] || fail "$version"

echo "the first upsample of the example"
time run upsample chest_thick.nii.gz --factor 4 -o x4.nii.gz > "$data/told" 2>&1 || fail "$(cat "$data/told")"
echo "the same with a page, a preview and expected errors"
time run upsample chest_thick.nii.gz --factor 4 -o again.nii.gz --report page.html --preview page.png \
  --uncertainty error.nii.gz > "$data/told-again" 2>&1 || fail "$(cat "$data/told-again")"
echo "a batch"
time run batch chest_thick.nii.gz results --factor 4 > "$data/told-batch" 2>&1 || fail "$(cat "$data/told-batch")"
cat "$data"/told*
if grep -E "[A-Z][a-zA-Z]*Warning|[Cc]ache|[Pp]ermission denied|[Rr]ead-only" "$data"/told*; then fail "it complains of its place"; fi

run --entrypoint python3 -- -c '
import os, pathlib, shutil, socket
import nibabel, numpy
thick, fine = (nibabel.load(name) for name in ("chest_thick.nii.gz", "x4.nii.gz"))
assert numpy.array_equal(thick.dataobj, numpy.asarray(fine.dataobj)[:, :, ::4]), "acquired slices changed"
assert [path.name for path in pathlib.Path("results").glob("*.nii.gz")], "the batch left nothing"
assert numpy.array_equal(fine.dataobj, nibabel.load("again.nii.gz").dataobj), "two runs, two results"
assert os.getuid() == os.stat("x4.nii.gz").st_uid == 12345
for folder in ("/", "/opt/saint", "/usr", "/etc"):
    assert not os.access(folder, os.W_OK), folder
shutil.rmtree("results")  # whose folders another user may not remove
tools = [tool for tool in ("gcc", "cc", "make", "strip", "pip", "pip3", "git") if shutil.which(tool)]
assert not tools, tools
try:
    socket.create_connection(("192.0.2.1", 80), timeout=2)
except OSError:
    print("any user, read-only root, no network, no build tools, acquired slices bit for bit: passed")
else:
    raise SystemExit("there is a network")
'
