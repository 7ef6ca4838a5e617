#!/usr/bin/env sh
# Upsample every scan of a folder, isotropic by default:   batch.sh IN_DIR OUT_DIR [options of saint upsample]
# A scan is a file or a DICOM folder. What is done already is skipped, so that the script can simply be run again;
# a scan that fails is named at the end, with exit code 8, and does not stop the others.
set -u
[ $# -ge 2 ] || { echo "usage: batch.sh IN_DIR OUT_DIR [options of saint upsample]" >&2; exit 2; }
in=$1 out=$2
shift 2
mkdir -p "$out"
failed=""
for scan in "$in"/*; do
    case $scan in *.img | *.img.gz | *.raw) continue ;; esac # voxels of a header beside them
    name=$(basename "$scan")
    name=${name%.gz} name=${name%.nii} name=${name%.nrrd} name=${name%.mha} name=${name%.mhd} name=${name%.hdr}
    target="$out/$name.nii.gz"
    [ -e "$target" ] && continue
    saint upsample "$scan" "$@" -o "$target" || failed="$failed $name"
done
[ -z "$failed" ] || { echo "failed:$failed" >&2; exit 8; }
